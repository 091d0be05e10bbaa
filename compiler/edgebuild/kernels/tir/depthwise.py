# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions: vectors run along the channels, register tiles along the columns.

A column that is loaded serves every output of the tile under whose window it lies, and a weight
every output. Floats are read where they are: rows outside of the image are skipped, and tiles at
the left and right edge are written out without the columns that are not there. Integers are read
from a padded copy, because a skipped position would change the sum by the zero point.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from tvm import tirx

from edgebuild.kernels.specs import Depthwise2d
from edgebuild.kernels.tir import depthwise_quads
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import bias_first
from edgebuild.kernels.tir.depthwise_quads import WRITTEN_OUT, taps
from edgebuild.kernels.tir.emit import (
    Expr,
    Index,
    Memory,
    Registers,
    cast,
    const,
    index,
    llvm,
    splat,
)
from edgebuild.kernels.tir.frame import Build, Frame, along, divided, even, store, window_reach
from edgebuild.kernels.tir.prepare import Copy, Strips
from edgebuild.kernels.tir.products import Form
from edgebuild.kernels.tir.scalars import Point, Programs


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
    """Tasks are output rows."""
    if spec.dtype == "int8" and depthwise_quads.suits(spec, kernel.isa):
        depthwise_quads.build(spec, kernel)
        return
    size, padding, copy = spec.input[1:3], spec.window.padding, None
    reach = (window_reach(spec, 0), window_reach(spec, 1))
    if spec.dtype == "int8" and reach != size:
        plain = Form(group=1, lanes=1, source="int8")
        copy = Copy(kernel, plain, spec.input, zero=spec.input_zero, before=padding, size=reach)
        size, padding = reach, (0, 0)
    weights = Weights(spec, kernel)
    if copy is not None and copy.is_large:
        strips = Strips(copy, outputs=spec.output[:2], stride=spec.window.stride[0],
                        span=(spec.window.kernel[0] - 1) * spec.window.dilation[0] + 1)  # fmt: skip
        with strips.each() as (frame, number, top, place):
            rows = Rows(spec, frame, weights, frame.scratch, size, padding)
            strips.rows_of(frame, top, lambda r, y: rows.emit(number, y, place, r))
        return
    at = 0 if copy is None else copy.phase()
    frame = kernel.frame(spec.output[0] * spec.output[1])
    left = frame.inputs["input"] if copy is None else frame.scratch
    rows = Rows(spec, frame, weights, left, size, padding)
    with frame.each_task() as task:
        number, y = divided(frame, task, spec.output[1])
        number, y = (0, task) if spec.output[0] == 1 else (number, y)
        base = frame.w.let_index(number * (size[0] * size[1] * spec.input[3]) + at)
        rows.emit(number, y, base, y)
    frame.finish()


