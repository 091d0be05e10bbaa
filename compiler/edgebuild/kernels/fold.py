# SPDX-License-Identifier: Apache-2.0
"""Operators whose inputs are all constant, computed at build time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels.interpreter import run_lowered
from edgebuild.kernels.lowering import lower
from edgebuild.kernels.specs import Pool2d, Spec
from edgebuild.model.graph import DTYPES, Graph, Operator, Tensor

#: a folded value may be larger than what it is made from, but not without end
LIMIT_BYTES = 256 << 20
#: nor may a forged file keep the tool busy for hours
LIMIT_WORK = 1 << 30


def evaluate(tensors: Mapping[str, Tensor], operator: Operator) -> NDArray[Any] | None:
    """The value of ``operator``, if its inputs are constants and the value is of sane size."""
    output = tensors[operator.outputs[0]]
    inputs = [_known(tensors[name]) for name in operator.inputs]
    if any(tensor.data is None for tensor in inputs) or output.size_bytes > LIMIT_BYTES:
        return None
    quick = _quick(operator, inputs, output)
    if quick is not None:
        return quick
    if not output.size_bytes:
        return np.zeros(output.shape, DTYPES[output.dtype])
    graph = Graph(
        name="constant",
        format="",
        digest="",
        tensors={tensor.name: tensor for tensor in (*inputs, output)},
        operators=(operator,),
        inputs=(),
        outputs=(output.name,),
    )
    lowered = lower(graph)
    if sum(_work(call.spec) for call in lowered.calls) > LIMIT_WORK:
        return None
    return run_lowered(lowered, [])[output.name]


def _known(tensor: Tensor) -> Tensor:
    """What has no elements is a constant, whoever computes it: a sum of it is 0."""
    if tensor.data is not None or tensor.size_bytes:
        return tensor
    return replace(tensor, data=np.zeros(tensor.shape, DTYPES[tensor.dtype]))


def _work(spec: Spec) -> int:
    """Steps that a kernel takes, roughly."""
    taps = prod(spec.window.kernel) * prod(spec.output) if isinstance(spec, Pool2d) else 0
    return max(spec.macs, taps)


def value_of(tensor: Tensor, data: NDArray[Any], operator: Operator, source: Tensor) -> Tensor:
    """``tensor`` as a constant. Dequantised numbers remember their scale (see ``requantise``)."""
    if operator.kind == "dequantize" and source.dtype == "int8":
        return replace(tensor, data=data, quantisation=source.quantisation)
    return replace(tensor, data=data)


def _quick(operator: Operator, inputs: list[Tensor], output: Tensor) -> NDArray[Any] | None:
    """What kernels have no code for, but constants need: half floats and odd integers."""
    data = inputs[0].data
    assert data is not None
    plain = inputs[0].quantisation is None and output.quantisation is None
    if operator.kind == "cast" or (operator.kind == "dequantize" and plain):
        return data.astype(DTYPES[output.dtype])
    if operator.kind == "dequantize" and inputs[0].quantisation is not None:
        return _dequantised(inputs[0], data)
    if operator.kind == "reshape":
        return data.reshape(output.shape)
    if operator.kind == "div" and data.dtype.kind in "iu" and 0 not in output.shape:
        other = inputs[1].data
        assert other is not None
        quotient = np.trunc(data.astype(np.float64) / np.where(other == 0, 1, other))
        return quotient.astype(DTYPES[output.dtype])
    return None


def _dequantised(tensor: Tensor, data: NDArray[Any]) -> NDArray[np.float32]:
    """Per tensor or along an axis, in float32."""
    found = tensor.quantisation
    assert found is not None
    shape = [1] * data.ndim
    if found.axis is not None:
        shape[found.axis] = -1
    scale = np.array(found.scale, np.float32).reshape(shape)
    zero = np.array(found.zero_point, np.int64).reshape(shape)
    return np.asarray((data.astype(np.int64) - zero).astype(np.float32) * scale, np.float32)


def fold(graph: Graph) -> Graph:
    """The graph with every constant operator replaced by its value."""
    tensors = dict(graph.tensors)
    operators = []
    for operator in graph.operators:
        value = evaluate(tensors, operator) if len(operator.outputs) == 1 else None
        if value is None:
            operators.append(operator)
            continue
        name = operator.outputs[0]
        tensors[name] = value_of(tensors[name], value, operator, tensors[operator.inputs[0]])
    return replace(graph, tensors=tensors, operators=tuple(operators))


def prune(graph: Graph) -> Graph:
    """The graph without operators that no output needs, and without tensors that nobody names."""
    needed = set(graph.outputs)
    operators = []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            needed.update(operator.inputs)
            operators.append(operator)
    operators.reverse()
    named = needed | set(graph.inputs) | {o for operator in operators for o in operator.outputs}
    tensors = {name: tensor for name, tensor in graph.tensors.items() if name in named}
    return replace(graph, tensors=tensors, operators=tuple(operators))
