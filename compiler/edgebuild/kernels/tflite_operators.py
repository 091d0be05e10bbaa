# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite operators as graph operators, one small function each.

``option(n)`` is field n of the operator's options table in schema.fbs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from edgebuild.errors.kernels import MODEL_MALFORMED, OPERATOR_UNSUPPORTED
from edgebuild.kernels import tflite_images, tflite_recurrent, tflite_shapes
from edgebuild.kernels.shapes import normal_axis, same_padding
from edgebuild.kernels.tflite_parts import dequantised_weights, fused_activation
from edgebuild.kernels.tflite_reader import TfliteOperator, unsupported
from edgebuild.kernels.tflite_shapes import checked_axis
from edgebuild.model.graph import Tensor

Converter = Callable[[TfliteOperator], None]


def _reshaped(o: TfliteOperator, tensor: Tensor, shape: tuple[int, ...], axis: int) -> str:
    """A constant under another shape; ``axis`` is where its channels are now."""
    if tensor.data is None or prod(shape) != tensor.data.size:
        raise MODEL_MALFORMED(f"weights of shape {list(tensor.shape)}", where=o.source)
    quantisation = tensor.quantisation
    if quantisation is not None and quantisation.axis is not None:
        quantisation = replace(quantisation, axis=axis)
    return o.builder.constant(tensor.name, tensor.data.reshape(shape), quantisation)


def _bias(o: TfliteOperator) -> list[str]:
    if not o.has(2):
        return []
    o.constant(2)
    return [o.name(2)]


def _window(o: TfliteOperator, kernel: tuple[int, int], slots: tuple[int, ...]) -> dict[str, Any]:
    """Stride, dilation and explicit padding; slots: padding, stride w, h, [dilation w, h]."""
    padding, stride_w, stride_h, *dilation_slots = slots
    dilation = (1, 1)
    if dilation_slots:
        dilation = (o.option(dilation_slots[1], default=1), o.option(dilation_slots[0], default=1))
    stride = (o.option(stride_h), o.option(stride_w))
    shape = o.shape(0)
    if min(*stride, *dilation) < 1 or len(shape) != 4:
        raise MODEL_MALFORMED(f"{o.kind} with stride {stride}", where=o.source)
    top = left = bottom = right = 0
    if o.option(padding, "<b") == 0:  # SAME
        top, bottom = same_padding(shape[1], kernel[0], stride[0], dilation[0])
        left, right = same_padding(shape[2], kernel[1], stride[1], dilation[1])
    return {"stride": stride, "dilation": dilation, "padding": (top, left, bottom, right)}


def _conv2d(o: TfliteOperator) -> None:
    weights = dequantised_weights(o, 1, 0)
    if len(weights.shape) != 4 or not weights.shape[3] or len(o.shape(0)) != 4:
        raise MODEL_MALFORMED(f"weights of shape {list(weights.shape)}", where=o.source)
    window = _window(o, (weights.shape[1], weights.shape[2]), (0, 1, 2, 4, 5))
    name = _reshaped(o, weights, weights.shape, 0)
    groups = o.shape(0)[3] // weights.shape[3]
    o.add("conv2d", [o.name(0), name, *_bias(o)], **window, groups=groups,
          activation=fused_activation(o, 3))  # fmt: skip


def _depthwise(o: TfliteOperator) -> None:
    weights = dequantised_weights(o, 1, 0)
    if len(weights.shape) != 4 or weights.shape[0] != 1:
        raise MODEL_MALFORMED(f"weights of shape {list(weights.shape)}", where=o.source)
    window = _window(o, (weights.shape[1], weights.shape[2]), (0, 1, 2, 5, 6))
    name = _reshaped(o, weights, weights.shape[1:], 2)
    o.add("depthwise_conv2d", [o.name(0), name, *_bias(o)], **window,
          activation=fused_activation(o, 4))  # fmt: skip


