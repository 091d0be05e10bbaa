# SPDX-License-Identifier: Apache-2.0
"""Float rows times 8-bit weights, by the core's products of bytes.

A row is written as whole numbers of 22 bits and a sign, times a power of two that its largest
element decides; such a number is three digits of 8 bits, of which the lowest counts 1, the next
256, the highest 65536. The rows of digits are rows of bytes like any other: their sums are exact,
and are put together as floats at the end. What is lost lies below 2**-22 of the row's largest
element; decision 0214 compares that with the rounding of floats. Nothing depends on threads or on
an order of sums.

A row with an infinity or a NaN gives NaNs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from tvm import tirx

from edgebuild.kernels.specs import Conv2d
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import Rows, Tile, Walk, Weights
from edgebuild.kernels.tir.emit import (
    Expr,
    Index,
    Memory,
    Registers,
    bits,
    cast,
    const,
    dtype_of,
    llvm,
    splat,
)  # fmt: skip
from edgebuild.kernels.tir.frame import Build, Frame, along, but_last, divided
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.normalise import fold_row
from edgebuild.kernels.tir.prepare import shares
from edgebuild.kernels.tir.products import Form, form
from edgebuild.kernels.tir.tile_shape import rows_of, split

DIGITS = 3
BASE = 256
#: Bits of a number's size, beside its sign.
BITS = 22
#: A float from 2**23 on counts in ones, and this leaves as much room below as above.
_MIDDLE = 1.5 * 2.0**23
_MIDDLE_BITS = 0x4B400000
#: Half of every digit's range: a digit is a byte of the number with this added, less 128.
_HALVES = 0x808080
#: Exponents of floats: of those below, digits would have a scale that is no normal number.
_LEAST = BITS + 1
_NOT_FINITE = 255
_NAN_BITS = 0x7FC00000
#: Outputs from which on their products are worth the digits of a row.
ENOUGH = 16


def form_of(spec: Conv2d, isa: Isa) -> Form:
    """How the digits' products are summed."""
    rows = DIGITS * spec.output[2]
    return form(isa, "int8", symmetric=spec.symmetric, depth=spec.input[3], rows=rows,
                run=spec.input[3], columns=rows)  # fmt: skip


def suits(spec: Conv2d, kernel: Build) -> bool:
    """A product of matrices on a core that sums four products of bytes in an instruction.

    Where that takes three (NEON without dot products), only a single row: to widen weights costs as
    much as to multiply them, once for all rows.
    """
    if spec.stored != "int8" or kernel.over == "input" or not spec.input[3]:
        return False
    how = form_of(spec, kernel.isa)
    one = not how.summed or spec.output[2] == 1
    return how.group >= 4 and not how.across and one and spec.output[3] >= ENOUGH


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """Rows of digits in scratch, and the scale of each position as a float."""

    place: Index
    scales: Index


class _Joined(Tile):
    """Tiles whose rows are digits: three of them are one result."""

    scales: Index = 0

    def finished(self, sums: Registers, m: int, v: int, vectors: int, start: Index) -> Expr:
        w, lanes = self._frame.w, self._form.lanes
        total: Expr = None
        for digit in reversed(range(DIGITS)):
            part = super().finished(sums, DIGITS * m + digit, v, vectors, start)
            part = w.let(cast(part, "float32"))
            total = part if total is None else w.let(_fma(self._frame, total, BASE, part))
        scale = self._frame.scratch.load(self.scales + m, "float32")
        return w.let(total * splat(scale, lanes))


def _fma(frame: Frame, a: Expr, factor: float, b: Expr) -> Expr:
    lanes = dtype_of(a)[1]
    times = const(float(factor), "float32", lanes)
    return llvm("float32", lanes, "llvm.fma", a, times, b) if frame.isa.fma else a * times + b


