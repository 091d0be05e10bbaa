# SPDX-License-Identifier: Apache-2.0
"""A network as a TensorFlow Lite file."""

from __future__ import annotations

import numpy as np

from tests.models_network import Layer, Network, affine, quantise_weights
from tests.tflite_writer import ACTIVATIONS, Writer


def to_tflite(net: Network, *, int8: bool) -> bytes:
    """The network as a TensorFlow Lite file."""
    writer = Writer()
    kind = "int8" if int8 else "float32"

    def value(number: int) -> int:
        scale, zero = affine(net.range(number))
        quantised = {"scale": [scale], "zero_point": [zero]} if int8 else {}
        return writer.tensor(f"value_{number}", net.shape(number), kind, **quantised)

    values = [value(0)]
    for number, layer in enumerate(net.layers, 1):
        inputs = [values[each] for each in layer.inputs]
        if layer.weights is not None:
            inputs += _tflite_constants(writer, net, layer, number, int8)
        if layer.kind == "mean":
            inputs.append(writer.tensor(f"axes_{number}", (2,), "int32", data=np.int32([1, 2])))
        values.append(value(number))
        writer.operator(
            layer.kind,
            inputs,
            [values[-1]],
            int8=int8,
            stride=layer.stride,
            activation=ACTIVATIONS[layer.relu],
            keep=len(layer.shape) == 4,
        )
    return writer.finish([values[0]], [values[-1]])


def _tflite_constants(
    writer: Writer, net: Network, layer: Layer, number: int, int8: bool
) -> list[int]:
    assert layer.weights is not None
    assert layer.bias is not None
    names = f"weights_{number}", f"bias_{number}"
    if not int8:
        return [
            writer.tensor(names[0], layer.weights.shape, "float32", data=layer.weights),
            writer.tensor(names[1], layer.bias.shape, "float32", data=layer.bias),
        ]
    stored, scales, axis = quantise_weights(layer)
    zeros = [0] * len(scales)
    bias_scales = scales * np.float32(affine(net.range(layer.inputs[0]))[0])
    bias = np.round(layer.bias / bias_scales).astype(np.int32)
    return [
        writer.tensor(
            names[0], stored.shape, "int8", scale=scales, zero_point=zeros, axis=axis, data=stored
        ),
        writer.tensor(
            names[1], bias.shape, "int32", scale=bias_scales, zero_point=zeros, data=bias
        ),
    ]
