# SPDX-License-Identifier: Apache-2.0
"""Integer convolutions and dense layers where an instruction sums a whole vector into one number.

Helium's VMLADAVA multiplies 16 bytes with 16 bytes and adds the products to a general register. So
the contracted axis is what lies in a vector, four output channels are four such registers, and a
position at a time is computed: all that its window sees is copied to one place first, in the order
of the weights, and zeros fill the last vector of both. Where it lies in one place already, and in
whole vectors, it is read from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

from tvm import tirx

from edgebuild.kernels.specs import Conv2d
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import Walk, Weights, bias_first
from edgebuild.kernels.tir.emit import Expr, Index, Memory, bits, const, index, llvm, shuffle
from edgebuild.kernels.tir.frame import (
    Build,
    Frame,
    along,
    divided,
    pieces,
    store,
    window_reach,
)  # fmt: skip
from edgebuild.kernels.tir.prepare import shares
from edgebuild.kernels.tir.products import Form
from edgebuild.kernels.tir.scalars import Point
from edgebuild.kernels.tir.tile_shape import Split

#: Bytes of a vector, and words of four bytes.
BYTES, WORDS = 16, 4
#: Output channels of a tile. VMLADAVA adds to even registers only, of which there are eight.
CHANNELS = 4
#: Vectors of the left side in one turn of the innermost loop: the first that leaves no rest.
TURNS = (4, 5, 6, 3)
#: Up to so many there is no loop.
STRAIGHT = 6
#: Bytes that are copied without a loop, which LLVM would make a call of memcpy.
WRITTEN_OUT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The convolution as positions: those of a product over all of them are rows of one."""

    input: tuple[int, int, int, int]
    output: tuple[int, int, int, int]
    domain: tuple[int, ...]
    strides: dict[int, tuple[int, ...]] | None  # of the epilogue's operands over the domain


def build(spec: Conv2d, kernel: Build, how: Form, shape: Shape) -> None:
    """All positions, row by row."""
    tile = _Tile(spec, kernel, how, shape)
    rows = shape.output[0] * shape.output[1]
    with shares(kernel, rows) as (frame, task, row):
        place = kernel.scratch(frame.tasks * tile.room) if tile.copies else 0
        number, y = divided(frame, row, shape.output[1])
        number, y = (0, row) if shape.output[0] == 1 else (number, y)
        patch = frame.w.let_index(task * tile.room + place)
        with frame.w.loop(0, shape.output[2], "x") as x:
            tile.emit(frame, patch, (number, y, x))


