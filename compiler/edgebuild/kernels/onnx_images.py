# SPDX-License-Identifier: Apache-2.0
"""ONNX convolutions and pooling: channels first outside, channels last inside.

Each becomes transpose, NHWC operator, transpose; ``layout`` then cancels what meets. A signal
(one spatial axis) is an image of height 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgebuild.errors.kernels import MODEL_MALFORMED
from edgebuild.kernels.onnx_reader import OnnxNode, packed
from edgebuild.kernels.shapes import same_padding


def _image_in(o: OnnxNode) -> str:
    """The first input as NHWC."""
    shape = o.shape(0)
    if len(shape) == 4:
        return o.emit("transpose", [o.name(0)], perm=(0, 2, 3, 1))
    if len(shape) != 3:
        raise o.unsupported(f"of rank {len(shape)}")
    n, c, w = shape
    moved = o.emit("transpose", [o.name(0)], perm=(0, 2, 1))
    return o.emit("reshape", [moved], shape=(n, 1, w, c))


def _image_out(o: OnnxNode, value: str) -> None:
    """An NHWC value as the node's output."""
    n, _, w, c = o.builder.tensors[value].shape
    if len(o.shape(0)) == 4:
        o.result("transpose", [value], perm=(0, 3, 1, 2))
        return
    flat = o.emit("reshape", [value], shape=(n, w, c))
    o.result("transpose", [flat], perm=(0, 2, 1))


def _pair(o: OnnxNode, attribute: str, default: int) -> tuple[int, int]:
    """A value for each spatial axis; height 1 for a signal."""
    spatial = len(o.shape(0)) - 2
    values = [int(v) for v in o.get(attribute, [default] * spatial)]
    if len(values) != spatial or min(values) < 1:
        raise MODEL_MALFORMED(f"{attribute} {values} of {o.kind}", where=o.source)
    return (1, values[0]) if spatial == 1 else (values[0], values[1])


def _window(o: OnnxNode, kernel: Sequence[int]) -> dict[str, Any]:
    stride, dilation = _pair(o, "strides", 1), _pair(o, "dilations", 1)
    shape = o.shape(0)
    size = (1, shape[2]) if len(shape) == 3 else (shape[2], shape[3])
    mode = o.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        sides = [same_padding(*axis) for axis in zip(size, kernel, stride, dilation, strict=True)]
        ordered = [side if mode == "SAME_UPPER" else side[::-1] for side in sides]
        padding = [ordered[0][0], ordered[1][0], ordered[0][1], ordered[1][1]]
    elif mode == "VALID":
        padding = [0, 0, 0, 0]
    else:
        padding = _explicit(o, len(shape) - 2)
    return {"stride": stride, "dilation": dilation, "padding": tuple(padding)}


def _explicit(o: OnnxNode, spatial: int) -> list[int]:
    pads = [int(v) for v in o.get("pads", [0] * (2 * spatial))]
    if len(pads) != 2 * spatial:
        raise MODEL_MALFORMED(f"pads {pads} of {o.kind}", where=o.source)
    return [0, pads[0], 0, pads[1]] if spatial == 1 else pads


def _conv(o: OnnxNode) -> None:
    weights, groups = o.constant(1), int(o.get("group", 1))
    if weights.ndim == 3:
        weights = weights[:, :, None, :]
    if weights.ndim != 4:
        raise MODEL_MALFORMED(f"weights of shape {list(weights.shape)}", where=o.source)
    window = _window(o, weights.shape[2:])
    channels = o.shape(0)[1]
    bias = [o.builder.constant(f"{o.name(2)}/bias", o.constant(2))] if o.has(2) else []
    image = _image_in(o)
    if groups == channels and weights.shape[1] == 1:
        arranged = packed(o, 1, weights[:, 0].transpose(1, 2, 0), "hwo", 2)
        result = o.emit("depthwise_conv2d", [image, arranged, *bias], **window)
    else:
        arranged = packed(o, 1, weights.transpose(0, 2, 3, 1), "ohwi", 0)
        result = o.emit("conv2d", [image, arranged, *bias], **window, groups=groups)
    _image_out(o, result)


def _pool(kind: str) -> Callable[[OnnxNode], None]:
    def convert(o: OnnxNode) -> None:
        if o.get("ceil_mode", 0) or len(o.outputs) > 1:
            raise o.unsupported("with ceil_mode or indices")
        kernel = _pair(o, "kernel_shape", 0)
        window = _window(o, kernel)
        if window["dilation"] != (1, 1):
            raise o.unsupported("with dilation")
        image = _image_in(o)
        result = o.emit(
            kind,
            [image],
            kernel=kernel,
            stride=window["stride"],
            padding=window["padding"],
            count_padding=bool(o.get("count_include_pad", 0)),
        )
        _image_out(o, result)

    return convert


def _resize(o: OnnxNode) -> None:
    """Nearest-neighbour enlargement by whole numbers, as gathers along each axis."""
    shape = o.shape(0)
    if o.get("mode", "nearest") != "nearest":
        raise o.unsupported("in another mode than nearest")
    if o.has(3):
        sizes = o.integers(3) or []
    else:
        sizes = [int(n * s) for n, s in zip(shape, o.constant(2).reshape(-1), strict=True)]
    value = o.name(0)
    for axis, (have, want) in enumerate(zip(shape, sizes, strict=True)):
        if want % max(have, 1) or want < have:
            raise o.unsupported("by a fraction")
        if want != have:
            index = np.repeat(np.arange(have, dtype=np.int64), want // have)
            name = o.builder.constant(f"{o.outputs[0]}/rows", index)
            value = o.emit("gather", [value, name], axis=axis)
    o.give(value)


CONVERTERS: dict[str, Callable[[OnnxNode], None]] = {
    "Conv": _conv,
    "MaxPool": _pool("max_pool2d"),
    "AveragePool": _pool("average_pool2d"),
    "Resize": _resize,
}
