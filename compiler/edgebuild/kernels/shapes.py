# SPDX-License-Identifier: Apache-2.0
"""The graph's operator kinds: what shape each one gives. Kernels trust these shapes.

Images are NHWC. ``infer`` raises ValueError for shapes that do not fit each other.

==================  ==============================================================================
kind                inputs; attributes
==================  ==============================================================================
conv2d              x, w (o,kh,kw,c/groups), [bias]; stride, dilation, padding (top, left, bottom,
                    right), groups, activation
depthwise_conv2d    x, w (kh,kw,o), [bias]; the same without groups
dense               x (...,k), w (n,k), [bias]; activation
matmul              a, b; transpose_left, transpose_right
average_pool2d      x; kernel, stride, padding, count_padding, activation (max_pool2d likewise)
mean, sum,
reduce_max, _min    x; axes, keep_dims
softmax             x; beta (over the last axis)
layer_norm          x, scale, offset; epsilon (over the last axis)
BINARY              a, b (broadcast); add, sub, mul, div: activation
UNARY               x; clip: lo, hi; leaky_relu, elu: alpha; gelu: approximate
select              condition, a, b (broadcast)
cast, quantize,
dequantize          x; the output tensor says the rest
reshape, broadcast  x; shape
transpose           x; perm
pad                 x; before, after, value
concat              x...; axis
slice               x; begin, size, stride
gather              x, indices; axis
==================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

Shape: TypeAlias = tuple[int, ...]
_Rule: TypeAlias = Callable[[Sequence[Shape], Mapping[str, Any]], Shape]

BINARY = frozenset(
    {
        "add",
        "sub",
        "mul",
        "div",
        "pow",
        "maximum",
        "minimum",
        "equal",
        "less",
        "greater",
        "prelu",
        "squared_difference",
    }
)
UNARY = frozenset(
    {"relu", "relu6", "relu_n1_to_1", "clip", "logistic", "tanh", "hard_swish", "hard_sigmoid",
     "exp", "log", "sqrt", "rsqrt", "neg", "abs", "erf", "gelu", "leaky_relu", "elu", "square",
     "floor", "not", "cast", "quantize", "dequantize"}
)  # fmt: skip


def windowed(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    """Output extent of a window sliding over ``size`` + ``padding``."""
    if min(kernel, stride, dilation) < 1 or padding < 0:
        raise ValueError("kernel, stride and dilation must be positive")
    extent = size + padding - (kernel - 1) * dilation - 1
    if extent < 0:
        raise ValueError(f"a window of {kernel} does not fit into {size} + {padding}")
    return extent // stride + 1


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's SAME: (before, after); the odd one goes after."""
    if stride < 1:
        raise ValueError("stride must be positive")
    needed = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return needed // 2, needed - needed // 2


def normal_axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def _image(x: Shape, kernel: Sequence[int], attributes: Mapping[str, Any]) -> tuple[int, int]:
    if len(x) != 4:
        raise ValueError(f"an image of rank {len(x)}")
    top, left, bottom, right = attributes["padding"]
    stride, dilation = attributes["stride"], attributes.get("dilation", (1, 1))
    if min(top, left, bottom, right) < 0:
        raise ValueError("negative padding")
    return (
        windowed(x[1], kernel[0], stride[0], dilation[0], top + bottom),
        windowed(x[2], kernel[1], stride[1], dilation[1], left + right),
    )


def _bias(shapes: Sequence[Shape], channels: int) -> None:
    if len(shapes) > 2 and prod(shapes[2]) != channels:
        raise ValueError(f"a bias of {prod(shapes[2])} for {channels} channels")