def _dense(o: TfliteOperator) -> None:
    x, weights = o.builder.tensors[o.name(0)], dequantised_weights(o, 1, 0)
    if o.option(1, "<b") != 0 or len(weights.shape) != 2 or not weights.shape[1]:
        raise MODEL_MALFORMED(f"weights of shape {list(weights.shape)}", where=o.source)
    name = _reshaped(o, weights, weights.shape, 0)
    value = x.name
    keep = bool(o.option(2, "<?", False))
    if not keep:
        rows = prod(x.shape) // weights.shape[1]
        value = tflite_shapes.reshape_to(o, value, (rows, weights.shape[1]))
    output = o.builder.tensors[o.output]
    shape = (*o.builder.tensors[value].shape[:-1], weights.shape[0])
    attributes = {"activation": fused_activation(o, 0)}
    if shape == (o.declared() or shape):
        o.add("dense", [value, name, *_bias(o)], **attributes)
        return
    flat = o.builder.emit("dense", [value, name, *_bias(o)], f"{o.output}_flat", o.source,
                          dtype=output.dtype, quantisation=output.quantisation,
                          **attributes)  # fmt: skip
    o.add("reshape", [flat], shape=output.shape)


def _pool(kind: str) -> Converter:
    def convert(o: TfliteOperator) -> None:
        kernel = (o.option(4), o.option(3))
        window = _window(o, kernel, (0, 1, 2))
        o.add(kind, [o.name(0)], kernel=kernel, stride=window["stride"],
              padding=window["padding"], count_padding=False,
              activation=fused_activation(o, 5))  # fmt: skip

    return convert


def _binary(kind: str, activation_slot: int | None = None) -> Converter:
    def convert(o: TfliteOperator) -> None:
        attributes = {}
        if activation_slot is not None:
            attributes["activation"] = fused_activation(o, activation_slot)
        o.add(kind, [o.name(0), o.name(1)], **attributes)

    return convert


def _unary(kind: str) -> Converter:
    def convert(o: TfliteOperator) -> None:
        o.add(kind, [o.name(0)])

    return convert


def _reduce(kind: str) -> Converter:
    def convert(o: TfliteOperator) -> None:
        rank = len(o.shape(0))
        try:
            axes = sorted({normal_axis(axis, rank) for axis in o.integers(1)})
        except ValueError as error:
            raise MODEL_MALFORMED(f"{o.kind}: {error}", where=o.source) from error
        o.add(kind, [o.name(0)], axes=tuple(axes), keep_dims=bool(o.option(0, "<?", False)))

    return convert


def _softmax(o: TfliteOperator) -> None:
    o.add("softmax", [o.name(0)], beta=float(o.option(0, "<f")))


def _transpose(o: TfliteOperator) -> None:
    o.add("transpose", [o.name(0)], perm=tuple(o.integers(1)))


def _pad(o: TfliteOperator) -> None:
    x = o.builder.tensors[o.name(0)]
    pairs = np.array(o.integers(1))
    if pairs.size != 2 * len(x.shape):
        raise MODEL_MALFORMED("paddings of another rank", where=o.source)
    value: float = x.quantisation.zero_point[0] if x.quantisation else 0
    if o.has(2):
        value = o.constant(2).reshape(-1)[0].item()
    before, after = (tuple(int(n) for n in side) for side in pairs.reshape(-1, 2).T)
    o.add("pad", [o.name(0)], before=before, after=after, value=value)


def _concat(o: TfliteOperator) -> None:
    if fused_activation(o, 1) != "none":
        raise OPERATOR_UNSUPPORTED("CONCATENATION with an activation", where=o.source)
    names = [o.name(number) for number in range(len(o.inputs))]
    if not names:
        raise MODEL_MALFORMED("CONCATENATION of nothing", where=o.source)
    o.add("concat", names, axis=checked_axis(o, o.option(0), len(o.shape(0))))


def _slice(o: TfliteOperator) -> None:
    begin, size, shape = o.integers(1), o.integers(2), o.shape(0)
    if not len(begin) == len(size) == len(shape):
        raise MODEL_MALFORMED("a slice of another rank", where=o.source)
    sizes = [n - b if s == -1 else s for n, b, s in zip(shape, begin, size, strict=True)]
    o.add("slice", [o.name(0)], begin=tuple(begin), size=tuple(sizes), stride=(1,) * len(shape))


