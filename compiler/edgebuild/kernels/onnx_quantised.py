# SPDX-License-Identifier: Apache-2.0
"""QuantizeLinear and DequantizeLinear; ``requantise`` later makes 8-bit operators of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx

from edgebuild.errors.kernels import TYPE_UNSUPPORTED
from edgebuild.kernels.onnx_reader import OnnxNode, data_type
from edgebuild.kernels.shapes import normal_axis
from edgebuild.model.graph import Quantisation, Tensor


def _parameters(o: OnnxNode, dtype: str) -> Quantisation:
    """Scale and zero point, constant; along an axis when they are vectors.

    uint8 is held as int8: both the stored numbers and the zero point move by 128.
    """
    scale = o.constant(1).astype(np.float32).reshape(-1)
    zero = o.constant(2).reshape(-1) if o.has(2) else np.zeros(len(scale), dtype)
    if dtype not in ("int8", "int32", "uint8"):
        raise TYPE_UNSUPPORTED(
            f"{o.kind} of {dtype}", where=f"operator {o.source}", hint="quantise to int8"
        )
    if not (np.isfinite(scale).all() and (scale > 0).all() and len(zero) == len(scale)):
        raise ValueError("scale and zero point do not fit")
    axis = normal_axis(o.get("axis", 1), len(o.shape(0))) if len(scale) > 1 else None
    if axis is not None and o.shape(0)[axis] != len(scale):
        raise ValueError("as many scales as channels")
    moved = 128 if dtype == "uint8" else 0
    return Quantisation(
        scale=tuple(float(s) for s in scale),
        zero_point=tuple(int(z) - moved for z in zero),
        axis=axis,
    )


def _quantize(o: OnnxNode) -> None:
    found = _parameters(o, _stored_type(o))
    name = o.builder.emit("quantize", [o.name(0)], o.outputs[0], o.source, dtype="int8",
                          quantisation=found)  # fmt: skip
    o.give(name)
    if _stored_type(o) == "uint8":
        o.builder.moved_by_128[name] = found


def _stored_type(o: OnnxNode) -> str:
    """That of the zero point; without one, what the node says itself (since opset 21)."""
    if o.has(2):
        return o.tensor(2).dtype
    return data_type(int(o.get("output_dtype", 0)) or onnx.TensorProto.UINT8, o.outputs[0])


def _dequantize(o: OnnxNode) -> None:
    x = o.tensor(0)
    if x.dtype == "float32":
        raise o.unsupported("of what was quantised with a scale that only the running model knows")
    found = _parameters(o, o.tensor(2).dtype if o.has(2) else x.dtype)
    if x.dtype == "uint8":
        name = _signed(o, x, found)
    elif x.quantisation is None:
        # a constant or an input of the model: the parameters become its own
        name = x.name
        o.builder.tensors[name] = replace(x, quantisation=found)
    elif x.quantisation == found:
        name = x.name
    else:
        raise o.unsupported("with other parameters than its input was quantised with")
    o.result("dequantize", [name], dtype="float32")


def _signed(o: OnnxNode, x: Tensor, found: Quantisation) -> str:
    """A uint8 constant or input of the model as int8."""
    if x.data is not None:
        data = (x.data.astype(np.int16) - 128).astype(np.int8)
        return o.builder.constant(f"{x.name}/int8", data, found)
    zeros = tuple(zero + 128 for zero in found.zero_point)
    o.builder.tensors[x.name] = replace(x, quantisation=replace(found, zero_point=zeros))
    return o.builder.emit("quantize", [x.name], f"{x.name}/int8", o.source, dtype="int8",
                          quantisation=found)  # fmt: skip


CONVERTERS: dict[str, Callable[[OnnxNode], None]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
}
