# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions with the four-byte dot product of VNNI.

Four rows of one column are woven together, channel by channel, so that one instruction sums four
taps of each channel. The woven column serves all outputs under whose windows it lies: the
neighbours in the row, and (a 3-row window leaves one of four rows free) the output row below.

The image is read where it is. Tiles at the left and right edge are written out with the zero point
in place of what lies outside; so are, a second time, the tiles of the rows at the upper and lower
edge, where a mask puts the zero point in. A last vector of channels begins early enough to be
whole.
"""

from __future__ import annotations

import numpy as np
from tvm import tirx

from edgebuild.kernels.specs import Depthwise2d
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import bias_first
from edgebuild.kernels.tir.emit import Expr, Index, Registers, cast, const, index, shuffle
from edgebuild.kernels.tir.frame import Build, Frame, divided, even, store
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.products import Form, Steps
from edgebuild.kernels.tir.scalars import Point

#: Output rows of one tile at most, and output columns.
ROWS, COLUMNS = 2, 8
#: Taps of a window that are written out; larger windows are loops, lest code grow with them.
WRITTEN_OUT = 49


def taps(spec: Depthwise2d) -> int:
    return spec.window.kernel[0] * spec.window.kernel[1]


def inside_columns(spec: Depthwise2d) -> tuple[int, int]:
    """[first, last): outputs of a row whose windows lie within the image's columns."""
    pad, stride, ow = spec.window.padding[1], spec.window.stride[1], spec.output[2]
    span = (spec.window.kernel[1] - 1) * spec.window.dilation[1]
    first = min(ow, -(-pad // stride))
    last = (spec.input[2] - 1 - span + pad) // stride + 1
    return first, max(first, min(ow, last))


def spans(width: int, columns: int, first: int, last: int) -> list[tuple[int, int]]:
    """(first output, tiles) of a row's parts: those whose windows lie inside are one part."""
    begin = min(width, -(-first // columns) * columns)
    whole = max(0, last - begin) // columns
    end = begin + whole * columns
    alone = [(x, 1) for x in (*range(0, begin, columns), *range(end, width, columns))]
    return sorted([*alone, (begin, whole)] if whole else alone)


def suits(spec: Depthwise2d, isa: Isa) -> bool:
    """One input channel per output channel, and enough of them to fill a vector."""
    return (
        isa.products == "vnni" and spec.input[3] == spec.output[3]
        and spec.output[3] >= isa.lanes and spec.window.dilation[0] == 1
        and taps(spec) <= WRITTEN_OUT
    )  # fmt: skip


def build(spec: Depthwise2d, kernel: Build) -> None:
    """Tasks are pairs of output rows where the window allows it, else rows."""
    how = Form(group=4, lanes=kernel.isa.lanes, source="int8", bias=128)
    kh, stride = spec.window.kernel[0], spec.window.stride[0]
    quads = -(-kh // 4)
    rows = max(1, min(ROWS, (4 * quads - kh) // stride + 1, spec.output[1]))
    bands = -(-spec.output[1] // rows)
    frame = kernel.frame(spec.output[0] * bands)
    tiles = Tiles(spec, frame, how, quads, rows)
    with frame.each_task() as task:
        number, band = divided(frame, task, bands)
        number, band = (0, task) if spec.output[0] == 1 else (number, band)
        tiles.emit(number, frame.w.let_index(band * rows), bands)
    frame.finish()


class Tiles:
    """Emits tiles of ``rows`` x some columns x one vector of channels."""

    def __init__(self, spec: Depthwise2d, frame: Frame, how: Form, quads: int, rows: int) -> None:
        self.spec, self.frame, self.how = spec, frame, how
        self.quads, self.rows = quads, rows
        self.reads = (rows - 1) * spec.window.stride[0] + spec.window.kernel[0]
        self.steps = Steps(frame.w, frame.isa, how)
        self.programs = frame.programs(spec.epilogue, spec.output)
        self.bias = bias_first(spec.epilogue, spec.output[3])
        block, lanes = frame.kernel.block, how.lanes
        # the channels of each vector
        whole = [range(c, c + lanes) for c in range(0, spec.output[3] - lanes + 1, lanes)]
        tail = [range(spec.output[3] - lanes, spec.output[3])] if spec.output[3] % lanes else []
        self.vectors = np.array([*whole, *tail])
        self.start_at = block.reserve("start", "int32", self.vectors.size, self._start)
        size = rows * quads * spec.window.kernel[1] * self.vectors.size * 4
        self.weights_at = block.reserve("weights", "int8", size, self._pack)
        self.edge_at = block.reserve("edge", "int8", 4 * lanes, lambda _: np.repeat(
            [0, -1, spec.input_zero, 0], lanes))  # fmt: skip

    def _start(self, c: Constants) -> Array:
        o = self.spec.output[3]
        sums = c["weights"].astype(np.int64).reshape(-1, o).sum(axis=0)
        result = sums * -(self.spec.input_zero + self.how.bias)
        if self.bias is not None:
            result = result + c[f"p{self.bias}"].reshape(-1)
        start: Array = np.broadcast_to(result, (o,))[self.vectors]
        return start

    def _pack(self, c: Constants) -> Array:
        """[vector][output row][quad][column][lane][4]: zeros where a row is not in the window."""
        (kh, kw), o = self.spec.window.kernel, self.spec.output[3]
        natural = c["weights"].reshape(kh, kw, o)[:, :, self.vectors]
        full = np.zeros((self.rows, self.quads * 4, kw, *self.vectors.shape), np.int8)
        for r in range(self.rows):
            first = r * self.spec.window.stride[0]
            full[r, first : first + kh] = natural
        shape = (self.rows, self.quads, 4, kw, *self.vectors.shape)
        return full.reshape(shape).transpose(4, 0, 1, 3, 5, 2)

    def emit(self, number: Index, y: Index, bands: int) -> None:
        """Output rows from ``y`` on."""
        w, spec = self.frame.w, self.spec
        stride, pad, height = spec.window.stride[0], spec.window.padding[0], spec.input[1]
        base = w.let_index(number * (height * spec.input[2] * spec.input[3]))
        top = w.let_index(y * stride - pad)
        self._where = (number, y, base, top)
        if pad == 0 and (bands - 1) * self.rows * stride + self.reads <= height:
            self._band(edge=False)
            return
        at = index(top)
        inside = w.let((at >= const(0, "int64")) & (at <= const(height - self.reads, "int64")))
        if height >= self.reads:
            with w.when(inside):
                self._band(edge=False)
        with w.when(w.let(tirx.Not(inside))):
            self._band(edge=True)

    def _band(self, *, edge: bool) -> None:
        """All columns. ``edge``: some of the rows that are read may lie outside."""
        w, ow = self.frame.w, self.spec.output[2]
        columns = even(ow, COLUMNS if self.rows * COLUMNS <= 16 else COLUMNS // 2)
        if self.frame.isa.registers < 32:
            columns = even(ow, 4 // self.rows + 1)
        for x, count in spans(ow, columns, *inside_columns(self.spec)):
            if count == 1:
                self._columns(x, min(columns, ow - x), edge=edge)
            else:
                with w.loop(0, count, "x") as i:
                    self._columns(w.let(i * columns + x), columns, edge=edge)

    def _columns(self, x: Index, count: int, *, edge: bool) -> None:
        """All channels of a tile."""
        lanes, channels = self.how.lanes, self.spec.output[3]
        whole = channels // lanes
        if whole == 1:
            self._tile(x, count, 0, 0, lanes, edge=edge)
        else:
            with self.frame.w.loop(0, whole, "v") as v:
                self._tile(x, count, v, self.frame.w.let(v * lanes), lanes, edge=edge)
        if channels % lanes:
            self._tile(x, count, whole, channels - lanes, channels % lanes, edge=edge)

    def _tile(
        self, x: Index, count: int, v: Index, channel: Index, valid: int, *, edge: bool
    ) -> None:
        """``valid``: how many of the vector's last channels are new."""
        spec, w, lanes = self.spec, self.frame.w, self.how.lanes
        number, y = self._where[:2]
        start = w.let(self.frame.constants.load(v * lanes + self.start_at, "int32", lanes))
        sums = w.registers("int32", lanes, self.rows * count, "sum")
        for i in range(self.rows * count):
            sums.set(i, start)
        for quad in range(self.quads):
            self._quad(sums, quad, x, count, v, channel, edge=edge)
        for r in range(self.rows):
            row = w.let_index(y + r)
            place = w.let_index((number * spec.output[1] + row) * spec.output[2] + x)

            def finish(r: int = r, row: Expr = row, place: Expr = place) -> None:
                for m in range(count):
                    self._finish(sums.get(r * count + m), (number, row, x + m),
                                 place + m, channel, valid)  # fmt: skip

            if spec.output[1] % self.rows and r:
                with w.when(row < const(spec.output[1], "int64")):
                    finish()
            else:
                finish()

    def _quad(
        self, sums: Registers, quad: int, x: Index, count: int, v: Index, channel: Index, *,
        edge: bool,
    ) -> None:  # fmt: skip
        """Four rows of the window, column by column."""
        spec = self.spec
        kw, step, stride = spec.window.kernel[1], spec.window.dilation[1], spec.window.stride[1]
        taps = self._taps(quad, v)
        users: dict[int, list[tuple[int, int]]] = {}
        for m in range(count):
            for kx in range(kw):
                users.setdefault(m * stride + kx * step, []).append((m, kx))
        lines = [self._line(4 * quad + i, x, channel, edge=edge) for i in range(4)]
        for column in sorted(users):
            left = x * stride - spec.window.padding[1] + column
            outside = isinstance(left, int) and not 0 <= left < spec.input[2]
            woven = self._outside() if outside else self._woven(lines, column * spec.input[3])
            for m, kx in users[column]:
                for r in range(self.rows):
                    i = r * count + m
                    if taps[r][kx] is not None:
                        sums.set(i, self.steps.add(sums.get(i), woven, taps[r][kx]))

    def _line(
        self, row: int, x: Index, channel: Index, *, edge: bool
    ) -> tuple[Expr, Expr | None, Expr | None]:
        """(first element, mask, padding) of one row under the windows; no mask: it is inside."""
        w, spec = self.frame.w, self.spec
        _, _, base, top = self._where
        # what no window reads has weights of zero: any row will do
        line = index(top + min(row, self.reads - 1))
        mask = padding = None
        if edge:
            last = const(spec.input[1] - 1, "int64")
            found = w.let((line >= const(0, "int64")) & (line <= last))
            # from memory, lest LLVM make branches of what is either of two constants
            at = w.let(cast(found, "int64") * self.how.lanes + self.edge_at)
            edges, lanes = self.frame.constants, self.how.lanes
            mask = w.let(edges.load(at, "int8", lanes))
            padding = w.let(edges.load(at + 2 * lanes, "int8", lanes))
            line = tirx.Max(const(0, "int64"), tirx.Min(line, last))
        left = x * spec.window.stride[1] - spec.window.padding[1]
        at = (w.let(line) * spec.input[2] + left) * spec.input[3] + channel + base
        return w.let(at), mask, padding

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

    def _outside(self) -> Expr:
        """A woven column that is all padding."""
        value = (self.spec.input_zero + self.how.bias + 128) % 256 - 128
        return const(value, "int8", 4 * self.how.lanes)

    def _woven(self, lines: list[tuple[Expr, Expr | None, Expr | None]], column: int) -> Expr:
        """[channel][row] of one column, as bytes without a sign."""
        lanes, w, source = self.how.lanes, self.frame.w, self.frame.inputs["input"]
        rows = []
        for at, mask, padding in lines:
            value = w.let(source.load(at + column, "int8", lanes))
            rows.append(value if mask is None else w.let((value & mask) | padding))
        order = [row * lanes + lane for lane in range(lanes) for row in range(4)]
        # adding 128 to a signed byte is turning its highest bit over
        return w.let(w.let(shuffle(rows, order)) ^ const(-128, "int8", 4 * lanes))

    def _finish(
        self, value: Expr, point: tuple[Index, ...], place: Expr, channel: Index, valid: int
    ) -> None:
        """What is not new is only written again where nobody reads what was there before."""
        w, lanes = self.frame.w, self.how.lanes
        is_even = not isinstance(channel, int) or channel % 2 == 0
        where = Point(coordinates=(*point, channel), lanes=lanes, even=is_even)
        done = self.programs.run(where, w.let(value), skip=0 if self.bias is None else 1)
        only = range(lanes if self.frame.kernel.over is None else valid)
        only = range(lanes - len(only), lanes)
        at = place * self.spec.output[3] + (channel + only.start)
        store(self.frame.output, at, done, only)
