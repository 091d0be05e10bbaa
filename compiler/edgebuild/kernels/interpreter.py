# SPDX-License-Identifier: Apache-2.0
"""Run a graph in NumPy: the oracle for bundles, and what folds constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels.calls import Lowered
from edgebuild.kernels.lowering import lower
from edgebuild.kernels.reference import evaluate
from edgebuild.kernels.specs import Copy
from edgebuild.model.graph import DTYPES, Graph

Array = NDArray[Any]


def run(graph: Graph, inputs: Sequence[Array]) -> dict[str, Array]:
    """Every tensor of the graph by name, given its inputs in order."""
    return run_lowered(lower(graph), inputs)


def run_lowered(lowered: Lowered, inputs: Sequence[Array]) -> dict[str, Array]:
    """Every value of a lowered program by name."""
    values: dict[str, Array] = {
        name: value.data for name, value in lowered.values.items() if value.data is not None
    }
    for name, array in zip(lowered.graph.inputs, inputs, strict=True):
        values[name] = np.asarray(array).reshape(lowered.values[name].shape)
    for call in lowered.calls:
        arguments = [
            *(_read(lowered, values, name) for name in call.inputs),
            *call.constants,
        ]
        target = lowered.values[lowered.root(call.output)]
        before = values.get(target.name) if isinstance(call.spec, Copy) else None
        result = evaluate(call.spec, _natural(call.spec.arguments(), arguments), before)
        values[target.name] = result.reshape(target.shape).astype(DTYPES[target.dtype])
    return _complete(lowered, values)


def _natural(declared: Sequence[Any], arguments: Sequence[Array]) -> list[Array]:
    return [array.reshape(a.shape) for a, array in zip(declared, arguments, strict=False)]


def _read(lowered: Lowered, values: Mapping[str, Array], name: str) -> Array:
    return values[lowered.root(name)].reshape(lowered.values[name].shape)


def _complete(lowered: Lowered, values: dict[str, Array]) -> dict[str, Array]:
    """Views, and values without elements, have no call of their own; fused values do not exist."""
    for name, value in lowered.values.items():
        if name in values:
            continue
        if lowered.root(name) in values:
            values[name] = _read(lowered, values, name)
        elif 0 in value.shape:
            values[name] = np.zeros(value.shape, DTYPES[value.dtype])
    return values


def outputs(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """The graph's outputs in order."""
    values = run(graph, inputs)
    return [values[name] for name in graph.outputs]