class Digits:
    """Emits a product of ``spec``: one row of ``spec.output[2]`` positions."""

    def __init__(
        self, spec: Conv2d, kernel: Build, domain: tuple[int, ...],
        strides: dict[int, tuple[int, ...]],
    ) -> None:  # fmt: skip
        self.spec, self.kernel, self.domain, self.strides = spec, kernel, domain, strides
        self.how, kernel.digits = form_of(spec, kernel.isa), DIGITS
        self.count, self.depth = spec.output[2], spec.input[3]
        whole = self.how.group * self.how.block
        self.run = -(-self.depth // whole) * whole
        self.walk = Walk(outer=((1, 0),), run=self.run, group=self.how.group)
        rows = DIGITS * self.count
        self.cut = split(kernel.isa, self.how, spec.output[3], rows)
        self.rows = max(1, rows_of(kernel.isa, self.how, self.cut.vectors, rows) // DIGITS)
        self.tiles = -(-self.count // self.rows)
        self.weights = Weights(
            kernel.block, self.how, self.cut, self.walk, groups=1, dtype="int8", bias=None, zero=0,
            natural=self._natural,
        )  # fmt: skip

    def _natural(self, constants: Constants) -> Array:
        weights = constants["weights"].reshape(self.spec.output[3], 1, self.depth)
        return np.pad(weights, ((0, 0), (0, 0), (0, self.run - self.depth)))

    def build(self) -> None:
        """All digits first where they are few, else strips of rows."""
        kernel, size = self.kernel, DIGITS * self.run
        share = min(kernel.isa.l2_bytes // 16, kernel.free_bytes // kernel.isa.cores)
        if self.tiles == 1 or self.count * size <= share:
            left = self._reserve(self.count)
            frame = kernel.frame(self.count)
            with frame.each_task() as task:
                self._row(frame, task, task, left)
            frame.finish()
            self._products(left)
            return
        strip = min(self.tiles, max(1, share // (size * self.rows)))
        with shares(kernel, -(-self.tiles // strip)) as (frame, task, number):
            self._strip(frame, task, number, strip)

    def _reserve(self, positions: int, tasks: int = 1, task: Index = 0) -> _Left:
        size = positions * DIGITS * self.run
        place = self.kernel.scratch(tasks * size)
        scales = self.kernel.scratch(tasks * positions * 4) // 4
        return _Left(place=task * size + place, scales=task * positions + scales)

    def _products(self, left: _Left) -> None:
        """Tasks are tiles of rows of a block of channels: blocks turn slowest."""
        frame = self.kernel.frame(self.cut.blocks * self.tiles)
        tile = self._tile(frame)
        with frame.each_task() as task:
            block, part = divided(frame, task, self.tiles)
            self._blocks(frame, tile, left, part, part, block)
        frame.finish()

    def _strip(self, frame: Frame, task: Index, number: Expr, strip: int) -> None:
        """The digits of ``strip`` tiles' rows, then their products with every block."""
        w, positions = frame.w, strip * self.rows
        held = self._reserve(positions, frame.tasks, task)
        left = _Left(place=w.let_index(held.place), scales=w.let_index(held.scales))
        first = w.let(number * positions)
        last = w.let(tirx.Min(first + positions, const(self.count, "int64")))
        with w.loop(first, last, "m") as m:
            self._row(frame, m, w.let(m - first), left)
        tile = self._tile(frame)
        begin = w.let(number * strip)
        end = w.let(tirx.Min(begin + strip, const(self.tiles, "int64")))
        with w.loop(0, self.cut.blocks, "b") as block, w.loop(begin, end, "t") as part:
            self._blocks(frame, tile, left, part, w.let(part - begin), block)

    def _tile(self, frame: Frame) -> _Joined:
        programs = frame.programs(self.spec.epilogue, self.domain, self.strides)
        return _Joined(frame, self.how, self.walk, self.cut, self.weights, programs, 0)

    def _blocks(
        self, frame: Frame, tile: _Joined, left: _Left, part: Index, held: Index, block: Index
    ) -> None:
        """Tile ``part`` of the positions, whose digits are tile ``held`` of those in scratch."""
        w = frame.w
        rest = self.count - (self.tiles - 1) * self.rows

        def some(size: int, *, tail: bool) -> None:
            first = w.let_index(part * self.rows)
            here = w.let_index(held * (self.rows * DIGITS * self.run) + left.place)
            tile.scales = w.let_index(held * self.rows + left.scales)
            rows = Rows(first=here, stride=self.run, count=DIGITS * size)
            stride = self.spec.output[3]
            stores = Rows(first=w.let_index(first * stride), stride=stride, count=size)
            points = [(first + m,) for m in range(size)]
            tile.emit(frame.scratch, rows, points, stores, 0, block, tail=tail)

        def sizes(tail: bool) -> None:
            but_last(w, part, self.tiles, lambda size: some(size, tail=tail), self.rows, rest)

        but_last(w, block, self.cut.blocks, sizes, False, bool(self.cut.tail))

    def _row(self, frame: Frame, source: Index, position: Index, left: _Left) -> None:
        """The digits and the scale of a row of the input."""
        w, memory = frame.w, frame.inputs["input"]
        base = w.let_index(source * self.depth)

        def size(i: Index, n: int) -> Expr:
            return w.let(memory.load(base + i, "int32", n) & const(0x7FFFFFFF, "int32", n))

        # bits of floats without a sign are in order, infinities and NaNs last
        most = fold_row(frame, self.depth, "int32", 0, size, tirx.Max)
        exponent = w.let(tirx.Max(most >> const(23, "int32"), const(_LEAST, "int32")))
        top = const(254 + BITS - 1, "int32")
        factor = w.let((top - exponent) << const(23, "int32"))
        factor = w.let(bits(factor, "float32", 1))
        scale = (exponent - const(BITS - 1, "int32")) << const(23, "int32")
        unusable = exponent >= const(_NOT_FINITE, "int32")
        scale = w.let(tirx.Select(unusable, const(_NAN_BITS, "int32"), scale))
        frame.scratch.store(left.scales + position, w.let(bits(scale, "float32", 1)))
        place = w.let_index(position * (DIGITS * self.run) + left.place)
        self._write(frame, memory, base, place, factor)

    def _write(self, frame: Frame, memory: Memory, base: Index, place: Index, factor: Expr) -> None:
        w, how = frame.w, self.how

        def some(i: Index, n: int) -> None:
            x = w.let(memory.load(base + i, "float32", n))
            middle = const(_MIDDLE, "float32", n)
            moved = (
                llvm("float32", n, "llvm.fma", x, splat(factor, n), middle)
                if frame.isa.fma else x * splat(factor, n) + middle
            )  # fmt: skip
            # of what is not finite any bits will do
            number = bits(w.let(moved), "int32", n)
            number = w.let(number + const(_HALVES - _MIDDLE_BITS, "int32", n))
            for digit in range(DIGITS):
                byte = cast(number >> const(8 * digit, "int32", n), "int8")
                if not how.bias:
                    byte = byte ^ const(-128, "int8", n)
                frame.scratch.store(place + (digit * self.run) + i, w.let(byte))

        along(w, self.depth, 4 * frame.isa.lanes, some)
        for digit in range(DIGITS if self.run > self.depth else 0):
            end = w.let_index(place + (digit * self.run + self.depth))
            along(w, self.run - self.depth, frame.isa.lanes, partial(_clear, frame, end))


def _clear(frame: Frame, end: Index, i: Index, lanes: int) -> None:
    """What meets weights of zero."""
    frame.scratch.store(end + i, const(0, "int8", lanes))
