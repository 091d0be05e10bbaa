# SPDX-License-Identifier: Apache-2.0
"""Kernel calls in order: a graph after lowering, before and after fusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels.program import Operand, Program, Shape, Source, Step
from edgebuild.kernels.specs import Spec
from edgebuild.model.graph import DTYPES, Graph


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One kernel run: ``inputs`` and ``constants`` in the order of ``spec.arguments()``.

    ``sources`` are the names of the graph's operators that it computes, in order.
    """

    spec: Spec
    inputs: tuple[str, ...]
    constants: tuple[NDArray[Any], ...]
    output: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A tensor of the lowered program. ``data``: a constant that a kernel reads as an input."""

    name: str
    shape: Shape
    dtype: str
    data: NDArray[Any] | None = None

    @property
    def size_bytes(self) -> int:
        return prod(self.shape) * DTYPES[self.dtype].itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """A straight-line program. ``views``: a value -> the value whose memory it is."""

    graph: Graph
    calls: tuple[Call, ...]
    values: Mapping[str, Value]
    views: Mapping[str, str]

    def root(self, name: str) -> str:
        """The value that owns the memory of ``name``."""
        while name in self.views:
            name = self.views[name]
        return name


@dataclass(slots=True, eq=False)
class Node:
    """A value of a program in the making: an operand, or a step over other nodes."""

    operand: Operand | None = None
    function: str = ""
    arguments: tuple[Node, ...] = ()
    numbers: tuple[float, ...] = ()
    dtype: str = ""
    tensor: str = ""  # the input's name
    data: NDArray[Any] | None = None  # the constant's value


@dataclass(slots=True)
class Scalars:
    """Writes a program; operands may be added at any time, numbering happens at the end."""

    nodes: list[Node] = field(default_factory=list)

    def operand(
        self,
        source: Source,
        shape: Shape,
        dtype: str,
        *,
        tensor: str = "",
        data: NDArray[Any] | None = None,
    ) -> Node:
        operand = Operand(source=source, shape=shape, dtype=dtype)
        for known in self.nodes:
            if tensor and known.tensor == tensor and known.operand == operand:
                return known
        node = Node(operand=operand, dtype=dtype, tensor=tensor, data=data)
        self.nodes.append(node)
        return node

    def constant(self, data: NDArray[Any]) -> Node:
        return self.operand("constant", data.shape, data.dtype.name, data=data)

    def number(self, value: float, dtype: str = "float32") -> Node:
        return self.step("number", numbers=(value,), dtype=dtype)

    def step(
        self, function: str, *arguments: Node, numbers: tuple[float, ...] = (), dtype: str = ""
    ) -> Node:
        kind = dtype or arguments[0].dtype
        node = Node(function=function, arguments=arguments, numbers=numbers, dtype=kind)
        self.nodes.append(node)
        return node

    def program(self, result: Node) -> tuple[Program, tuple[str, ...], tuple[NDArray[Any], ...]]:
        """The program that ends in ``result``, its inputs' names and its constants' values."""
        used = _used(result)
        operands = [n for n in self.nodes if n.operand is not None and id(n) in used]
        operands.sort(key=lambda n: _ORDER[n.operand.source] if n.operand else 0)
        steps = [n for n in self.nodes if n.operand is None and id(n) in used]
        if steps and steps[-1] is not result:
            raise ValueError("a program must end in its result")
        numbers = {id(node): i for i, node in enumerate([*operands, *steps])}
        program = Program(
            operands=tuple(n.operand for n in operands if n.operand is not None),
            steps=tuple(
                Step(
                    function=n.function,
                    arguments=tuple(numbers[id(a)] for a in n.arguments),
                    numbers=n.numbers,
                    dtype=n.dtype,
                )
                for n in steps
            ),
        )
        return (
            program,
            tuple(n.tensor for n in operands if n.tensor),
            tuple(np.ascontiguousarray(n.data) for n in operands if n.data is not None),
        )


_ORDER = {"accumulator": 0, "input": 1, "constant": 2}


def _used(result: Node) -> set[int]:
    seen: set[int] = set()
    stack = [result]
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen.add(id(node))
            stack.extend(node.arguments)
    return seen


def splice(
    scalars: Scalars,
    program: Program,
    inputs: tuple[str, ...],
    constants: tuple[NDArray[Any], ...],
    replaced: Mapping[int, Node],
) -> Node:
    """Write a finished program into ``scalars``; operand n becomes ``replaced[n]`` if given."""
    names, data = iter(inputs), iter(constants)
    nodes: list[Node] = []
    for number, operand in enumerate(program.operands):
        tensor = next(names) if operand.source == "input" else ""
        array = next(data) if operand.source == "constant" else None
        nodes.append(
            replaced.get(number)
            or scalars.operand(
                operand.source, operand.shape, operand.dtype, tensor=tensor, data=array
            )
        )
    for step in program.steps:
        arguments = [nodes[i] for i in step.arguments]
        nodes.append(
            scalars.step(step.function, *arguments, numbers=step.numbers, dtype=step.dtype)
        )
    return nodes[-1]
