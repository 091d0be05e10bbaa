# SPDX-License-Identifier: Apache-2.0
"""What several TensorFlow Lite operators have: a fused activation, and weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgebuild.errors.kernels import OPERATOR_UNSUPPORTED, TYPE_UNSUPPORTED
from edgebuild.kernels.tflite_reader import TfliteOperator
from edgebuild.model.graph import Tensor

_ACTIVATIONS = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6", 4: "tanh"}


def fused_activation(o: TfliteOperator, slot: int) -> str:
    number = o.option(slot, "<b")
    if number not in _ACTIVATIONS:
        raise OPERATOR_UNSUPPORTED(f"{o.kind} with activation {number}", where=o.source)
    return _ACTIVATIONS[number]


def dequantised_weights(o: TfliteOperator, number: int, data: int) -> Tensor:
    """Constant weights; dequantised when the input ``data`` they meet is float (dynamic range)."""
    o.constant(number)
    tensor = o.builder.tensors[o.name(number)]
    floating = o.builder.tensors[o.name(data)].dtype == "float32"
    if not (floating and tensor.dtype == "int8"):
        return tensor
    if tensor.name in o.builder.widened:
        return o.builder.widened[tensor.name]
    quantisation = tensor.quantisation
    if quantisation is None or tensor.data is None:
        raise TYPE_UNSUPPORTED("int8 weights without a scale", where=o.source)
    shape = [1] * len(tensor.shape)
    if quantisation.axis is not None:
        shape[quantisation.axis] = -1
    scale = np.array(quantisation.scale, np.float32).reshape(shape)
    zero = np.array(quantisation.zero_point, np.float32).reshape(shape)
    o.builder.notes.append(
        "operators of dynamic range are computed in float32, from their 8-bit weights"
    )
    floats = (tensor.data.astype(np.float32) - zero) * scale
    made = replace(tensor, dtype="float32", data=floats, quantisation=None)
    o.builder.widened[tensor.name] = made
    return made
