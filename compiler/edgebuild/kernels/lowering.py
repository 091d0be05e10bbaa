# SPDX-License-Identifier: Apache-2.0
"""Graph operators as kernel calls, one by one: no fusion here, only meaning.

The same calls, evaluated by ``reference``, are the interpreter of a graph; fused and compiled,
they are the bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.errors.kernels import OPERATOR_UNSUPPORTED, TYPE_UNSUPPORTED
from edgebuild.kernels.calls import Call, Lowered, Node, Scalars, Value
from edgebuild.kernels.program import Shape
from edgebuild.kernels.specs import Elementwise, Spec
from edgebuild.model.graph import Graph, Operator, Quantisation, Tensor

Array = NDArray[Any]


@dataclass(slots=True)
class Context:
    """What a lowering rule sees of the program being written."""

    graph: Graph
    values: dict[str, Value]
    calls: list[Call] = field(default_factory=list)
    views: dict[str, str] = field(default_factory=dict)

    def tensor(self, name: str) -> Tensor:
        return self.graph.tensors[name]

    def shape(self, name: str) -> Shape:
        return self.values[name].shape

    def root(self, name: str) -> str:
        """The value whose memory ``name`` is."""
        while name in self.views:
            name = self.views[name]
        return name

    def temporary(self, wish: str, shape: Shape, dtype: str) -> str:
        name = f"{wish}/{len(self.values)}"
        self.values[name] = Value(name=name, shape=shape, dtype=dtype)
        return name

    def call(
        self,
        spec: Spec,
        inputs: Sequence[str],
        constants: Sequence[Array],
        output: str,
        operator: Operator,
    ) -> None:
        self.calls.append(
            Call(
                spec=spec,
                inputs=tuple(inputs),
                constants=tuple(constants),
                output=output,
                sources=(operator.name,),
            )
        )

    def elementwise(self, scalars: Scalars, result: Node, output: str, operator: Operator) -> None:
        program, inputs, constants = scalars.program(result)
        spec = Elementwise(shape=self.shape(output), program=program)
        self.call(spec, inputs, constants, output, operator)

    def operand(self, scalars: Scalars, name: str) -> Node:
        """A tensor as a program's operand: a constant is taken into the program."""
        tensor = self.tensor(name)
        if tensor.data is not None:
            return scalars.constant(tensor.data)
        return scalars.operand("input", tensor.shape, tensor.dtype, tensor=name)


Rule = Callable[[Context, Operator], None]


def quantisation(tensor: Tensor, operator: Operator) -> tuple[float, int]:
    """Scale and zero point of a tensor that has one of each."""
    found = tensor.quantisation
    if found is None or found.axis is not None:
        raise TYPE_UNSUPPORTED(
            f"tensor {tensor.name!r} of type {tensor.dtype} needs one scale",
            where=f"operator {operator.source}",
        )
    return found.scale[0], found.zero_point[0]


def is_quantised(tensor: Tensor) -> bool:
    return tensor.dtype == "int8" and tensor.quantisation is not None


def per_channel(found: Quantisation, channels: int) -> NDArray[np.float64]:
    """Scales as a vector."""
    return np.broadcast_to(np.array(found.scale, np.float64), (channels,))


def lower(graph: Graph) -> Lowered:
    """Every operator as kernel calls. Raises OPERATOR_UNSUPPORTED or TYPE_UNSUPPORTED."""
    from edgebuild.kernels.rules import RULES

    values = {
        t.name: Value(name=t.name, shape=t.shape, dtype=t.dtype, data=t.data)
        for t in graph.tensors.values()
    }
    context = Context(graph, values)
    for operator in graph.operators:
        rule = RULES.get(operator.kind)
        if rule is None:
            raise OPERATOR_UNSUPPORTED(
                f"{operator.kind} has no kernel", where=f"operator {operator.source}"
            )
        _check_types(graph, operator)
        if all(prod(graph.tensors[name].shape) for name in operator.outputs):
            rule(context, operator)
    return Lowered(
        graph=graph, calls=tuple(context.calls), values=context.values, views=context.views
    )


_COMPUTED = frozenset({"float32", "int8", "uint8", "int32", "int64", "bool"})


def _check_types(graph: Graph, operator: Operator) -> None:
    for name in (*operator.inputs, *operator.outputs):
        dtype = graph.tensors[name].dtype
        if dtype not in _COMPUTED:
            raise TYPE_UNSUPPORTED(
                f"tensor {name!r} has the type {dtype}",
                where=f"operator {operator.source}",
                hint="export with float32 or int8 tensors",
            )