def _strided_slice(o: TfliteOperator) -> None:
    # begin_mask 0, end_mask 1, ellipsis_mask 2, new_axis_mask 3, shrink_axis_mask 4
    begin, end, stride = (o.integers(number) for number in (1, 2, 3))
    shape = o.shape(0)
    if o.option(2) or o.option(3) or not len(begin) == len(end) == len(stride) <= len(shape):
        raise unsupported("STRIDED_SLICE with ellipsis or new axes", o.source)
    starts, sizes, steps = [0] * len(shape), list(shape), [1] * len(shape)
    for axis, (b, e, step) in enumerate(zip(begin, end, stride, strict=True)):
        bit = 1 << axis
        if step == 0 or not shape[axis]:
            raise MODEL_MALFORMED("a slice with stride 0", where=o.source)
        bounds = slice(None if o.option(0) & bit else b, None if o.option(1) & bit else e, step)
        if o.option(4) & bit:
            bounds = slice(b, b + 1 or None, 1)
        positions = range(*bounds.indices(shape[axis]))
        starts[axis], sizes[axis], steps[axis] = (
            bounds.indices(shape[axis])[0],
            len(positions),
            (positions.step),
        )
    attributes: dict[str, Any] = {
        "begin": tuple(starts),
        "size": tuple(sizes),
        "stride": tuple(steps),
    }
    x = o.builder.tensors[o.name(0)]
    if not o.option(4):
        o.add("slice", [x.name], **attributes)
        return
    part = o.builder.emit("slice", [x.name], f"{o.output}_part", o.source,
                          quantisation=x.quantisation, **attributes)  # fmt: skip
    kept = tuple(n for axis, n in enumerate(sizes) if not o.option(4) & (1 << axis))
    o.add("reshape", [part], shape=kept)


def _parts(o: TfliteOperator, value: str, axis: int, sizes: list[int]) -> None:
    shape = o.builder.tensors[value].shape
    begin = 0
    if len(sizes) != len(o.outputs) or sum(sizes) != shape[axis] or min(sizes, default=0) < 0:
        raise MODEL_MALFORMED(f"{o.kind} of {list(shape)} into {sizes}", where=o.source)
    for output, size in zip(o.outputs, sizes, strict=True):
        starts = tuple(begin if d == axis else 0 for d in range(len(shape)))
        extents = tuple(size if d == axis else n for d, n in enumerate(shape))
        o.builder.add("slice", [value], output, o.source, begin=starts, size=extents,
                      stride=(1,) * len(shape))  # fmt: skip
        begin += size


