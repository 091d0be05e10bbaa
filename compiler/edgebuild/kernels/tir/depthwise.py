# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions: vectors run along the channels, tiles along the columns."""

from __future__ import annotations

import numpy as np
from tvm import tirx

from edgebuild.kernels.specs import Depthwise2d
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import bias_first
from edgebuild.kernels.tir.emit import Expr, Index, cast, const, llvm, splat
from edgebuild.kernels.tir.frame import Build, Frame, along, store
from edgebuild.kernels.tir.prepare import image
from edgebuild.kernels.tir.products import Form
from edgebuild.kernels.tir.scalars import Point, Programs


def reach(spec: Depthwise2d, axis: int) -> int:
    """Rows or columns that the windows touch; all of them where no padding is needed."""
    touched = (spec.output[axis + 1] - 1) * spec.window.stride[axis] + 1
    touched += (spec.window.kernel[axis] - 1) * spec.window.dilation[axis]
    whole = spec.input[axis + 1]
    return touched if spec.window.padding[axis] or touched > whole else whole


class Weights:
    """Weights and the start of the accumulators in the kernel's constants."""

    def __init__(self, spec: Depthwise2d, kernel: Build) -> None:
        o, taps = spec.output[3], spec.window.kernel[0] * spec.window.kernel[1]
        self.bias = bias_first(spec.epilogue, o)
        self.kind = "float32" if spec.dtype == "float32" else "int32"

        def start(c: Constants) -> Array:
            sums = c["weights"].astype(np.int64).reshape(taps, o).sum(axis=0)
            first = np.zeros(o) if self.kind == "float32" else sums * -spec.input_zero
            return first if self.bias is None else first + c[f"p{self.bias}"].reshape(-1)

        self.start_at = kernel.block.reserve("start", self.kind, o, start)
        self.at = kernel.block.reserve("weights", spec.dtype, taps * o, lambda c: c["weights"])


def depthwise(spec: Depthwise2d, kernel: Build) -> None:
    size = (reach(spec, 0), reach(spec, 1))
    source = "float32" if spec.dtype == "float32" else "int8"
    padded, at = size != spec.input[1:3], 0
    if padded:
        plain = Form(group=1, lanes=1, source=source)
        at = image(kernel, plain, spec.input, zero=spec.input_zero,
                   before=spec.window.padding, size=size).at  # fmt: skip
    weights = Weights(spec, kernel)
    frame = kernel.frame(spec.output[0] * spec.output[1])
    programs = frame.programs(spec.epilogue, spec.output)
    lanes = kernel.isa.lanes if spec.output[3] == spec.input[3] or spec.input[3] == 1 else 1
    height = const(spec.output[1], "int64")
    with frame.each_task() as row:
        number = frame.w.let(tirx.Div(row, height))
        y = frame.w.let(tirx.Mod(row, height))
        base = frame.w.let(
            number * (size[0] * size[1] * spec.input[3])
            + y * (spec.window.stride[0] * size[1] * spec.input[3]) + at
        )  # fmt: skip
        with frame.w.loop(0, spec.output[2], "x") as x:
            place = frame.w.let((row * spec.output[2] + x) * spec.output[3])
            left = frame.w.let(base + x * (spec.window.stride[1] * spec.input[3]))

            def body(c: Index, n: int) -> None:
                total = _sum(spec, frame, weights, left, c, n, size[1], padded)
                point = Point(coordinates=(number, y, x, c), lanes=n)
                skip = 0 if weights.bias is None else 1
                store(frame.output, place + c, programs.run(point, total, skip=skip))

            along(frame.w, spec.output[3], lanes, body)
    frame.finish()


def _sum(
    spec: Depthwise2d, frame: Frame, weights: Weights, left: Expr, c: Index, lanes: int,
    columns: int, padded: bool,
) -> Expr:  # fmt: skip
    """All taps of ``lanes`` channels at one position."""
    w, memory = frame.w, frame.scratch if padded else frame.inputs["input"]
    (kh, kw), (dh, dw) = spec.window.kernel, spec.window.dilation
    multiplier = spec.output[3] // spec.input[3]
    total = w.let(frame.constants.load(weights.start_at + c, weights.kind, lanes))
    for ky in range(kh):
        for kx in range(kw):
            shift = (ky * dh * columns + kx * dw) * spec.input[3]
            if multiplier == 1:
                x = memory.load(left + shift + c, spec.dtype, lanes)
            elif spec.input[3] == 1:
                x = splat(memory.load(left + shift, spec.dtype), lanes)
            else:
                channel = tirx.Div(c, const(multiplier, "int64")) if not isinstance(c, int) else (
                    c // multiplier
                )  # fmt: skip
                x = memory.load(left + shift + channel, spec.dtype, lanes)
            tap = frame.constants.load(
                weights.at + (ky * kw + kx) * spec.output[3] + c, spec.dtype, lanes
            )
            total = w.let(_multiply_add(frame, x, tap, total, lanes))
    return total


def _multiply_add(frame: Frame, x: Expr, tap: Expr, total: Expr, lanes: int) -> Expr:
    if str(total.ty).startswith("float"):
        if frame.isa.fma:
            return llvm("float32", lanes, "llvm.fma", x, tap, total)
        return total + x * tap
    return total + cast(x, "int32") * cast(tap, "int32")


__all__ = ["Programs", "depthwise"]
