# SPDX-License-Identifier: Apache-2.0
"""ONNX operators that take 8-bit tensors with their scales as inputs (the QOperator format).

Each becomes DequantizeLinear, the float operator and QuantizeLinear, as the QDQ format writes it:
``requantise`` finds the 8-bit operator in that. Dynamic quantisation, whose scales only the
running model knows, is computed in float32 from the 8-bit weights.

Source: ONNX's QLinearConv, QLinearMatMul, MatMulInteger, ConvInteger, DynamicQuantizeLinear, and
ONNX Runtime's contrib operators (docs/ContribOperators.md) for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgebuild.errors.kernels import MODEL_MALFORMED
from edgebuild.kernels.onnx_reader import OnnxNode

Converter = Callable[[OnnxNode], None]

NOTE = "dynamically quantised operators are computed in float32, from their 8-bit weights"


def _as(o: OnnxNode, kind: str, inputs: Sequence[str | None], **attributes: Any) -> str:
    """What a node of another kind with these inputs gives."""
    from edgebuild.kernels.onnx_operators import CONVERTERS

    output = f"{o.outputs[0]}/{kind}"
    before = len(o.builder.operators)
    node = replace(o, kind=kind, inputs=list(inputs), outputs=[output], attributes=attributes,
                   results={})  # fmt: skip
    CONVERTERS[kind](node)
    o.builder.fold(before)
    return node.results[output]


def _real(o: OnnxNode, first: int, axis: int = 0) -> str:
    """The float value of the input ``first``, whose scale and zero point follow it."""
    triple = [o.name(first + n) if o.has(first + n) else None for n in range(3)]
    return _as(o, "DequantizeLinear", triple, axis=axis)


def _stored(o: OnnxNode, value: str, first: int) -> None:
    """A float value, quantised as the inputs from ``first`` say, is the node's output."""
    zero = o.name(first + 1) if o.has(first + 1) else None
    o.give(_as(o, "QuantizeLinear", [value, o.name(first), zero]))


def _bias(o: OnnxNode, number: int, x_scale: int, weights_scale: int) -> list[str]:
    """int32 in steps of input scale times weight scale, as floats."""
    if not o.has(number):
        return []
    steps = o.constant(x_scale).astype(np.float64).reshape(-1)
    steps = steps * o.constant(weights_scale).astype(np.float64).reshape(-1)
    data = (o.constant(number).reshape(-1) * steps).astype(np.float32)
    return [o.builder.constant(f"{o.outputs[0]}/bias", data)]


def _conv(o: OnnxNode) -> None:
    inputs = [_real(o, 0), _real(o, 3), *_bias(o, 8, 1, 4)]
    _stored(o, _as(o, "Conv", inputs, **o.attributes), 6)


def _matmul(o: OnnxNode) -> None:
    columns = len(o.shape(3)) - 1
    _stored(o, _as(o, "MatMul", [_real(o, 0), _real(o, 3, columns)]), 6)


def _gemm(o: OnnxNode) -> None:
    axis = 0 if o.get("transB", 0) else 1
    inputs = [_real(o, 0), _real(o, 3, axis), *_bias(o, 6, 1, 4)]
    value = _as(o, "Gemm", inputs, **o.attributes)
    if o.has(7):
        _stored(o, value, 7)
    else:
        o.give(value)


def _binary(kind: str) -> Converter:
    def convert(o: OnnxNode) -> None:
        _stored(o, _as(o, kind, [_real(o, 0), _real(o, 3)]), 6)

    return convert


def _unary(kind: str) -> Converter:
    """The float operator has the same attributes, but for those that only say how it is laid."""

    def convert(o: OnnxNode) -> None:
        if o.get("channels_last", 0):
            raise o.unsupported("with its channels last")
        rank = len(o.shape(0))
        if kind == "Softmax" and o.get("opset", 13) < 13 and o.get("axis", 1) not in (-1, rank - 1):
            raise o.unsupported("over several axes")
        kept = {k: v for k, v in o.attributes.items() if k not in ("channels_last", "opset")}
        _stored(o, _as(o, kind, [_real(o, 0)], **kept), 3)

    return convert


def _concat(o: OnnxNode) -> None:
    if (len(o.inputs) - 2) % 3:
        raise MODEL_MALFORMED("an input without a scale", where=o.source)
    parts = [_real(o, first) for first in range(2, len(o.inputs), 3)]
    _stored(o, _as(o, "Concat", parts, **o.attributes), 0)


def _dynamic(o: OnnxNode) -> None:
    """The value itself, with the scale 1: no precision is given away."""
    o.builder.notes.append(NOTE)
    o.give(o.name(0))
    o.give(o.builder.constant(f"{o.outputs[0]}/scale", np.array(1, np.float32)), 1)
    o.give(o.builder.constant(f"{o.outputs[0]}/zero", np.array(0, np.uint8)), 2)


def _weights(o: OnnxNode, number: int, zero: int, axis: int) -> str:
    """8-bit weights less their zero point, as floats."""
    if o.tensor(0).dtype != "float32":
        raise o.unsupported("of integers that nothing quantised")
    data = o.constant(number).astype(np.float32)
    if o.has(zero):
        points = o.constant(zero).astype(np.float32).reshape(-1)
        shape = [1] * data.ndim
        shape[axis] = -1
        data = data - points.reshape(shape)
    return o.builder.constant(f"{o.outputs[0]}/weights", data)


def _matmul_integer(o: OnnxNode) -> None:
    columns = len(o.shape(1)) - 1
    o.give(_as(o, "MatMul", [o.name(0), _weights(o, 1, 3, columns)]))


def _conv_integer(o: OnnxNode) -> None:
    o.give(_as(o, "Conv", [o.name(0), _weights(o, 1, 3, 0)], **o.attributes))


def _dynamic_matmul(o: OnnxNode) -> None:
    """DynamicQuantizeMatMul: A (float), B, its scale, its zero point, bias."""
    o.builder.notes.append(NOTE)
    columns = len(o.shape(1)) - 1
    product = _as(o, "MatMul", [o.name(0), _weights(o, 1, 3, columns)])
    value = o.emit("mul", [product, o.name(2)])
    o.give(o.emit("add", [value, o.name(4)]) if o.has(4) else value)


CONVERTERS: dict[str, Converter] = {
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearMul": _binary("Mul"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearLeakyRelu": _unary("LeakyRelu"),
    "QLinearSoftmax": _unary("Softmax"),
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearAveragePool": _unary("AveragePool"),
    "QLinearConcat": _concat,
    "DynamicQuantizeLinear": _dynamic,
    "MatMulInteger": _matmul_integer,
    "ConvInteger": _conv_integer,
    "DynamicQuantizeMatMul": _dynamic_matmul,
}
