# SPDX-License-Identifier: Apache-2.0
"""Find the operators that exporters took apart: layer normalisation written as eight others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.model.graph import Graph, Operator, Tensor


@dataclass(slots=True)
class _Finder:
    tensors: dict[str, Tensor]
    producers: dict[str, Operator]
    readers: dict[str, list[Operator]]
    outputs: frozenset[str]

    def made_by(self, name: str, *kinds: str) -> Operator | None:
        found = self.producers.get(name)
        return found if found is not None and found.kind in kinds else None

    def number(self, name: str) -> float | None:
        """The value of a constant with one element."""
        data = self.tensors[name].data
        return float(data.reshape(-1)[0]) if data is not None and data.size == 1 else None

    def only_reader(self, name: str) -> Operator | None:
        found = self.readers.get(name, [])
        return found[0] if len(found) == 1 and name not in self.outputs else None


def recognise(graph: Graph) -> Graph:
    """The graph with layer normalisations as one operator; what they replace is pruned later."""
    finder = _Finder(
        dict(graph.tensors),
        {name: o for o in graph.operators for name in o.outputs},
        _readers(graph),
        frozenset(graph.outputs),
    )
    replaced: dict[str, Operator] = {}
    for operator in graph.operators:
        found = _layer_norm(finder, operator) if operator.kind == "div" else None
        if found is not None:
            replaced[found.outputs[0]] = found
    operators = tuple(replaced.get(o.outputs[0], o) for o in graph.operators)
    return replace(graph, tensors=finder.tensors, operators=operators)


def _readers(graph: Graph) -> dict[str, list[Operator]]:
    readers: dict[str, list[Operator]] = {}
    for operator in graph.operators:
        for name in operator.inputs:
            readers.setdefault(name, []).append(operator)
    return readers


def _layer_norm(f: _Finder, division: Operator) -> Operator | None:
    """(x - mean(x)) / sqrt(mean((x - mean(x))**2) + epsilon), and the scale and offset after it."""
    centred, root = f.producers.get(division.inputs[0]), f.made_by(division.inputs[1], "sqrt")
    if centred is None or centred.kind != "sub" or root is None:
        return None
    x, mean = centred.inputs[0], f.made_by(centred.inputs[1], "mean")
    epsilon, variance = _plus_epsilon(f, root.inputs[0])
    if mean is None or variance is None or mean.inputs[0] != x:
        return None
    if not _over_last(f, mean) or not _over_last(f, variance):
        return None
    if not _is_square(f, variance.inputs[0], centred.outputs[0]):
        return None
    columns = f.tensors[x].shape[-1]
    last, scale = _vector(f, division, "mul", np.ones(columns, np.float32))
    last, offset = _vector(f, last, "add", np.zeros(columns, np.float32))
    names = [_constant(f, last.outputs[0], data) for data in (scale, offset)]
    return replace(last, kind="layer_norm", inputs=(x, *names),
                   attributes={"epsilon": epsilon})  # fmt: skip


def _plus_epsilon(f: _Finder, name: str) -> tuple[float, Operator | None]:
    total = f.made_by(name, "add")
    if total is None:
        return 0.0, f.made_by(name, "mean")
    for value, other in (total.inputs, total.inputs[::-1]):
        number = f.number(value)
        if number is not None:
            return number, f.made_by(other, "mean")
    return 0.0, None


def _over_last(f: _Finder, mean: Operator) -> bool:
    rank = len(f.tensors[mean.inputs[0]].shape)
    return tuple(mean.attributes["axes"]) == (rank - 1,) and bool(mean.attributes["keep_dims"])


def _is_square(f: _Finder, name: str, of: str) -> bool:
    made = f.made_by(name, "pow", "mul", "square")
    if made is None or made.inputs[0] != of:
        return False
    return (
        made.kind == "square"
        or (made.kind == "mul" and made.inputs[1] == of)
        or (made.kind == "pow" and f.number(made.inputs[1]) == 2.0)
    )


def _vector(
    f: _Finder, operator: Operator, kind: str, neutral: NDArray[Any]
) -> tuple[Operator, NDArray[Any]]:
    """The product or sum with a vector that alone reads ``operator``, and that vector."""
    reader = f.only_reader(operator.outputs[0])
    if reader is None or reader.kind != kind:
        return operator, neutral
    other = next((n for n in reader.inputs if n != operator.outputs[0]), None)
    data = f.tensors[other].data if other is not None else None
    if data is None or data.size != neutral.size or data.shape[-1] != neutral.size:
        return operator, neutral
    return reader, data.reshape(-1)


def _constant(f: _Finder, wish: str, data: NDArray[Any]) -> str:
    name = _free(f.tensors, f"{wish}/parameter")
    f.tensors[name] = Tensor(name=name, shape=data.shape, dtype="float32", data=data)
    return name


def _free(taken: dict[str, Tensor] | Sequence[str], wish: str) -> str:
    name, number = wish, 1
    while name in taken:
        number += 1
        name = f"{wish}{number}"
    return name
