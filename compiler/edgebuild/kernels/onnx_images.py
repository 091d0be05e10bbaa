# SPDX-License-Identifier: Apache-2.0
"""ONNX convolutions and pooling: channels first outside, channels last inside.

Each becomes transpose, NHWC operator, transpose; ``layout`` then cancels what meets. A signal
(one spatial axis) is an image of height 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.errors.kernels import MODEL_MALFORMED
from edgebuild.kernels import enlarge
from edgebuild.kernels.onnx_reader import OnnxNode, packed
from edgebuild.kernels.shapes import normal_axis, same_padding


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
        if len(o.outputs) > 1 and o.outputs[1]:
            raise o.unsupported("with indices")
        kernel = _pair(o, "kernel_shape", 0)
        window = _window(o, kernel)
        if window["dilation"] != (1, 1):
            raise o.unsupported("with dilation")
        image, counted = _image_in(o), bool(o.get("count_include_pad", 0))
        if o.get("ceil_mode", 0):
            padding = _rounded_up(o, kernel, window)
            if counted and padding != window["padding"]:
                # what is padded counts, and what only fills the last window does not
                image, padding = _widened(o, image, window["padding"], padding)
                counted = False
            window["padding"] = padding
        result = o.emit(
            kind,
            [image],
            kernel=kernel,
            stride=window["stride"],
            padding=window["padding"],
            count_padding=counted,
        )
        _image_out(o, result)

    return convert


def _widened(
    o: OnnxNode, image: str, inner: Sequence[int], whole: Sequence[int]
) -> tuple[str, tuple[int, int, int, int]]:
    """The image with the inner padding as zeros of its own, and the padding that is left."""
    top, left, bottom, right = inner
    wide = o.emit("pad", [image], before=(0, top, left, 0), after=(0, bottom, right, 0), value=0.0)
    return wide, (0, 0, whole[2] - bottom, whole[3] - right)


def _rounded_up(
    o: OnnxNode, kernel: tuple[int, int], window: dict[str, Any]
) -> tuple[int, int, int, int]:
    """Padding with which the output's size is rounded up; no window begins beyond the image."""
    shape, padding = o.shape(0), list(window["padding"])
    size = (1, shape[2]) if len(shape) == 3 else (shape[2], shape[3])
    for axis in (0, 1):
        before, stride = padding[axis], window["stride"][axis]
        total = size[axis] + before + padding[axis + 2]
        count = -(-(total - kernel[axis]) // stride) + 1
        if (count - 1) * stride >= size[axis] + before:
            count -= 1
        needed = (count - 1) * stride + kernel[axis] - size[axis] - before
        padding[axis + 2] = max(needed, padding[axis + 2])
    return padding[0], padding[1], padding[2], padding[3]


def _conv_transpose(o: OnnxNode) -> None:
    weights = o.constant(1)
    if weights.ndim == 3:
        weights = weights[:, :, None, :]
    if weights.ndim != 4:
        raise MODEL_MALFORMED(f"weights of shape {list(weights.shape)}", where=o.source)
    if int(o.get("group", 1)) != 1 or _pair(o, "dilations", 1) != (1, 1):
        raise o.unsupported("with groups or dilation")
    image = _image_in(o)
    size = o.builder.tensors[image].shape[1:3]
    extra, outputs = _spatial(o, "output_padding"), _spatial(o, "output_shape")
    pads = _explicit(o, len(o.shape(0)) - 2)
    axes = []
    for axis, stride in enumerate(_pair(o, "strides", 1)):
        kernel = weights.shape[2 + axis]
        whole = stride * (size[axis] - 1) + extra[axis] + kernel
        mode = o.get("auto_pad", "NOTSET")
        wanted = outputs[axis] or (stride * size[axis] if mode.startswith("SAME") else 0)
        total = max(0, whole - wanted) if wanted else pads[axis] + pads[axis + 2]
        crop = pads[axis]
        if wanted:
            crop = total - total // 2 if mode == "SAME_LOWER" else total // 2
        axes.append(enlarge.Axis(size=size[axis], kernel=kernel, stride=stride, crop=crop,
                                 output=wanted or whole - total))  # fmt: skip
    arranged = packed(o, 1, weights.transpose(2, 3, 1, 0), "hwoi", 2)
    bias = o.constant(2) if o.has(2) else None
    value = enlarge.transposed(
        o.builder, image, o.builder.tensors[arranged], bias, (axes[0], axes[1]), o.outputs[0],
        o.source, None,
    )  # fmt: skip
    _image_out(o, value)


def _spatial(o: OnnxNode, attribute: str) -> tuple[int, int]:
    """As ``_pair``, of numbers that may be 0."""
    values = [int(v) for v in o.get(attribute, [0, 0])][-2:]
    return (0, values[0]) if len(o.shape(0)) == 3 else (values[0], values[1])


def _depth_to_space(o: OnnxNode) -> None:
    """DCR (depth, column, row) splits the channels block first, CRD block last."""
    n, c, h, w = o.shape(0)
    block = int(o.attributes["blocksize"])
    kept = c // (block * block)
    first = o.get("mode", "DCR") == "DCR"
    split = (n, block, block, kept, h, w) if first else (n, kept, block, block, h, w)
    wide = o.emit("reshape", [o.name(0)], shape=split)
    moved = o.emit("transpose", [wide], perm=(0, 3, 4, 1, 5, 2) if first else (0, 1, 4, 2, 5, 3))
    o.result("reshape", [moved], shape=(n, kept, h * block, w * block))


def _space_to_depth(o: OnnxNode) -> None:
    n, c, h, w = o.shape(0)
    block = int(o.attributes["blocksize"])
    split = o.emit("reshape", [o.name(0)], shape=(n, c, h // block, block, w // block, block))
    first = o.get("mode", "DCR") == "DCR"
    moved = o.emit("transpose", [split], perm=(0, 3, 5, 1, 2, 4) if first else (0, 1, 3, 5, 2, 4))
    o.result("reshape", [moved], shape=(n, c * block * block, h // block, w // block))


def _resize(o: OnnxNode) -> None:
    """Along each axis by itself: rows by number, or a blend of two."""
    shape, mode = o.shape(0), o.get("mode", "nearest")
    if mode not in ("nearest", "linear") or o.get("antialias", 0):
        raise o.unsupported(f"in mode {mode}" + " with antialias" * bool(o.get("antialias", 0)))
    axes = [normal_axis(a, len(shape)) for a in o.get("axes", list(range(len(shape))))]
    if o.has(3):
        sizes: list[int] = o.integers(3) or []
        scales: list[float | None] = [None] * len(sizes)
    else:
        found = [float(s) for s in o.constant(2).reshape(-1)]
        sizes = [int(np.floor(shape[a] * s)) for a, s in zip(axes, found, strict=True)]
        scales = [*found]
    placed = o.get("coordinate_transformation_mode", "half_pixel")
    rounding = o.get("nearest_mode", "round_prefer_floor")
    for unused in ("cubic_coeff_a", "exclude_outside", "extrapolation_value"):
        o.get(unused, 0)  # of other modes
    if placed == "tf_crop_and_resize" or o.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise o.unsupported("of a part of the image")
    value = o.name(0)
    for axis, want, scale in zip(axes, sizes, scales, strict=True):
        if want < 1 or want > 1 << 16:
            raise MODEL_MALFORMED(f"{o.kind} to {sizes}", where=o.source)
        if want == shape[axis] and scale in (None, 1.0):
            continue
        places = enlarge.positions(shape[axis], want, placed, scale)
        if mode == "nearest":
            whole = _nearest(places, rounding)
            rows = np.clip(whole, 0, shape[axis] - 1).astype(np.int64)
            value = enlarge.picked(o.builder, value, axis, rows, o.outputs[0], o.source)
        else:
            value = enlarge.blended(o.builder, value, axis, places, o.outputs[0], o.source)
    o.give(value)


def mirrored(o: OnnxNode, before: Sequence[int], after: Sequence[int]) -> None:
    """Pad with what the image holds: its reflection, its edge, or its other side."""
    modes = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    mode, value, shape = modes[o.get("mode", "")], o.name(0), o.shape(0)
    for axis, sides in enumerate(zip(before, after, strict=True)):
        if any(sides):
            if max(sides) > 1 << 16:
                raise o.unsupported("by so much")
            rows: NDArray[Any] = np.pad(np.arange(shape[axis]), sides, mode=mode)  # type: ignore[call-overload]
            value = enlarge.picked(o.builder, value, axis, rows, o.outputs[0], o.source)
    o.give(value)


def _nearest(places: NDArray[np.float64], mode: str) -> NDArray[np.float64]:
    """Real positions as whole ones. Raises KeyError for a mode that is not known."""
    rounded = {
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
        "floor": np.floor(places),
        "ceil": np.ceil(places),
    }
    return rounded[mode]


CONVERTERS: dict[str, Callable[[OnnxNode], None]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "MaxPool": _pool("max_pool2d"),
    "AveragePool": _pool("average_pool2d"),
    "Resize": _resize,
}
