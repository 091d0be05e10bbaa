# SPDX-License-Identifier: Apache-2.0
"""8-bit depthwise convolutions where an instruction sums a whole vector into one number.

For Helium's VMLADAVA the 16 products of a vector must be one channel's. Four rows of 16 channels
are stored interleaved, a word of four rows for each channel, once for a row of outputs. A load that
gathers words then has four columns by four rows of a channel: a whole 3x3 window, and the weights
of what is beyond it are zeros. Four channels' weights stay in registers along a row.

Where the output takes over the input, the rows above that are read again are kept in a ring. A last
block of channels begins early enough to be whole, and stores what is new.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
from tvm import tirx

from edgebuild.kernels.specs import Depthwise2d
from edgebuild.kernels.tir.across import BYTES, CHANNELS, WORDS, dot, hidden
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import bias_first
from edgebuild.kernels.tir.depthwise_quads import WRITTEN_OUT, taps
from edgebuild.kernels.tir.emit import (
    Expr,
    Index,
    bits,
    const,
    index,
    load_first,
    reads,
    shuffle,
    writes,
)
from edgebuild.kernels.tir.frame import Build, but_last, divided, padded, pieces, store
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.prepare import shares
from edgebuild.kernels.tir.scalars import Point

#: Rows in a word, columns of a gathering load, channels of a block.
_ROWS, _COLUMNS, _BLOCK = 4, 4, 16


def suits(spec: Depthwise2d, isa: Isa) -> bool:
    """One input channel per output channel, and enough of them for a vector of results."""
    able = isa.products == "vmladava" and spec.dtype == "int8" and min(spec.output) > 0
    return (able and spec.input[3] == spec.output[3] >= CHANNELS and taps(spec) <= WRITTEN_OUT
            and min(spec.input) > 0)  # fmt: skip


class Words:
    """Emits such a convolution."""

    def __init__(self, spec: Depthwise2d, kernel: Build) -> None:
        self.spec, self.kernel = spec, kernel
        window, self.channels = spec.window, spec.output[3]
        self.quads = -(-window.kernel[0] // _ROWS)
        self.groups = -(-window.kernel[1] // _COLUMNS)
        step = (spec.output[2] - 1) * window.stride[1]
        self.columns = step + (_COLUMNS * self.groups - 1) * window.dilation[1] + 1
        self.kept = window.padding[0] if kernel.over == "input" else 0
        self.blocks = -(-self.channels // _BLOCK)
        self.skipped = -self.channels % _BLOCK if self.blocks > 1 else 0
        # the last positions of an image of few channels, behind which a vector may not reach
        self.short = (_BLOCK - 1) // self.channels

    @property
    def scratch(self) -> int:
        """Bytes: rows of words, and rows that are kept."""
        words = self.quads * self.columns * _ROWS * _BLOCK
        return padded(words + self.kept * self.spec.input[2] * _BLOCK)

    def fits(self, otherwise: int) -> bool:
        """Whether memory is free, or no more is taken than ``otherwise``."""
        return self.scratch <= max(self.kernel.free_bytes // self.kernel.isa.cores, otherwise)

    def build(self) -> None:
        """Shares are blocks of channels of an image."""
        spec, block = self.spec, self.kernel.block
        self.bias = bias_first(spec.epilogue, self.channels)
        self.start_at = block.reserve("start", "int32", self.blocks * _BLOCK, self._start)
        size = self.blocks * _BLOCK * self.quads * self.groups * BYTES
        self.weights_at = block.reserve("weights", "int8", size, self._pack_weights)
        with shares(self.kernel, spec.output[0] * self.blocks) as (frame, task, number):
            self.frame, w = frame, frame.w
            self.programs = frame.programs(spec.epilogue, spec.output)
            place = self.kernel.scratch(frame.tasks * self.scratch) // WORDS
            self.words = w.let_index(task * (self.scratch // WORDS) + place)
            self.place = w.let_index(self.words * WORDS)
            self.image, self.number = divided(frame, number, self.blocks)
            lanes = [const(i * spec.window.dilation[1] * _ROWS * _BLOCK, "int32") for i in range(4)]
            self.apart = w.let(shuffle(lanes, range(_COLUMNS)))
            but_last(w, self.number, self.blocks, self._block, 0, self.skipped)

    # ---- constants ----

    def _order(self) -> Array:
        """The channels of each block; the last one begins early."""
        firsts = np.minimum(np.arange(self.blocks) * _BLOCK, max(0, self.channels - _BLOCK))
        return np.minimum(firsts[:, None] + np.arange(_BLOCK), self.channels - 1)

    def _start(self, c: Constants) -> Array:
        sums = c["weights"].astype(np.int64).reshape(-1, self.channels).sum(axis=0)
        start = sums * -self.spec.input_zero
        if self.bias is not None:
            start = start + c[f"p{self.bias}"].reshape(-1)
        found: Array = start[self._order()]
        return found

    def _pack_weights(self, c: Constants) -> Array:
        """[channel][quad][group][column][row], zeros where there is no tap."""
        kh, kw = self.spec.window.kernel
        full = np.zeros((self.quads * _ROWS, self.groups * _COLUMNS, self.channels), np.int8)
        full[:kh, :kw] = c["weights"].reshape(kh, kw, self.channels)
        ordered = full[:, :, self._order().reshape(-1)]
        shape = (self.quads, _ROWS, self.groups, _COLUMNS, self.blocks * _BLOCK)
        return ordered.reshape(shape).transpose(4, 0, 2, 3, 1)

    # ---- rows of words ----

    def _block(self, skipped: int) -> None:
        w, (_, height, width, depth) = self.frame.w, self.spec.input
        first = const(self.channels - _BLOCK, "int64") if skipped else self.number * _BLOCK
        self.first = w.let_index(first)
        self.base = w.let_index(self.image * (height * width * depth) + self.first)
        pad = self.spec.window.padding[1]
        zeros = [const(self.spec.input_zero, "int8", _BLOCK)] * _ROWS
        for begin, end in ((0, min(pad, self.columns)), (pad + width, self.columns)):
            with w.loop(begin, max(begin, end), "j") as j:
                for quad in range(self.quads):
                    self._weave(quad, j, zeros)
        with w.loop(0, self.spec.output[1], "y") as y:
            for inside, group in groupby(range(self.spec.output[1]), self._inside):
                rows = list(group)
                if len(rows) == self.spec.output[1]:
                    self._pack(y, inside)
                    break
                here = (y >= const(rows[0], "int64")) & (y <= const(rows[-1], "int64"))
                with w.when(w.let(here)):
                    self._pack(y, inside)
            self._sums(y, skipped)

    def _inside(self, y: int) -> tuple[bool, ...]:
        """Which of a window's rows lie in the image."""
        window = self.spec.window
        top = y * window.stride[0] - window.padding[0]
        rows = range(top, top + window.kernel[0] * window.dilation[0], window.dilation[0])
        return tuple(0 <= row < self.spec.input[1] for row in rows)

    def _pack(self, y: Index, inside: tuple[bool, ...]) -> None:
        """The rows under a row of outputs, all columns that the image has."""
        w, window, (_, _, width, depth) = self.frame.w, self.spec.window, self.spec.input
        top = w.let_index(y * window.stride[0] - window.padding[0])
        lines = [
            w.let_index(self.base + (top + ky * window.dilation[0]) * (width * depth))
            for ky in range(window.kernel[0])
        ]
        rings = [self._ring(y, ky * window.dilation[0]) for ky in range(window.kernel[0])]
        end = max(0, min(width, self.columns - window.padding[1]))
        whole = max(0, min(end, width - self.short))

        def column(x: Index, valid: int) -> None:
            rows = []
            for line, ring, found in zip(lines, rings, inside, strict=True):
                if not found:
                    rows.append(const(self.spec.input_zero, "int8", _BLOCK))
                elif ring is not None:
                    rows.append(w.let(self.frame.scratch.load(ring + x * _BLOCK, "int8", _BLOCK)))
                else:
                    rows.append(self._loaded(line + x * depth, valid))
            for quad in range(self.quads):
                part = rows[quad * _ROWS : (quad + 1) * _ROWS]
                part += [const(0, "int8", _BLOCK)] * (_ROWS - len(part))
                self._weave(quad, x + window.padding[1], part)
            if self.kept:
                self._keep(y, x, valid)

        with w.loop(0, hidden(self.frame, whole), "x") as x:
            column(x, _BLOCK)
        if whole < end:
            with w.loop(whole, end, "x") as x:
                column(x, self.channels)

    def _loaded(self, at: Index, valid: int) -> Expr:
        """A vector of the image."""
        image = self.frame.inputs["input"]
        return self.frame.w.let(load_first(image, at, "int8", (valid, _BLOCK)))

    def _ring(self, y: Index, down: int) -> Index | None:
        """Where a row is kept that has been written over; ``down``: rows below the first."""
        if down >= self.kept:
            return None
        turn = tirx.Mod(index(y + down), const(self.kept, "int64"))
        return self.frame.w.let_index(turn * (self.spec.input[2] * _BLOCK) + self._rings())

    def _rings(self) -> Index:
        return self.place + self.quads * self.columns * _ROWS * _BLOCK

    def _keep(self, y: Index, x: Index, valid: int) -> None:
        """A column of the row that is written over next, in place of the ring's oldest."""
        (_, _, width, depth) = self.spec.input
        turn = tirx.Mod(index(y), const(self.kept, "int64"))
        at = self.frame.w.let_index((turn * width + x) * _BLOCK + self._rings())
        source = self.base + (y * width + x) * depth
        self.frame.scratch.store(at, self._loaded(source, valid))

    def _weave(self, quad: int, column: Index, rows: list[Expr]) -> None:
        """Four vectors of bytes as one of words: VST4 stores it in four parts."""
        w = self.frame.w
        at = self.place + (column + quad * self.columns) * (_ROWS * _BLOCK)
        parts = [w.let(row) for row in rows]
        for part in range(_ROWS):
            writes(w, "llvm.arm.mve.vst4q", self.frame.scratch, (at, "int8"), *parts,
                   const(part, "int32"))  # fmt: skip

    # ---- sums ----

    def _sums(self, y: Index, skipped: int) -> None:
        """A row of outputs, four channels at a time."""
        begin, end = skipped, min(_BLOCK, self.channels)
        if begin % CHANNELS:
            self._four(y, begin // CHANNELS, range(begin % CHANNELS, CHANNELS))
        whole = hidden(self.frame, end // CHANNELS)
        with self.frame.w.loop(-(-begin // CHANNELS), whole, "c") as c:
            self._four(y, c, range(CHANNELS))
        if end % CHANNELS:
            self._four(y, end // CHANNELS, range(end % CHANNELS))

    def _four(self, y: Index, c: Index, valid: range) -> None:
        """Four channels of a block, of which some are stored."""
        w, count = self.frame.w, self.quads * self.groups
        mine = w.let_index(self.number * _BLOCK + c * CHANNELS)
        words = w.let_index(mine * (count * WORDS) + self.weights_at // 4)

        def weights(lane: int, part: int) -> Expr:
            at = words + (lane * count + part) * WORDS
            return w.let(bits(self.frame.constants.load(at, "int32", WORDS), "int8", BYTES), "b")

        held = [weights(lane, 0) for lane in range(CHANNELS)] if count == 1 else None
        channel = w.let_index(self.first + c * CHANNELS)
        start = self.frame.constants.load(mine + self.start_at, "int32", CHANNELS)
        with w.loop(0, hidden(self.frame, self.spec.output[2]), "x") as x:
            sums = []
            for lane in range(CHANNELS):
                total: Expr = const(0, "int32")
                for part in range(count):
                    b = held[lane] if held else weights(lane, part)
                    total = w.let(dot(total, self._window(x, c, lane, part), b))
                sums.append(total)
            value = w.let(w.let(shuffle(sums, range(CHANNELS))) + start)
            self._finish(value, (self.image, y, x), channel, valid)

    def _window(self, x: Index, c: Index, lane: int, part: int) -> Expr:
        """Four columns by four rows of one channel."""
        w, window = self.frame.w, self.spec.window
        quad, group = divmod(part, self.groups)
        column = x * window.stride[1] + (
            quad * self.columns + group * _COLUMNS * window.dilation[1]
        )
        at = w.let_index(self.words + column * _BLOCK + (c * CHANNELS + lane))
        flags = [const(n, "int32") for n in (32, 0, 1)]  # bits, no scaling, unsigned
        found = reads("int32", WORDS, "llvm.arm.mve.vldr.gather.offset", self.frame.scratch,
                      (at, "int32"), self.apart, *flags)  # fmt: skip
        return w.let(bits(w.let(found), "int8", BYTES), "a")

    def _finish(
        self, total: Expr, at: tuple[Index, Index, Index], channel: Index, valid: range
    ) -> None:
        w, (_, oh, ow, o), (image, y, x) = self.frame.w, self.spec.output, at
        place = w.let_index((image * oh + y) * ow + x)
        done = valid.start
        for size in pieces(len(valid), 2 * CHANNELS):
            part = total if size == CHANNELS else shuffle([total], range(done, done + size))
            where = w.let_index(channel + done)
            point = Point(coordinates=(image, y, x, where), lanes=size)
            value = self.programs.run(point, w.let(part), skip=0 if self.bias is None else 1)
            store(self.frame.output, place * o + where, value)
            done += size