class _Tile:
    """One position, all channels."""

    def __init__(self, spec: Conv2d, kernel: Build, how: Form, shape: Shape) -> None:
        self.spec, self.shape = spec, shape
        window, c = spec.window, spec.input[3]
        self.run = prod(window.kernel) * c // spec.groups
        self.steps = -(-self.run // BYTES)
        self.room = self.steps * BYTES
        whole = window.kernel == (1, 1) and window.padding == (0, 0) and self.run % BYTES == 0
        self.copies = kernel.over == "input" or not whole or spec.groups > 1
        channels = spec.output[3] // spec.groups
        self.cut = Split(channels=channels, lanes=CHANNELS, vectors=1)
        walk = Walk(outer=((1, 0),), run=self.run, group=BYTES)
        self.bias = bias_first(spec.epilogue, spec.output[3])

        def natural(c: Constants) -> Array:
            return c["weights"].reshape(spec.output[3], 1, self.run)

        self.weights = Weights(
            kernel.block, how, self.cut, walk, groups=spec.groups, dtype=spec.dtype,
            bias=self.bias, zero=spec.input_zero, natural=natural,
        )  # fmt: skip

    def emit(self, frame: Frame, patch: Index, at: tuple[Index, Index, Index]) -> None:
        """The outputs at image, row and column ``at``."""
        for group in range(self.spec.groups):
            if self.copies:
                _Patch(self, frame, patch, group).copy(at)
                left, first = frame.scratch, patch
            else:
                left, first = frame.inputs["input"], self._place(frame, at)
            whole = self.cut.blocks - (1 if self.cut.tail else 0)
            if whole:
                with frame.w.loop(0, hidden(frame, whole), "b") as block:
                    self._block(frame, left, first, at, (group, block), CHANNELS)
            if self.cut.tail:
                rest = self.cut.channels - whole * CHANNELS
                self._block(frame, left, first, at, (group, whole), rest)

    def _place(self, frame: Frame, at: tuple[Index, Index, Index]) -> Index:
        _, h, w, c = self.shape.input
        down, across = self.spec.window.stride
        number, y, x = at
        return frame.w.let_index(((number * h + y * down) * w + x * across) * c)

    def _block(
        self, frame: Frame, left: Memory, first: Index, at: tuple[Index, Index, Index],
        which: tuple[int, Index], valid: int,
    ) -> None:  # fmt: skip
        """Four channels of a group, of which ``valid`` are stored."""
        w, (group, block) = frame.w, which
        words = w.let_index(self.weights.at(0, 0) // 4 + (
            group * self.cut.padded + block * CHANNELS) * (self.room // 4))  # fmt: skip
        sums = [w.registers("int32", 1, 1, "sum") for _ in range(CHANNELS)]
        for each in sums:
            each.set(0, const(0, "int32"))
        for begin, turn in self._turns(frame):
            for step in range(turn):
                where = w.let_index(first + (begin + step) * BYTES)
                a = w.let(left.load(where, "int8", BYTES), "a")
                for lane, each in enumerate(sums):
                    place = words + ((begin + step) * CHANNELS + lane) * WORDS
                    b = bits(frame.constants.load(place, "int32", WORDS), "int8", BYTES)
                    each.set(0, dot(each.get(0), a, w.let(b, "b")))
        total = w.let(shuffle([each.get(0) for each in sums], range(CHANNELS)))
        if self.weights.start_at is not None:
            start = self.weights.start_at + group * self.cut.padded + block * CHANNELS
            total = w.let(total + frame.constants.load(start, "int32", CHANNELS))
        channel = w.let_index(block * CHANNELS + group * self.cut.channels)
        self._finish(frame, total, at, channel, valid)

    def _turns(self, frame: Frame) -> Iterator[tuple[Index, int]]:
        """First vector and number of vectors of each piece of straight code."""
        if self.steps <= STRAIGHT:
            yield 0, self.steps
            return
        turn = next((turn for turn in TURNS if self.steps % turn == 0), TURNS[0])
        count, rest = hidden(frame, self.steps // turn), self.steps % turn
        with frame.w.loop(0, count, "s") as s:
            yield frame.w.let(s * turn), turn
        if rest:
            yield frame.w.let(count * turn), rest

    def _finish(
        self, frame: Frame, total: Expr, at: tuple[Index, Index, Index], channel: Index, valid: int
    ) -> None:
        """Epilogue and store; a tail goes out in vectors of powers of two."""
        w, (_, oh, ow, o) = frame.w, self.shape.output
        number, y, x = at
        programs = frame.programs(self.spec.epilogue, self.shape.domain, self.shape.strides)
        position = w.let_index((number * oh + y) * ow + x)
        coordinates = (position,) if len(self.shape.domain) == 2 else at
        done = 0
        for size in [CHANNELS] if valid == CHANNELS else pieces(valid, CHANNELS):
            part = total if size == CHANNELS else shuffle([total], range(done, done + size))
            place = w.let_index(channel + done)
            value = programs.run(
                Point(coordinates=(*coordinates, place), lanes=size), w.let(part),
                skip=0 if self.bias is None else 1,
            )  # fmt: skip
            store(frame.output, position * o + place, value)
            done += size


def hidden(frame: Frame, count: int) -> Expr:
    """``count``, but all that LLVM knows is that it is no less: no task's number is negative.

    It would write all turns of a loop out, and what lies 128 bytes or more from a pointer costs it
    an instruction more.
    """
    return frame.w.let(tirx.Max(const(0, "int64") - frame.begin, const(count, "int64")))


def dot(total: Expr, a: Expr, b: Expr) -> Expr:
    """total + the sum of a * b."""
    signed_sum = [const(0, "int32")] * 3  # not unsigned, not subtracted, not crosswise
    return llvm("int32", 1, "llvm.arm.mve.vmldava", *signed_sum, total, a, b)


class _Patch:
    """What the window sees at one position, in the order of the weights."""

    def __init__(self, tile: _Tile, frame: Frame, place: Index, group: int) -> None:
        self.spec, self.shape, self.frame, self.place = tile.spec, tile.shape, frame, place
        self.image = frame.inputs["input"]
        self.each = tile.spec.input[3] // tile.spec.groups  # channels
        self.first = group * self.each

    def copy(self, at: tuple[Index, Index, Index]) -> None:
        """Rows of the window in one piece where they are, else column by column."""
        w, window = self.frame.w, self.spec.window
        number, y, x = at
        _, h, width, c = self.shape.input
        top = w.let_index(y * window.stride[0] - window.padding[0])
        left = w.let_index(x * window.stride[1] - window.padding[1])
        kh, kw = window.kernel
        joined = self.spec.groups == 1 and (window.dilation[1] == 1 or kw == 1)
        with w.loop(0, kh, "ky") as ky:
            line = w.let_index(top + ky * window.dilation[0])
            to = w.let_index(self.place + ky * (kw * self.each))
            row = w.let_index((number * h + line) * width)
            with self._either(0, line, h, to, kw * self.each):
                source = w.let_index((row + left) * c)
                if joined and self._never_outside(1):
                    self._piece(to, source, kw * self.each)
                elif joined:
                    inside = w.let((index(left) >= const(0, "int64"))
                                   & (index(left) <= const(width - kw, "int64")))  # fmt: skip
                    with w.when(inside):
                        self._piece(to, source, kw * self.each)
                    with w.when(w.let(tirx.Not(inside))):
                        self._columns(to, row, left)
                else:
                    self._columns(to, row, left)

    def _columns(self, to: Index, row: Index, left: Index) -> None:
        w, (_, _, width, c) = self.frame.w, self.shape.input
        with w.loop(0, self.spec.window.kernel[1], "kx") as kx:
            column = w.let_index(left + kx * self.spec.window.dilation[1])
            here = w.let_index(to + kx * self.each)
            with self._either(1, column, width, here, self.each):
                self._piece(here, w.let_index((row + column) * c + self.first), self.each)

    def _never_outside(self, axis: int) -> bool:
        spec = self.spec
        padded = spec.window.padding[axis] > 0
        return not padded and window_reach(spec, axis) <= spec.input[axis + 1]

    @contextmanager
    def _either(self, axis: int, at: Index, size: int, to: Index, count: int) -> Iterator[None]:
        """What is done where ``at`` lies in [0, size); else the zero point fills the place."""
        if self._never_outside(axis):
            yield
            return
        w, at = self.frame.w, index(at)
        inside = w.let((at >= const(0, "int64")) & (at < const(size, "int64")))
        with w.when(inside):
            yield
        with w.when(w.let(tirx.Not(inside))):
            along(w, count, BYTES, lambda i, lanes: self.frame.scratch.store(
                to + i, const(self.spec.input_zero, "int8", lanes)))  # fmt: skip

    def _piece(self, to: Index, source: Index, count: int) -> None:
        def some(i: Index, lanes: int) -> None:
            loaded = self.frame.w.let(self.image.load(source + i, "int8", lanes))
            self.frame.scratch.store(to + i, loaded)

        whole = count // BYTES if count <= WRITTEN_OUT else 0
        for i in range(whole):
            some(i * BYTES, BYTES)
        along(self.frame.w, count - whole * BYTES, BYTES,
              lambda i, lanes: some(i + whole * BYTES, lanes))  # fmt: skip
