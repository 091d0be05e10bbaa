# SPDX-License-Identifier: Apache-2.0
"""Quantised ONNX: dequantise, float operator, quantise, as one 8-bit operator.

ONNX writes an 8-bit model as float operators between QuantizeLinear and DequantizeLinear. Where
both sides of an operator are int8 it is computed as TFLite would, and weights stay int8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.model.graph import Graph, Operator, Quantisation, Tensor

_WEIGHTED = ("conv2d", "depthwise_conv2d", "dense")
_PLAIN = (
    "add", "sub", "mul", "average_pool2d", "max_pool2d", "mean", "concat", "reshape", "transpose",
    "pad", "slice", "relu", "relu6", "logistic", "tanh", "hard_swish", "leaky_relu", "clip",
)  # fmt: skip
#: these move or compare stored numbers, so both sides need one scale
_SAME_SCALE = frozenset({"average_pool2d", "max_pool2d", "reshape", "transpose", "pad", "slice"})


@dataclass(slots=True)
class _State:
    tensors: dict[str, Tensor]
    producers: dict[str, Operator]
    readers: dict[str, int]

    def stored(self, name: str) -> Tensor | None:
        """The int8 tensor that ``name`` is the dequantised form of."""
        made = self.producers.get(name)
        if made is None or made.kind != "dequantize":
            return None
        tensor = self.tensors[made.inputs[0]]
        found = tensor.quantisation
        usable = tensor.dtype == "int8" and found is not None and found.axis is None
        return tensor if usable else None

    def free(self, wish: str) -> str:
        name, number = f"{wish}/int8", 1
        while name in self.tensors:
            number += 1
            name = f"{wish}/int8.{number}"
        return name

    def add(self, wish: str, data: NDArray[Any], quantisation: Quantisation | None) -> str:
        name = self.free(wish)
        self.tensors[name] = Tensor(
            name=name, shape=data.shape, dtype=data.dtype.name, quantisation=quantisation, data=data
        )
        return name


def requantise(graph: Graph) -> Graph:
    """The graph with 8-bit operators where both sides allow; what they replace is pruned later."""
    readers: dict[str, int] = {}
    for operator in graph.operators:
        for name in operator.inputs:
            readers[name] = readers.get(name, 0) + 1
    for name in graph.outputs:
        readers[name] = readers.get(name, 0) + 1
    state = _State(dict(graph.tensors), {n: o for o in graph.operators for n in o.outputs}, readers)
    operators = tuple(
        new
        for operator in graph.operators
        for new in _moved_down(state, _converted(state, operator) or operator)
    )
    return replace(graph, tensors=state.tensors, operators=operators)


def _moved_down(s: _State, operator: Operator) -> tuple[Operator, ...]:
    """A transpose or reshape of a dequantised value moves the stored bytes instead."""
    if operator.kind not in ("transpose", "reshape") or len(operator.inputs) != 1:
        return (operator,)
    stored, output = s.stored(operator.inputs[0]), s.tensors[operator.outputs[0]]
    if stored is None:
        return (operator,)
    name = s.free(output.name)
    s.tensors[name] = replace(output, name=name, dtype="int8", quantisation=stored.quantisation)
    moved = replace(operator, name=name, inputs=(stored.name,), outputs=(name,))
    back = replace(operator, kind="dequantize", inputs=(name,), attributes={})
    s.producers[output.name] = back
    return (moved, back)


def _converted(s: _State, last: Operator) -> Operator | None:
    """The 8-bit operator that gives what the quantise ``last`` gives."""
    made = s.producers.get(last.inputs[0]) if last.kind == "quantize" else None
    output = s.tensors[last.outputs[0]]
    if made is None or output.dtype != "int8" or s.readers.get(last.inputs[0]) != 1:
        return None
    if made.kind in _WEIGHTED:
        inputs = _weighted(s, made)
    elif made.kind in _PLAIN:
        inputs = _plain(s, made, output)
    else:
        inputs = None
    if inputs is None:
        return None
    attributes = dict(made.attributes)
    if made.kind == "pad" and output.quantisation is not None:
        found = output.quantisation
        attributes["value"] = round(attributes["value"] / found.scale[0]) + found.zero_point[0]
    return replace(last, kind=made.kind, inputs=inputs, attributes=attributes, source=made.source)


def _plain(s: _State, made: Operator, output: Tensor) -> tuple[str, ...] | None:
    names = []
    for name in made.inputs:
        tensor = s.stored(name)
        if tensor is None:
            return None
        if made.kind in _SAME_SCALE and tensor.quantisation != output.quantisation:
            return None
        names.append(tensor.name)
    return tuple(names)


def _weighted(s: _State, made: Operator) -> tuple[str, ...] | None:
    x, weights = s.stored(made.inputs[0]), s.tensors[made.inputs[1]]
    found = weights.quantisation
    if x is None or x.quantisation is None or found is None or weights.data is None:
        return None
    if any(found.zero_point) or weights.dtype != "float32":
        return None
    shape = [1] * weights.data.ndim
    if found.axis is not None:
        shape[found.axis] = -1
    scale = np.array(found.scale, np.float32)
    # the float weights are scale * integer: dividing gives the integer back
    data = np.rint(weights.data / scale.reshape(shape)).astype(np.int8)
    names = [x.name, s.add(weights.name, data, found)]
    if len(made.inputs) > 2:
        bias = s.tensors[made.inputs[2]].data
        if bias is None:
            return None
        steps = bias.reshape(-1).astype(np.float64) / (x.quantisation.scale[0] * scale)
        limited = np.clip(np.rint(steps), -(1 << 31), (1 << 31) - 1)
        names.append(s.add(made.inputs[2], limited.astype(np.int32), None))
    return tuple(names)