def _split(o: TfliteOperator) -> None:
    axis = checked_axis(o, (o.integers(0) or [0])[0], len(o.shape(1)))
    _parts(o, o.name(1), axis, [o.shape(1)[axis] // len(o.outputs)] * len(o.outputs))


def _split_v(o: TfliteOperator) -> None:
    axis = checked_axis(o, (o.integers(2) or [0])[0], len(o.shape(0)))
    sizes = o.integers(1)
    rest = o.shape(0)[axis] - sum(size for size in sizes if size >= 0)
    _parts(o, o.name(0), axis, [rest if size == -1 else size for size in sizes])


def _gather(o: TfliteOperator) -> None:
    if o.option(1):
        raise unsupported("GATHER with batch dimensions", o.source)
    o.add("gather", [o.name(0), o.name(1)], axis=checked_axis(o, o.option(0), len(o.shape(0))))


def _matmul(o: TfliteOperator) -> None:
    o.add("matmul", [o.name(0), o.name(1)], transpose_left=bool(o.option(0, "<?", False)),
          transpose_right=bool(o.option(1, "<?", False)))  # fmt: skip


def _gelu(o: TfliteOperator) -> None:
    o.add("gelu", [o.name(0)], approximate=bool(o.option(0, "<?", False)))


def _leaky_relu(o: TfliteOperator) -> None:
    o.add("leaky_relu", [o.name(0)], alpha=float(o.option(0, "<f")))


def _elu(o: TfliteOperator) -> None:
    o.add("elu", [o.name(0)], alpha=1.0)


def _compare(kind: str, negated: bool = False) -> Converter:
    """LESS_EQUAL is not GREATER, and so on (they differ for NaN alone)."""

    def convert(o: TfliteOperator) -> None:
        if not negated:
            o.add(kind, [o.name(0), o.name(1)])
            return
        found = o.builder.emit(kind, [o.name(0), o.name(1)], f"{o.output}_not", o.source,
                               dtype="bool")  # fmt: skip
        o.add("not", [found])

    return convert


def _logical(chosen: int) -> Converter:
    """a and b is b where a, else a; a or b is a where a, else b. ``chosen``: where a, take this."""

    def convert(o: TfliteOperator) -> None:
        first, second = o.name(0), o.name(1)
        pair = (second, first) if chosen == 2 else (first, second)
        o.add("select", [first, *pair])

    return convert


def _select(o: TfliteOperator) -> None:
    if o.kind == "SELECT" and len(o.shape(0)) not in (0, len(o.shape(1))):
        raise unsupported("SELECT of whole rows", o.source)
    o.add("select", [o.name(0), o.name(1), o.name(2)])


def _lookup(o: TfliteOperator) -> None:
    o.add("gather", [o.name(1), o.name(0)], axis=0)


def _add_n(o: TfliteOperator) -> None:
    value = o.name(0)
    for number in range(1, len(o.inputs) - 1):
        value = o.builder.emit("add", [value, o.name(number)], f"{o.output}_sum", o.source,
                               activation="none")  # fmt: skip
    o.add("add", [value, o.name(len(o.inputs) - 1)], activation="none")


def _log_softmax(o: TfliteOperator) -> None:
    """x - max - log(sum(exp(x - max))), in float32."""
    x = o.builder.tensors[o.name(0)]
    if x.dtype != "float32":
        raise unsupported(f"LOG_SOFTMAX of {x.dtype}", o.source)
    over: dict[str, Any] = {"axes": (len(x.shape) - 1,), "keep_dims": True}
    emit, wish = o.builder.emit, f"{o.output}_part"
    most = emit("reduce_max", [x.name], wish, o.source, **over)
    low = emit("sub", [x.name, most], wish, o.source, activation="none")
    total = emit("sum", [emit("exp", [low], wish, o.source)], wish, o.source, **over)
    o.add("sub", [low, emit("log", [total], wish, o.source)], activation="none")


CONVERTERS: dict[str, Converter] = {
    "CONV_2D": _conv2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _matmul,
    "AVERAGE_POOL_2D": _pool("average_pool2d"),
    "MAX_POOL_2D": _pool("max_pool2d"),
    "ADD": _binary("add", 0),
    "SUB": _binary("sub", 0),
    "MUL": _binary("mul", 0),
    "DIV": _binary("div", 0),
    "POW": _binary("pow"),
    "MAXIMUM": _binary("maximum"),
    "MINIMUM": _binary("minimum"),
    "PRELU": _binary("prelu"),
    "SQUARED_DIFFERENCE": _binary("squared_difference"),
    "MEAN": _reduce("mean"),
    "SUM": _reduce("sum"),
    "REDUCE_MAX": _reduce("reduce_max"),
    "REDUCE_MIN": _reduce("reduce_min"),
    "SOFTMAX": _softmax,
    "TRANSPOSE": _transpose,
    "PAD": _pad,
    "PADV2": _pad,
    "CONCATENATION": _concat,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "GATHER": _gather,
    "GELU": _gelu,
    "LEAKY_RELU": _leaky_relu,
    "ELU": _elu,
    "SELECT": _select,
    "SELECT_V2": _select,
    "LESS": _compare("less"),
    "GREATER": _compare("greater"),
    "EQUAL": _compare("equal"),
    "LESS_EQUAL": _compare("greater", negated=True),
    "GREATER_EQUAL": _compare("less", negated=True),
    "NOT_EQUAL": _compare("equal", negated=True),
    "LOGICAL_AND": _logical(2),
    "LOGICAL_OR": _logical(1),
    "EMBEDDING_LOOKUP": _lookup,
    "ADD_N": _add_n,
    "LOG_SOFTMAX": _log_softmax,
    **tflite_images.CONVERTERS,
    **tflite_recurrent.CONVERTERS,
    **tflite_shapes.CONVERTERS,
    **{
        name: _unary(kind)
        for name, kind in {
            "RELU": "relu", "RELU6": "relu6", "RELU_N1_TO_1": "relu_n1_to_1",
            "LOGISTIC": "logistic", "TANH": "tanh", "HARD_SWISH": "hard_swish", "EXP": "exp",
            "LOG": "log", "SQRT": "sqrt", "RSQRT": "rsqrt", "NEG": "neg", "ABS": "abs",
            "SQUARE": "square", "FLOOR": "floor", "CAST": "cast", "QUANTIZE": "quantize",
            "DEQUANTIZE": "dequantize",
        }.items()
    },
}  # fmt: skip
