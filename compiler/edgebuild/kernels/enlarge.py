# SPDX-License-Identifier: Apache-2.0
"""Transposed convolutions and resized images, for both importers, from operators that exist.

A transposed convolution with stride s is a plain one with s * s times the channels at the small
size, one group of channels for each position within a cell of s by s, whose pixels are then
interleaved: no multiplication by an inserted zero. Integers stay exact, since padded weights are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels.builder import GraphBuilder
from edgebuild.model.graph import Quantisation, Tensor

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One spatial axis of a transposed convolution. ``crop``: outputs left out before."""

    size: int
    kernel: int
    stride: int
    crop: int
    output: int

    @property
    def taps(self) -> int:
        """Input pixels under one output pixel."""
        return -(-self.kernel // self.stride)

    @property
    def first(self) -> int:
        """The first cell of ``stride`` outputs that is computed."""
        return min(self.crop // self.stride, self.taps - 1)

    @property
    def cells(self) -> int:
        return max(-(-(self.crop + self.output) // self.stride), self.size) - self.first

    @property
    def padding(self) -> Pair:
        before = self.taps - 1 - self.first
        return before, self.cells + self.taps - 1 - before - self.size


def transposed(
    builder: GraphBuilder, x: str, weights: Tensor, bias: NDArray[np.generic] | None,
    axes: tuple[Axis, Axis], wish: str, source: str, quantisation: Quantisation | None,
) -> str:  # fmt: skip
    """The NHWC image; ``weights`` are (kh, kw, o, c). Raises ValueError for a shape of no sense."""
    data = weights.data
    if data is None or data.ndim != 4 or min(data.shape, default=0) < 1:
        raise ValueError("weights of a transposed convolution")
    if any(a.output < 1 or a.crop < 0 or a.stride < 1 for a in axes):
        raise ValueError("a transposed convolution without an output")
    cells = tuple(a.stride for a in axes)
    count, outputs = cells[0] * cells[1], data.shape[2]
    packed = builder.constant(
        f"{weights.name}/cells", _cells(data, axes), _repeated(weights.quantisation, count)
    )
    names = [x, packed]
    if bias is not None:
        names.append(builder.constant(f"{wish}/bias", np.tile(bias.reshape(-1), count)))
    (top, bottom), (left, right) = (a.padding for a in axes)
    made = builder.emit(
        "conv2d", names, f"{wish}/cells", source, quantisation=quantisation, stride=(1, 1),
        dilation=(1, 1), padding=(top, left, bottom, right), groups=1, activation="none",
    )  # fmt: skip
    image = interleaved(builder, made, (cells[0], cells[1]), outputs, wish, source)
    shape = builder.tensors[image].shape
    begin = [a.crop - a.first * a.stride for a in axes]
    return builder.emit(
        "slice", [image], f"{wish}/cropped", source, quantisation=quantisation,
        begin=(0, *begin, 0), size=(shape[0], axes[0].output, axes[1].output, outputs),
        stride=(1, 1, 1, 1),
    )  # fmt: skip


def _cells(data: NDArray[np.generic], axes: tuple[Axis, Axis]) -> NDArray[np.generic]:
    """(kh, kw, o, c) as (stride * stride * o, taps, taps, c): within a cell, taps backwards."""
    vertical, horizontal = axes
    _, _, outputs, channels = data.shape
    wide = np.zeros(
        (vertical.taps * vertical.stride, horizontal.taps * horizontal.stride, outputs, channels),
        data.dtype,
    )
    wide[: data.shape[0], : data.shape[1]] = data
    split = wide.reshape(vertical.taps, vertical.stride, horizontal.taps, horizontal.stride,
                         outputs, channels)[::-1, :, ::-1]  # fmt: skip
    ordered = split.transpose(1, 3, 4, 0, 2, 5)
    return ordered.reshape(-1, vertical.taps, horizontal.taps, channels)


def _repeated(found: Quantisation | None, count: int) -> Quantisation | None:
    if found is None or found.axis is None:
        return found
    return Quantisation(scale=found.scale * count, zero_point=found.zero_point * count, axis=0)


def interleaved(
    builder: GraphBuilder, x: str, block: Pair, channels: int, wish: str, source: str
) -> str:
    """(n, h, w, bh * bw * c) as (n, h * bh, w * bw, c)."""
    n, h, w, _ = builder.tensors[x].shape
    quantisation = builder.tensors[x].quantisation
    split = builder.emit("reshape", [x], f"{wish}/split", source, quantisation=quantisation,
                         shape=(n, h, w, *block, channels))  # fmt: skip
    moved = builder.emit("transpose", [split], f"{wish}/moved", source,
                         quantisation=quantisation, perm=(0, 1, 3, 2, 4, 5))  # fmt: skip
    return builder.emit("reshape", [moved], f"{wish}/interleaved", source,
                        quantisation=quantisation,
                        shape=(n, h * block[0], w * block[1], channels))  # fmt: skip


def repeated(builder: GraphBuilder, x: str, times: Sequence[int], wish: str, source: str) -> str:
    """``x`` so many times along each axis: a broadcast, along an axis of its own where it must."""
    shape, quantisation = builder.tensors[x].shape, builder.tensors[x].quantisation
    if len(times) != len(shape) or min(times, default=1) < 0:
        raise ValueError(f"{list(shape)} repeated {list(times)} times")
    narrow: list[int] = []
    wide: list[int] = []
    for extent, count in zip(shape, times, strict=True):
        apart = count != 1 and extent != 1
        narrow += [1, extent] if apart else [extent]
        wide += [count, extent] if apart else [extent * count]
    split = builder.emit("reshape", [x], f"{wish}/split", source, quantisation=quantisation,
                         shape=tuple(narrow))  # fmt: skip
    large = builder.emit("broadcast", [split], f"{wish}/wide", source, quantisation=quantisation,
                         shape=tuple(wide))  # fmt: skip
    return builder.emit("reshape", [large], f"{wish}/repeated", source, quantisation=quantisation,
                        shape=tuple(n * t for n, t in zip(shape, times, strict=True)))  # fmt: skip


def picked(
    builder: GraphBuilder, x: str, axis: int, rows: NDArray[np.int64], wish: str, source: str
) -> str:
    """Rows of ``x`` along an axis by known numbers; itself where they are all, in order."""
    tensor = builder.tensors[x]
    if np.array_equal(rows, np.arange(tensor.shape[axis])):
        return x
    index = builder.constant(f"{wish}/rows", rows)
    return builder.emit("gather", [x, index], f"{wish}/picked", source,
                        quantisation=tensor.quantisation, axis=axis)  # fmt: skip


def blended(
    builder: GraphBuilder, x: str, axis: int, places: NDArray[np.float64], wish: str, source: str
) -> str:
    """Linear interpolation along an axis at real positions, clamped to the image; float32."""
    shape = builder.tensors[x].shape
    limited = np.clip(places, 0, shape[axis] - 1)
    low = np.minimum(np.floor(limited).astype(np.int64), shape[axis] - 1)
    high = np.minimum(low + 1, shape[axis] - 1)
    share = (limited - low).astype(np.float32)
    if not share.any():
        return picked(builder, x, axis, low, wish, source)
    column: Sequence[int] = [-1 if d == axis else 1 for d in range(len(shape))]
    parts = []
    for rows, part in ((low, np.float32(1) - share), (high, share)):
        factor = builder.constant(f"{wish}/share", part.reshape(column))
        taken = picked(builder, x, axis, rows, wish, source)
        parts.append(builder.emit("mul", [taken, factor], f"{wish}/part", source,
                                  activation="none"))  # fmt: skip
    return builder.emit("add", parts, f"{wish}/blended", source, activation="none")


def positions(have: int, want: int, mode: str, scale: float | None = None) -> NDArray[np.float64]:
    """Where each output pixel lies in the input (ONNX's coordinate_transformation_mode).

    Raises ValueError for a mode that is not known.
    """
    number = np.arange(want, dtype=np.float64)
    step = have / want if scale is None else 1 / scale
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and want > 1):
        return (number + 0.5) * step - 0.5
    if mode == "pytorch_half_pixel":
        return number * 0
    if mode == "align_corners":
        return number * ((have - 1) / (want - 1) if want > 1 else 0)
    if mode == "asymmetric":
        return number * step
    if mode == "tf_half_pixel":
        return (number + 0.5) * step
    raise ValueError(f"the coordinate transformation {mode}")