def _conv2d(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    x, w = shapes[0], shapes[1]
    groups = attributes["groups"]
    if len(w) != 4 or len(x) != 4 or groups < 1 or x[3] != w[3] * groups or w[0] % groups:
        raise ValueError(f"weights {list(w)} and {groups} groups for an input {list(x)}")
    _bias(shapes, w[0])
    return (x[0], *_image(x, w[1:3], attributes), w[0])


def _depthwise(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    x, w = shapes[0], shapes[1]
    if len(w) != 3 or len(x) != 4 or not x[3] or w[2] % x[3]:
        raise ValueError(f"weights {list(w)} for an input {list(x)}")
    _bias(shapes, w[2])
    return (x[0], *_image(x, w[:2], attributes), w[2])


def _dense(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    x, w = shapes[0], shapes[1]
    if len(w) != 2 or not x or x[-1] != w[1]:
        raise ValueError(f"weights {list(w)} for an input {list(x)}")
    _bias(shapes, w[0])
    return (*x[:-1], w[0])


def _matmul(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    a, b = shapes
    if len(a) < 2 or len(b) < 2:
        raise ValueError("matrices of rank below 2")
    m, k = (a[-1], a[-2]) if attributes["transpose_left"] else (a[-2], a[-1])
    k2, n = (b[-1], b[-2]) if attributes["transpose_right"] else (b[-2], b[-1])
    if k != k2:
        raise ValueError(f"{list(a)} times {list(b)}")
    return (*np.broadcast_shapes(a[:-2], b[:-2]), m, n)


def _pool(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    x = shapes[0]
    kernel, (top, left, bottom, right) = attributes["kernel"], attributes["padding"]
    if max(top, bottom) >= kernel[0] or max(left, right) >= kernel[1]:
        raise ValueError("padding as large as the window")
    return (x[0], *_image(x, kernel, attributes), x[3])


def _reduce(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    x, axes = shapes[0], attributes["axes"]
    if len({normal_axis(axis, len(x)) for axis in axes}) != len(axes):
        raise ValueError(f"axes {list(axes)} of {list(x)}")
    kept = [1 if axis in axes else n for axis, n in enumerate(x)]
    if attributes["keep_dims"]:
        return tuple(kept)
    return tuple(n for axis, n in enumerate(x) if axis not in axes)


def _broadcast_all(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    return tuple(np.broadcast_shapes(*shapes))


def _first(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    return shapes[0]


def _last_axis(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    x = shapes[0]
    if not x or any(prod(shape) != x[-1] for shape in shapes[1:]):
        raise ValueError(f"a normalisation of {list(x)} with {[list(s) for s in shapes[1:]]}")
    return x


def _reshape(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    shape = tuple(attributes["shape"])
    if prod(shape) != prod(shapes[0]) or min(shape, default=0) < 0:
        raise ValueError(f"{list(shapes[0])} reshaped to {list(shape)}")
    return shape


def _broadcast(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    shape = tuple(attributes["shape"])
    if tuple(np.broadcast_shapes(shapes[0], shape)) != shape:
        raise ValueError(f"{list(shapes[0])} broadcast to {list(shape)}")
    return shape


def _transpose(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    x, perm = shapes[0], attributes["perm"]
    if sorted(perm) != list(range(len(x))):
        raise ValueError(f"permutation {list(perm)} of {list(x)}")
    return tuple(x[axis] for axis in perm)


def _pad(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    before, after = attributes["before"], attributes["after"]
    if not len(before) == len(after) == len(shapes[0]) or min((*before, *after), default=0) < 0:
        raise ValueError(f"padding {list(before)}, {list(after)} of {list(shapes[0])}")
    return tuple(b + n + a for b, n, a in zip(before, shapes[0], after, strict=True))


def _concat(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    first = shapes[0]
    axis = normal_axis(attributes["axis"], len(first))
    for shape in shapes:
        if len(shape) != len(first) or any(
            a != b for d, (a, b) in enumerate(zip(shape, first, strict=True)) if d != axis
        ):
            raise ValueError(f"{list(shape)} joined to {list(first)} along {axis}")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _slice(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    begin, size, stride = attributes["begin"], attributes["size"], attributes["stride"]
    x = shapes[0]
    if not len(begin) == len(size) == len(stride) == len(x):
        raise ValueError("a slice of another rank")
    for n, b, s, step in zip(x, begin, size, stride, strict=True):
        if s < 0 or step == 0 or (s and not (0 <= b < n and 0 <= b + (s - 1) * step < n)):
            raise ValueError(f"slice {list(begin)}, {list(size)}, {list(stride)} of {list(x)}")
    return tuple(size)


def _gather(shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    x, indices = shapes
    axis = normal_axis(attributes["axis"], len(x))
    if not x[axis]:
        raise ValueError("a gather from nothing")
    return (*x[:axis], *indices, *x[axis + 1 :])


_RULES: dict[str, _Rule] = {
    "conv2d": _conv2d,
    "depthwise_conv2d": _depthwise,
    "dense": _dense,
    "matmul": _matmul,
    "average_pool2d": _pool,
    "max_pool2d": _pool,
    **dict.fromkeys(("mean", "sum", "reduce_max", "reduce_min"), _reduce),
    **dict.fromkeys((*BINARY, "select"), _broadcast_all),
    **dict.fromkeys(UNARY, _first),
    "softmax": _last_axis,
    "layer_norm": _last_axis,
    "reshape": _reshape,
    "broadcast": _broadcast,
    "transpose": _transpose,
    "pad": _pad,
    "concat": _concat,
    "slice": _slice,
    "gather": _gather,
}

KINDS = frozenset(_RULES)


def infer(kind: str, shapes: Sequence[Shape], attributes: Mapping[str, Any]) -> Shape:
    """The output's shape. Raises ValueError when the inputs' shapes do not fit."""
    return _RULES[kind](shapes, attributes)
