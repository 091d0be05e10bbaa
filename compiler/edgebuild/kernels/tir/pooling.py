# SPDX-License-Identifier: Apache-2.0
"""Pooling windows: vectors along the channels, the window clipped to the image."""

from __future__ import annotations

from tvm import tirx

from edgebuild.kernels.specs import Pool2d
from edgebuild.kernels.tir.emit import Expr, Index, Registers, cast, const, splat
from edgebuild.kernels.tir.floats import Floats
from edgebuild.kernels.tir.frame import Build, Frame, along, store
from edgebuild.kernels.tir.scalars import Point, divide_rounded


def _accumulator(spec: Pool2d) -> str:
    if spec.dtype == "float32":
        return "float32"
    return "int32" if spec.function == "average" else spec.dtype


def _lowest(spec: Pool2d) -> float:
    return -float("inf") if spec.dtype == "float32" else -128


class Clip:
    """The taps of one axis that lie inside of the image, for one output coordinate."""

    def __init__(self, frame: Frame, spec: Pool2d, axis: int, at: Expr) -> None:
        window, w = spec.window, frame.w
        step, size = window.dilation[axis], spec.input[axis + 1]
        self.origin = w.let(at * window.stride[axis] - window.padding[axis])
        zero, taps = const(0, "int64"), const(window.kernel[axis], "int64")
        # first tap with origin + tap * step >= 0; one past the last below size
        first = tirx.Div(zero - self.origin + (step - 1), const(step, "int64"))
        last = tirx.Div(const(size + step - 1, "int64") - self.origin, const(step, "int64"))
        self.first = w.let(tirx.Select(self.origin < zero, first, zero))
        self.last = w.let(tirx.Min(last, taps))
        self.step = step


def pool(spec: Pool2d, kernel: Build) -> None:
    n, oh, ow, channels = spec.output
    frame = kernel.frame(n * oh)
    w = frame.w
    programs = frame.programs(spec.epilogue, spec.output)
    with frame.each_task() as row:
        height = const(oh, "int64")
        number, y = w.let(tirx.Div(row, height)), w.let(tirx.Mod(row, height))
        down = Clip(frame, spec, 0, y)
        with w.loop(0, ow, "x") as x:
            across = Clip(frame, spec, 1, x)
            count = _count(frame, spec, down, across)
            place = w.let((row * ow + x) * channels)

            def body(c: Index, lanes: int) -> None:
                total = _window(frame, spec, number, down, across, c, lanes)
                value = _average(frame, spec, total, count, lanes)
                point = Point(coordinates=(number, y, x, c), lanes=lanes)
                store(frame.output, place + c, programs.run(point, value))

            isa = kernel.isa
            along(w, channels, isa.byte_lanes if spec.dtype == "int8" else isa.lanes, body)
    frame.finish()


def _count(frame: Frame, spec: Pool2d, down: Clip, across: Clip) -> Expr:
    if spec.count_padding:
        return const(spec.window.kernel[0] * spec.window.kernel[1], "int64")
    return frame.w.let((down.last - down.first) * (across.last - across.first))


def _window(
    frame: Frame, spec: Pool2d, number: Expr, down: Clip, across: Clip, c: Index, lanes: int
) -> Registers:
    w, (_, h, width, channels) = frame.w, spec.input
    kind = _accumulator(spec)
    total = w.registers(kind, lanes, 1, "sum")
    start = 0 if spec.function == "average" else _lowest(spec)
    total.set(0, const(start, kind, lanes))
    with w.loop(down.first, down.last, "ky") as ky:
        line = w.let((number * h + down.origin + ky * down.step) * width + across.origin)
        with w.loop(across.first, across.last, "kx") as kx:
            at = w.let((line + kx * across.step) * channels) + c
            x = w.let(frame.inputs["input"].load(at, spec.dtype, lanes))
            total.set(0, _join(frame, spec, total.get(0), x))
    return total


def _join(frame: Frame, spec: Pool2d, total: Expr, x: Expr) -> Expr:
    if spec.function == "average":
        return total + cast(x, _accumulator(spec))
    if spec.dtype == "float32":
        return Floats(frame.w, frame.isa).maximum(frame.w.let(total), x)
    return tirx.Max(total, x)


def _average(frame: Frame, spec: Pool2d, total: Registers, count: Expr, lanes: int) -> Expr:
    w = frame.w
    if spec.function == "maximum":
        return w.let(total.get(0))
    if spec.dtype == "float32":
        divisor = splat(cast(count, "float32"), lanes)
        return w.let(tirx.Div(total.get(0), divisor))
    divisor = w.let(splat(cast(count, "int32"), lanes))
    return divide_rounded(w, w.let(total.get(0)), divisor, lanes)
