# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions with the four-byte dot product of VNNI.

Four rows of one column are woven together, channel by channel, so that one instruction sums four
taps of each channel. The woven column serves all outputs under whose windows it lies: the
neighbours in the row, and (a 3-row window leaves one of four rows free) the output row below.
"""

from __future__ import annotations

import numpy as np
from tvm import tirx

from edgebuild.kernels.specs import Depthwise2d
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import bias_first
from edgebuild.kernels.tir.emit import Expr, Index, Registers, const, index, shuffle
from edgebuild.kernels.tir.frame import Build, Frame, divided, even, pieces, store, window_reach
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.prepare import Copy, Strips
from edgebuild.kernels.tir.products import Form, Steps
from edgebuild.kernels.tir.scalars import Point

#: Output rows of one tile at most, and output columns.
ROWS, COLUMNS = 2, 8
#: Taps of a window that are written out; larger windows are loops, lest code grow with them.
WRITTEN_OUT = 49


def taps(spec: Depthwise2d) -> int:
    return spec.window.kernel[0] * spec.window.kernel[1]


def suits(spec: Depthwise2d, isa: Isa) -> bool:
    """One input channel per output channel, and enough of them to fill most of a vector."""
    return (
        isa.products == "vnni" and spec.input[3] == spec.output[3]
        and spec.output[3] * 2 > isa.lanes and spec.window.dilation[0] == 1
        and taps(spec) <= WRITTEN_OUT
    )  # fmt: skip


def build(spec: Depthwise2d, kernel: Build) -> None:
    """Tasks are pairs of output rows where the window allows it, else rows."""
    lanes = kernel.isa.lanes
    how = Form(group=4, lanes=lanes, source="int8", bias=128)
    kh, stride = spec.window.kernel[0], spec.window.stride[0]
    quads = -(-kh // 4)
    rows = max(1, min(ROWS, (4 * quads - kh) // stride + 1, spec.output[1]))
    size = (window_reach(spec, 0), window_reach(spec, 1))
    copy = Copy(kernel, how, spec.input, zero=spec.input_zero,
                before=spec.window.padding, size=size, beyond=lanes)  # fmt: skip
    if copy.is_large:
        strips = Strips(copy, outputs=spec.output[:2], stride=stride,
                        span=(rows - 1) * stride + kh, multiple=rows)  # fmt: skip
        with strips.each() as (frame, number, top, place):
            tiles = Tiles(spec, frame, how, copy, quads, rows)
            with frame.w.loop(0, strips.rows // rows, "band") as band:
                y = frame.w.let(top + band * rows)
                with frame.w.when(y < const(spec.output[1], "int64")):
                    tiles.emit(number, y, place, band * rows, strips.reads)
        return
    at = copy.phase()
    bands = -(-spec.output[1] // rows)
    frame = kernel.frame(spec.output[0] * bands)
    tiles = Tiles(spec, frame, how, copy, quads, rows)
    with frame.each_task() as task:
        number, band = divided(frame, task, bands)
        number, band = (0, task) if spec.output[0] == 1 else (number, band)
        y = frame.w.let_index(band * rows)
        tiles.emit(number, y, frame.w.let_index(number * copy.size + at), y, copy.height)
    frame.finish()


class Tiles:
    """Emits tiles of ``rows`` x some columns x one vector of channels."""

    def __init__(
        self, spec: Depthwise2d, frame: Frame, how: Form, copy: Copy, quads: int, rows: int
    ) -> None:
        self.spec, self.frame, self.how, self.copy = spec, frame, how, copy
        self.quads, self.rows = quads, rows
        self.steps = Steps(frame.w, frame.isa, how)
        self.programs = frame.programs(spec.epilogue, spec.output)
        self.bias = bias_first(spec.epilogue, spec.output[3])
        self.vectors = -(-spec.output[3] // how.lanes)
        padded = self.vectors * how.lanes
        block = frame.kernel.block
        self.start_at = block.reserve("start", "int32", padded, self._start)
        taps = rows * quads * spec.window.kernel[1]
        self.weights_at = block.reserve("weights", "int8", taps * padded * 4, self._pack)

    def _start(self, c: Constants) -> Array:
        o = self.spec.output[3]
        sums = c["weights"].astype(np.int64).reshape(-1, o).sum(axis=0)
        result = sums * -(self.spec.input_zero + self.how.bias)
        if self.bias is not None:
            result = result + c[f"p{self.bias}"].reshape(-1)
        return np.pad(result, (0, self.vectors * self.how.lanes - o))

    def _pack(self, c: Constants) -> Array:
        """[vector][output row][quad][column][lane][4]: zeros where a row is not in the window."""
        (kh, kw), o = self.spec.window.kernel, self.spec.output[3]
        natural = c["weights"].reshape(kh, kw, o)
        full = np.zeros((self.rows, self.quads * 4, kw, self.vectors * self.how.lanes), np.int8)
        for r in range(self.rows):
            first = r * self.spec.window.stride[0]
            full[r, first : first + kh, :, :o] = natural
        shape = (self.rows, self.quads, 4, kw, self.vectors, self.how.lanes)
        return full.reshape(shape).transpose(4, 0, 1, 3, 5, 2)

    def emit(self, number: Index, y: Index, base: Index, local: Index, height: int) -> None:
        """Output rows from ``y`` on: row ``local`` of ``height`` prepared ones from ``base`` on."""
        w, ow = self.frame.w, self.spec.output[2]
        columns = even(ow, COLUMNS if self.rows * COLUMNS <= 16 else COLUMNS // 2)
        if self.frame.isa.registers < 32:
            columns = even(ow, 4 // self.rows + 1)
        self._where = (number, y, base, local, height)
        whole = ow // columns
        if whole == 1:
            self._columns(0, columns)
        elif whole:
            with w.loop(0, whole, "x") as x:
                self._columns(w.let(x * columns), columns)
        if ow % columns:
            self._columns(whole * columns, ow % columns)

    def _columns(self, x: Index, count: int) -> None:
        """All channels of a tile."""
        lanes, channels = self.how.lanes, self.spec.output[3]
        whole = channels // lanes
        if whole == 1:
            self._tile(x, count, 0, lanes)
        elif whole:
            with self.frame.w.loop(0, whole, "v") as v:
                self._tile(x, count, v, lanes)
        if channels % lanes:
            self._tile(x, count, whole, channels % lanes)

    def _tile(self, x: Index, count: int, v: Index, valid: int) -> None:
        spec, w, lanes = self.spec, self.frame.w, self.how.lanes
        number, y = self._where[:2]
        start = w.let(self.frame.constants.load(v * lanes + self.start_at, "int32", lanes))
        sums = w.registers("int32", lanes, self.rows * count, "sum")
        for i in range(self.rows * count):
            sums.set(i, start)
        for quad in range(self.quads):
            self._quad(sums, quad, x, count, v)
        for r in range(self.rows):
            row = w.let_index(y + r)
            place = w.let_index((number * spec.output[1] + row) * spec.output[2] + x)

            def finish(r: int = r, row: Expr = row, place: Expr = place) -> None:
                for m in range(count):
                    self._finish(sums.get(r * count + m), (number, row, x + m),
                                 place + m, v * lanes, valid)  # fmt: skip

            if spec.output[1] % self.rows and r:
                with w.when(row < const(spec.output[1], "int64")):
                    finish()
            else:
                finish()

    def _quad(self, sums: Registers, quad: int, x: Index, count: int, v: Index) -> None:
        """Four rows of the window, column by column."""
        w, spec, lanes = self.frame.w, self.spec, self.how.lanes
        kw, step, stride = spec.window.kernel[1], spec.window.dilation[1], spec.window.stride[1]
        taps = self._taps(quad, v)
        users: dict[int, list[tuple[int, int]]] = {}
        for m in range(count):
            for kx in range(kw):
                users.setdefault(m * stride + kx * step, []).append((m, kx))
        lines = []
        _, _, base, local, height = self._where
        for i in range(4):
            line = index(local * spec.window.stride[0] + (4 * quad + i))
            # below the copy there is nothing to read; the weights of those rows are zero
            line = w.let(tirx.Min(line, const(height - 1, "int64")))
            at = base + line * self.copy.width
            lines.append(w.let(at + x * (stride * spec.input[3]) + v * lanes))
        for column in sorted(users):
            woven = self._woven([line + column * spec.input[3] for line in lines])
            for m, kx in users[column]:
                for r in range(self.rows):
                    i = r * count + m
                    if taps[r][kx] is not None:
                        sums.set(i, self.steps.add(sums.get(i), woven, taps[r][kx]))

    def _taps(self, quad: int, v: Index) -> list[list[Expr | None]]:
        """Weights by output row and column; None where no row of the quad is in the window."""
        kh, kw = self.spec.window.kernel
        lanes, result = self.how.lanes, []
        for r in range(self.rows):
            first = r * self.spec.window.stride[0]
            used = first < 4 * quad + 4 and 4 * quad < first + kh
            row: list[Expr | None] = []
            for kx in range(kw):
                number = (r * self.quads + quad) * kw + kx
                per_vector = self.rows * self.quads * kw
                at = (v * per_vector + number) * (lanes * 4) + self.weights_at
                row.append(self.steps.right(self.frame.constants, at, "int8") if used else None)
            result.append(row)
        return result

    def _woven(self, at: list[Expr]) -> Expr:
        """[channel][row] of one column. Lanes beyond the channels hold neighbours, unused."""
        lanes, w = self.how.lanes, self.frame.w
        rows = [w.let(self.frame.scratch.load(a, "int8", lanes)) for a in at]
        order = [row * lanes + lane for lane in range(lanes) for row in range(4)]
        return w.let(shuffle(rows, order))

    def _finish(
        self, value: Expr, point: tuple[Index, ...], place: Expr, channel: Index, valid: int
    ) -> None:
        w, lanes, first = self.frame.w, self.how.lanes, 0
        value = w.let(value)
        for size in [lanes] if valid == lanes else pieces(valid, lanes):
            part = value
            if size != lanes:
                part = w.let(shuffle([value], list(range(first, first + size))))
            where = w.let_index(channel + first)
            done = self.programs.run(
                Point(coordinates=(*point, where), lanes=size), part,
                skip=0 if self.bias is None else 1,
            )  # fmt: skip
            store(self.frame.output, place * self.spec.output[3] + where, done)
            first += size
