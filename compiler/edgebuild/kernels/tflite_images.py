# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite operators that enlarge images or take them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgebuild.errors.kernels import MODEL_MALFORMED
from edgebuild.kernels import enlarge
from edgebuild.kernels.shapes import same_padding
from edgebuild.kernels.tflite_parts import dequantised_weights, fused_activation
from edgebuild.kernels.tflite_reader import TfliteOperator, unsupported

Converter = Callable[[TfliteOperator], None]


def _image(o: TfliteOperator, number: int) -> tuple[int, ...]:
    shape = o.shape(number)
    if len(shape) != 4 or min(shape) < 1:
        raise MODEL_MALFORMED(f"{o.kind} of shape {list(shape)}", where=o.source)
    return shape


def _finish(o: TfliteOperator, value: str, activation: str = "none") -> None:
    """``value`` is the operator's output."""
    if activation != "none":
        quantisation = o.builder.tensors[value].quantisation
        value = o.builder.emit(activation, [value], f"{o.output}_plain", o.source,
                               quantisation=quantisation)  # fmt: skip
    o.add("reshape", [value], shape=o.builder.tensors[value].shape)


def _transpose_conv(o: TfliteOperator) -> None:
    # padding 0, stride_w 1, stride_h 2, fused_activation_function 3
    weights = dequantised_weights(o, 1, 2)
    image, wanted = _image(o, 2), o.integers(0)
    stride = (o.option(2), o.option(1))
    if len(weights.shape) != 4 or len(wanted) != 4 or min(stride) < 1 or min(wanted) < 1:
        raise MODEL_MALFORMED(f"weights of shape {list(weights.shape)}", where=o.source)
    axes = []
    for axis in (0, 1):
        kernel, step, output = weights.shape[axis + 1], stride[axis], wanted[axis + 1]
        crop = same_padding(output, kernel, step, 1)[0] if o.option(0, "<b") == 0 else 0
        axes.append(enlarge.Axis(size=image[axis + 1], kernel=kernel, stride=step, crop=crop,
                                 output=output))  # fmt: skip
    assert weights.data is not None
    arranged = replace(weights, data=weights.data.transpose(1, 2, 0, 3))
    bias = o.constant(3) if o.has(3) else None
    value = enlarge.transposed(
        o.builder, o.name(2), arranged, bias, (axes[0], axes[1]), o.output, o.source,
        o.builder.tensors[o.output].quantisation,
    )  # fmt: skip
    _finish(o, value, fused_activation(o, 3))


def _rows(have: int, want: int, corners: bool, half: bool) -> NDArray[np.int64]:
    """As GetNearestNeighbor of resize_nearest_neighbor.h, in float32."""
    scale = np.float32(have) / np.float32(want)
    if corners and want > 1:
        scale = np.float32(have - 1) / np.float32(want - 1)
    place = (np.arange(want, dtype=np.float32) + np.float32(0.5 if half else 0)) * scale
    whole = np.floor(place + np.float32(0.5)) if corners else np.floor(place)
    return np.asarray(np.clip(whole.astype(np.int64), 0, have - 1))


def _sizes(o: TfliteOperator) -> list[int]:
    sizes = o.integers(1)
    if len(sizes) != 2 or min(sizes) < 1 or max(sizes) > 1 << 16:
        raise MODEL_MALFORMED(f"{o.kind} to {sizes}", where=o.source)
    return sizes


def _nearest(o: TfliteOperator) -> None:
    # align_corners 0, half_pixel_centers 1
    image, value = _image(o, 0), o.name(0)
    for axis, want in enumerate(_sizes(o), 1):
        rows = _rows(image[axis], want, o.option(0, "<?", False), o.option(1, "<?", False))
        value = enlarge.picked(o.builder, value, axis, rows, o.output, o.source)
    _finish(o, value)


def _bilinear(o: TfliteOperator) -> None:
    # align_corners 2, half_pixel_centers 3
    image, value = _image(o, 0), o.name(0)
    if o.builder.tensors[value].dtype != "float32":
        raise unsupported(f"{o.kind} of {o.builder.tensors[value].dtype}", o.source)
    mode = "half_pixel" if o.option(3, "<?", False) else "asymmetric"
    mode = "align_corners" if o.option(2, "<?", False) else mode
    for axis, want in enumerate(_sizes(o), 1):
        places = enlarge.positions(image[axis], want, mode)
        value = enlarge.blended(o.builder, value, axis, places, o.output, o.source)
    _finish(o, value)


def _block(o: TfliteOperator) -> int:
    block = int(o.option(0))
    if block < 1:
        raise MODEL_MALFORMED(f"{o.kind} with blocks of {block}", where=o.source)
    return block


def _depth_to_space(o: TfliteOperator) -> None:
    channels, block = _image(o, 0)[3], _block(o)
    value = enlarge.interleaved(o.builder, o.name(0), (block, block),
                                channels // (block * block), o.output, o.source)  # fmt: skip
    _finish(o, value)


def _space_to_depth(o: TfliteOperator) -> None:
    (n, h, w, c), block = _image(o, 0), _block(o)
    quantisation = o.builder.tensors[o.name(0)].quantisation
    split = o.builder.emit(
        "reshape", [o.name(0)], f"{o.output}_split", o.source, quantisation=quantisation,
        shape=(n, h // block, block, w // block, block, c),
    )  # fmt: skip
    moved = o.builder.emit("transpose", [split], f"{o.output}_moved", o.source,
                           quantisation=quantisation, perm=(0, 1, 3, 2, 4, 5))  # fmt: skip
    o.add("reshape", [moved], shape=(n, h // block, w // block, block * block * c))


def _mirror_pad(o: TfliteOperator) -> None:
    # mode 0: REFLECT 0 leaves the edge out, SYMMETRIC 1 repeats it
    value, shape = o.name(0), o.shape(0)
    pairs = np.array(o.integers(1))
    edge = "symmetric" if o.option(0, "<b") else "reflect"
    if pairs.size != 2 * len(shape) or pairs.min(initial=0) < 0:
        raise MODEL_MALFORMED("paddings of another rank", where=o.source)
    for axis, (before, after) in enumerate(pairs.reshape(-1, 2).tolist()):
        if max(before, after) > shape[axis]:
            raise MODEL_MALFORMED("paddings beyond the image", where=o.source)
        rows = np.pad(np.arange(shape[axis]), (before, after), mode=edge)  # type: ignore[call-overload]
        value = enlarge.picked(o.builder, value, axis, rows, o.output, o.source)
    _finish(o, value)


CONVERTERS: dict[str, Converter] = {
    "TRANSPOSE_CONV": _transpose_conv,
    "RESIZE_NEAREST_NEIGHBOR": _nearest,
    "RESIZE_BILINEAR": _bilinear,
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_DEPTH": _space_to_depth,
    "MIRROR_PAD": _mirror_pad,
}