class Rows:
    """Emits output rows."""

    def __init__(
        self, spec: Depthwise2d, frame: Frame, weights: Weights, left: Memory,
        size: tuple[int, int], padding: tuple[int, int],
    ) -> None:  # fmt: skip
        self.spec, self.frame, self.weights, self.left = spec, frame, weights, left
        self.size, self.padding = size, padding
        self.programs: Programs = frame.programs(spec.epilogue, spec.output)
        self.multiplier = spec.output[3] // max(1, spec.input[3])
        wide = self.multiplier == 1 or spec.input[3] == 1
        neon = frame.isa.arch == "aarch64" and spec.dtype == "int8"
        self.lanes = (8 if neon else frame.isa.lanes) if wide else 1

    def emit(self, number: Index, y: Index, base: Index, local: Index) -> None:
        """Row ``y`` of an image: row ``local`` of what begins at element ``base`` on the left."""
        spec, w = self.spec, self.frame.w
        ow = spec.output[2]
        columns = max(1, min(ow, 8 if self.frame.isa.registers >= 32 else 4))
        if self.lanes > self.frame.isa.lanes:
            columns = min(columns, 4)
        columns = even(ow, columns)
        first, last = self._inside()
        if taps(spec) > WRITTEN_OUT:
            columns, first, last = 1, 0, ow
        top = w.let_index(local * spec.window.stride[0] - self.padding[0])
        row = w.let_index(number * spec.output[1] + y)
        self._where = (number, y, top, row, base)
        for x in range(0, first, columns):
            self._tile(x, min(columns, first - x))
        whole = max(0, last - first) // columns
        if whole == 1:
            self._tile(first, columns)
        elif whole:
            with w.loop(0, whole, "x") as i:
                self._tile(w.let(i * columns + first), columns)
        rest = first + whole * columns
        if rest < last:
            self._tile(rest, last - rest)
        for x in range(max(first, last), ow, columns):
            self._tile(x, min(columns, ow - x))

    def _inside(self) -> tuple[int, int]:
        """[first, last): outputs of a row whose windows lie within it."""
        spec, pad, width = self.spec, self.padding[1], self.size[1]
        stride, ow = spec.window.stride[1], spec.output[2]
        span = (spec.window.kernel[1] - 1) * spec.window.dilation[1]
        first = min(ow, -(-pad // stride))
        last = (width - 1 - span + pad) // stride + 1
        return first, max(first, min(ow, last))

    def _tile(self, x: Index, count: int) -> None:
        """``count`` neighbouring outputs, all channels."""
        spec, w, ow = self.spec, self.frame.w, self.spec.output[2]
        number, y, top, row, base = self._where
        place = w.let_index((row * ow + x) * spec.output[3])
        left = w.let_index(x * spec.window.stride[1] - self.padding[1])

        def body(c: Index, lanes: int) -> None:
            sums = self._sums(base, top, left, x, count, c, lanes)
            for m in range(count):
                point = Point(coordinates=(number, y, x + m, c), lanes=lanes)
                skip = 0 if self.weights.bias is None else 1
                done = self.programs.run(point, w.let(sums.get(m)), skip=skip)
                store(self.frame.output, place + (c + m * spec.output[3]), done)

        along(w, spec.output[3], self.lanes, body)

    def _sums(
        self, base: Index, top: Index, left: Index, x: Index, count: int, c: Index, lanes: int
    ) -> Registers:
        w, spec, weights = self.frame.w, self.spec, self.weights
        sums = w.registers(weights.kind, lanes, count, "sum")
        start = w.let(self.frame.constants.load(weights.start_at + c, weights.kind, lanes))
        for m in range(count):
            sums.set(m, start)
        kh, down = spec.window.kernel[0], spec.window.dilation[0]
        if taps(spec) > WRITTEN_OUT:
            with w.loop(0, kh, "ky") as ky, self._line(top + ky * down):
                self._long_row(sums, ky, self._at(base, top + ky * down, left), x, c, lanes)
            return sums
        for ky in range(kh):
            with self._line(top + ky * down):
                row = self._at(base, top + ky * down, left)
                self._row(sums, ky, row, x, count, c, lanes)
        return sums

    def _at(self, base: Index, line: Index, column: Index) -> Index:
        place = (line * self.size[1] + column) * self.spec.input[3] + base
        return self.frame.w.let_index(place)

    @contextmanager
    def _line(self, line: Index) -> Iterator[None]:
        """What follows is only done if the line lies within the image."""
        w, height = self.frame.w, self.size[0]
        if self.padding[0] == 0 and window_reach(self.spec, 0) <= height:
            yield
            return
        at = index(line)
        with w.when(w.let((at >= const(0, "int64")) & (at < const(height, "int64")))):
            yield

    def _long_row(
        self, sums: Registers, ky: Index, row: Index, x: Index, c: Index, lanes: int
    ) -> None:
        """One row of a large window for one output, tap by tap: code must not grow with it."""
        w, spec = self.frame.w, self.spec
        step, width = spec.window.dilation[1], self.size[1]
        first = index(x * spec.window.stride[1] - self.padding[1])
        with w.loop(0, spec.window.kernel[1], "kx") as kx:
            column = w.let(first + kx * step)
            inside = (column >= const(0, "int64")) & (column < const(width, "int64"))
            with w.when(w.let(inside)):
                value = self._load(w.let(row + kx * (step * spec.input[3])), c, lanes)
                tap = self._tap(ky, kx, c, lanes)
                sums.set(0, self._multiply_add(value, tap, sums.get(0), lanes))

    def _row(
        self, sums: Registers, ky: int, row: Index, x: Index, count: int, c: Index, lanes: int
    ) -> None:
        """One row of the window, for all outputs of the tile."""
        w, spec = self.frame.w, self.spec
        kw, step, stride = spec.window.kernel[1], spec.window.dilation[1], spec.window.stride[1]
        kinds = [self._tap(ky, kx, c, lanes) for kx in range(kw)]
        users: dict[int, list[tuple[int, int]]] = {}
        for m in range(count):
            for kx in range(kw):
                users.setdefault(m * stride + kx * step, []).append((m, kx))
        for column in sorted(users):
            if isinstance(x, int) and not 0 <= x * stride - self.padding[1] + column < self.size[1]:
                continue
            at = w.let_index(row + column * spec.input[3])
            value = self._load(at, c, lanes)
            for m, kx in users[column]:
                sums.set(m, self._multiply_add(value, kinds[kx], sums.get(m), lanes))

    def _tap(self, ky: Index, kx: Index, c: Index, lanes: int) -> Expr:
        number = ky * self.spec.window.kernel[1] + kx
        at = self.weights.at + number * self.spec.output[3] + c
        return self._wide(self.frame.constants.load(at, self.spec.dtype, lanes))

    def _load(self, at: Expr, c: Index, lanes: int) -> Expr:
        if self.multiplier == 1:
            return self._wide(self.left.load(at + c, self.spec.dtype, lanes))
        if self.spec.input[3] == 1:
            return self._wide(splat(self.left.load(at, self.spec.dtype), lanes))
        factor = const(self.multiplier, "int64")
        channel = c // self.multiplier if isinstance(c, int) else tirx.Div(c, factor)
        return self._wide(self.left.load(at + channel, self.spec.dtype, lanes))

    def _wide(self, value: Expr) -> Expr:
        """Integers as 16 bits: what NEON's and x86's widening products start from."""
        return self.frame.w.let(value if self.spec.dtype == "float32" else cast(value, "int16"))

    def _multiply_add(self, x: Expr, tap: Expr, total: Expr, lanes: int) -> Expr:
        if self.spec.dtype != "float32":
            return total + cast(x, "int32") * cast(tap, "int32")
        if self.frame.isa.fma:
            return llvm("float32", lanes, "llvm.fma", x, tap, total)
        return total + x * tap
