# SPDX-License-Identifier: Apache-2.0
"""The register tile that conv2d, dense and matmul share.

``rows`` positions of the left side times ``vectors`` vectors of outputs stay in registers while
the contracted axis is walked; then the epilogue runs on them and they are stored. Per step the
tile loads rows + vectors operands for rows * vectors multiply-adds, hence: as square as the
registers allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Protocol

import numpy as np

from edgebuild.kernels.program import Program
from edgebuild.kernels.tir.constants import Array, Block, Constants
from edgebuild.kernels.tir.emit import (
    Expr,
    Index,
    Memory,
    Registers,
    cast,
    const,
    dtype_of,
    shuffle,
    splat,
)
from edgebuild.kernels.tir.frame import Frame, covers, store
from edgebuild.kernels.tir.matrices import Matrices
from edgebuild.kernels.tir.products import Form, Steps
from edgebuild.kernels.tir.scalable import Scalable
from edgebuild.kernels.tir.scalars import Point, Programs
from edgebuild.kernels.tir.tile_shape import Split

#: Independent chains of additions that hide the latency of a multiply-add.
CHAINS = 8
#: Steps written out in the innermost loop.
UNROLL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The contracted axis: nested loops over (count, stride of the left side), then a run."""

    outer: tuple[tuple[int, int], ...]
    run: int  # neighbouring elements
    group: int

    @property
    def steps(self) -> int:
        return -(-self.run // self.group)

    @property
    def positions(self) -> int:
        return prod(count for count, _ in self.outer)

    def short(self, how: Form) -> int:
        """Elements that the last step of a run lacks, where it may; else the input has more."""
        return -self.run % how.group if self.run % how.end == 0 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of a tile, the same number of elements apart: one register then addresses them all."""

    first: Index
    stride: int
    count: int

    def all(self) -> list[Index]:
        return [self.first + m * self.stride for m in range(self.count)]


def bias_first(program: Program, channels: int) -> int | None:
    """The operand that the first step adds per channel, if it can start the accumulator."""
    if not program.steps or program.steps[0].function != "add":
        return None
    first = program.steps[0]
    others = [n for n in first.arguments if n != 0]
    if len(others) != 1 or others[0] >= len(program.operands):
        return None
    number = others[0]
    operand = program.operands[number]
    used = [n for step in program.steps[1:] for n in step.arguments]
    size = prod(operand.shape)
    fits = size == 1 or (size == channels and operand.shape[-1] == channels)
    if operand.source != "constant" or not fits or 0 in used or number in used:
        return None
    return number


class Right(Protocol):
    """A packed right side, and where its accumulators start."""

    dtype: str
    kind: str
    start_at: int | None
    memory: Memory | None

    def at(self, group: Index, block: Index) -> Index:
        """The first element of a block."""

    def position(self, vectors: int) -> int:
        """Elements of one position of the walk, in a block of ``vectors``."""


class Weights:
    """A constant right side, in the kernel's constants."""

    def __init__(
        self, block: Block, how: Form, cut: Split, walk: Walk, *, groups: int, dtype: str,
        bias: int | None, zero: int, natural: Callable[[Constants], Array],
    ) -> None:  # fmt: skip
        """``natural`` gives (groups * channels, positions, run)."""
        self._form, self._cut, self._walk = how, cut, walk
        self.dtype = dtype
        self._per_group = cut.padded * walk.positions * walk.steps * walk.group
        kind = "float64" if how.real else "float32" if how.source == "float32" else "int32"

        def start(c: Constants) -> Array:
            whole = kind != "float32"
            sums = natural(c).astype(np.int64 if whole else np.float32).sum(axis=(1, 2))
            result = sums * -(zero + how.bias) if whole else np.zeros_like(sums)
            if bias is not None:
                result = result + c[f"p{bias}"].reshape(-1)
            result = result.reshape(groups, cut.channels)
            return np.pad(result, ((0, 0), (0, cut.padded - cut.channels)))

        self.start_at: int | None = None
        if kind != "float32" or bias is not None:
            self.start_at = block.reserve("start", kind, groups * cut.padded, start)
        self.size = groups * self._per_group
        self.first = block.reserve(
            "weights", dtype, self.size,
            lambda c: pack(natural(c), how, cut, walk, groups),
        )  # fmt: skip
        self.kind = kind
        self.memory: Memory | None = None  # the constants

    def at(self, group: Index, block: Index) -> Index:
        """The first element of a block's weights."""
        size = self.position(self._cut.vectors) * self._walk.positions
        return self.first + group * self._per_group + block * size

    def position(self, vectors: int) -> int:
        """Elements of one position of the walk, in a block of ``vectors``."""
        return self._walk.steps * vectors * self._form.lanes * self._walk.group


def pack(natural: Array, how: Form, cut: Split, walk: Walk, groups: int) -> Array:
    """(groups * channels, positions, run) -> blocks of [position][step][vector][lane][group]."""
    padded_run = walk.steps * walk.group
    w = natural.reshape(groups, cut.channels, walk.positions, walk.run)
    w = np.pad(w, ((0, 0), (0, cut.padded - cut.channels), (0, 0), (0, padded_run - walk.run)))
    w = w.reshape(groups, cut.total, how.lanes, walk.positions, walk.steps, walk.group)
    parts = []
    for g in range(groups):
        for first in range(0, cut.total, cut.vectors):
            block = w[g, first : first + cut.vectors]
            parts.append(_ordered(block, how).reshape(-1))
    return np.concatenate(parts) if parts else w.reshape(-1)


def _ordered(block: Array, how: Form) -> Array:
    """(vector, lane, position, step, group) as the form's instructions read them."""
    if how.summed:  # two elements of every lane, then the other two
        vectors, lanes, positions, steps, _ = block.shape
        split = block.reshape(vectors, lanes, positions, steps, 2, 2)
        return split.transpose(2, 3, 0, 4, 1, 5)
    return block.transpose((2, 3, 0, 4, 1) if how.halves else (2, 3, 0, 1, 4))


def steps_of(how: Form) -> type[Steps]:
    """What emits the steps of a form."""
    if how.scalable:
        return Scalable
    return Matrices if how.rows > 1 else Steps


class Sums:
    """Emits the sums of tiles: the walk over the contracted axis."""

    def __init__(self, frame: Frame, how: Form, walk: Walk, cut: Split, weights: Right) -> None:
        self._frame, self._form, self._walk = frame, how, walk
        self._cut, self._weights = cut, weights
        self.steps = steps_of(how)(frame.w, frame.isa, how)
        #: Added to the sums of a tile's row, where a sum depends on more than its column.
        self.row_term: Callable[[int], Expr] | None = None
        self.held = 0  # registers that an epilogue keeps while sums are made

    def sums(
        self, left: Memory, rows: Rows, weights: Index, start: Index, vectors: int
    ) -> Registers:
        """The sums of ``rows``: number row * vectors + vector."""
        w, bands = self._frame.w, -(-rows.count // self._form.rows)
        count = bands * vectors * self._form.rows
        chains = 1 if count >= CHAINS else min(UNROLL, -(-CHAINS // count))
        chains = 1 if self._form.halves else min(chains, max(1, self._walk.steps))
        dtype, lanes = self.steps.accumulator
        sums = w.registers(dtype, lanes, count * chains, "sum")
        for band in range(bands):
            for v in range(vectors):
                starts = self.steps.start(partial(self._start, start, v))
                for part, first in enumerate(starts):
                    sums.set((band * vectors + v) * self._form.rows + part, first)
        for extra in range(count, count * chains):
            sums.set(extra, self.steps.zero())
        self._walk_positions(left, rows, weights, vectors, sums, chains)
        for chain in range(1, chains):
            for i in range(count):
                sums.set(i, sums.get(i) + sums.get(chain * count + i))
        return sums

    def finished(self, sums: Registers, m: int, v: int, vectors: int, start: Index) -> object:
        """The vector ``v`` of row ``m``."""
        band, row = divmod(m, self._form.rows)
        at = (band * vectors + v) * self._form.rows
        found = [sums.get(at + i) for i in range(self._form.rows)]
        value = self.steps.result(found, row, self._start(start, v))
        if self.row_term is None:
            return value
        dtype, lanes = dtype_of(value)
        return self._frame.w.let(value + splat(cast(self.row_term(m), dtype), lanes))

    def _start(self, start: Index, v: int) -> object:
        if self._weights.start_at is None:
            return const(0, self._weights.kind, self._form.lanes)
        at = start + (self._weights.start_at + v * self._form.lanes)
        return (self._weights.memory or self._frame.constants).load(
            at, self._weights.kind, self._form.lanes
        )

    def _walk_positions(
        self, left: Memory, rows: Rows, weights: Index, vectors: int,
        sums: Registers, chains: int,
    ) -> None:  # fmt: skip
        w, shift, number = self._frame.w, 0, 0
        with ExitStack() as stack:
            for count, stride in self._walk.outer:
                number = number * count
                if count > 1:
                    k = stack.enter_context(w.loop(0, count, "k"))
                    shift, number = shift + k * stride, number + k
            moved = replace(rows, first=w.let_index(rows.first + shift))
            at = w.let_index(weights + number * self._weights.position(vectors))
            self.run(left, moved, at, vectors, sums, chains)

    def run(
        self, left: Memory, rows: Rows, weights: Index, vectors: int,
        sums: Registers, chains: int,
    ) -> None:  # fmt: skip
        """The steps of one run: a loop of several at a time, then the rest."""
        w, f, steps = self._frame.w, self._form, self._walk.steps
        unroll = self.steps_written_out(rows, vectors)
        short = self._walk.short(f)
        whole = (steps - bool(short)) // unroll if steps > unroll else 0
        size = vectors * f.lanes * f.group

        def some(first: Index, count: int, short: int = 0) -> None:
            here = w.let_index(rows.first + first * f.group)
            places = replace(rows, first=here).all()
            bands = [places[m : m + f.rows] for m in range(0, rows.count, f.rows)]
            block = w.let_index(weights + first * size)
            together, length = f.block > 1, count * f.group - short
            lefts = [self.steps.left(left, band, length) for band in bands] if together else []
            for step in range(count):
                apart = vectors * f.rows
                chain = step % chains * len(bands) * apart
                rights = self._rights(block + step * size, vectors)
                if f.rows > 1:  # sums and left operands leave no registers for more than one
                    self._add(sums, chain, [each[step] for each in lefts], rights, apart)
                    continue
                loaded = list(rights)
                for m, band in enumerate(bands):
                    # loaded just before its use: LLVM keeps the order where registers are short
                    a = lefts[m][step] if together else self.steps.left(
                        left, [band[0] + step * f.group], f.group)[0]  # fmt: skip
                    self._add(sums, chain + m * apart, [a], loaded, apart)

        if whole > 1:
            with w.loop(0, whole, "s") as s:
                some(s * unroll, unroll)
        elif whole:
            some(0, unroll)
        if steps > whole * unroll:
            some(whole * unroll, steps - whole * unroll, short)

    def _rights(self, at: Index, vectors: int) -> Iterator[Expr]:
        """The weights of a step, each loaded when it is asked for."""
        memory, f = self._weights.memory or self._frame.constants, self._form
        for n in range(vectors * f.rows):
            place = at + n * (f.lanes * f.group // f.rows)
            yield self.steps.right(memory, place, self._weights.dtype)

    def _add(
        self, sums: Registers, first: int, lefts: list[Expr], rights: Iterable[Expr], apart: int
    ) -> None:
        """The products of a step; those of one left operand are ``apart`` from another's."""
        for n, b in enumerate(rights):
            for m, a in enumerate(lefts):
                i = first + m * apart + n
                sums.set(i, self.steps.add(sums.get(i), a, b))

    def steps_written_out(self, rows: Rows, vectors: int) -> int:
        """Of the innermost loop; one without vectors, where LLVM would load ahead, and spill.

        Where windows overlap, a step of one row reads what a later step of an earlier row reads.
        LLVM keeps such a value, and spills sums for it if they fill the registers.
        """
        if self._form.rows > 1:
            return self._form.block
        if self._form.summed:
            return 1  # LLVM would move a chain of additions to its end
        isa, group = self._frame.isa, self._walk.group
        if isa.vector_bits == 0:
            # the shorter side's operands of two steps
            operands = 2 * min(rows.count, vectors)
            room = rows.count * vectors + operands + self.held <= isa.registers
            return 2 if self._form.positions and room else 1
        if self._form.lanes > isa.lanes and isa.products == "widen":
            return UNROLL if rows.count == 1 else 1  # several would be loaded ahead
        most = max(UNROLL, self._form.block)
        if self._form.block > 1 or (rows.count + 1) * vectors + 2 + UNROLL <= isa.registers:
            return most
        apart = [m * rows.stride for m in range(1, rows.count)]
        return min([most, *(a // group for a in apart if a and a % group == 0)])


class Tile(Sums):
    """Emits whole tiles: sums, epilogue, stores."""

    def __init__(
        self, frame: Frame, how: Form, walk: Walk, cut: Split, weights: Right,
        programs: Programs, skip: int,
    ) -> None:  # fmt: skip
        super().__init__(frame, how, walk, cut, weights)
        self._programs, self._skip = programs, skip

    def emit(
        self, left: Memory, rows: Rows, points: Sequence[tuple[Index, ...]],
        stores: Rows, group: Index, block: Index, *, tail: bool,
        offset: int | None = None,
    ) -> None:  # fmt: skip
        """One tile. ``points``: coordinates without the channel; ``stores``: offsets of channel 0.

        ``offset``: channels between groups, where groups are not parts of one row of channels.
        """
        vectors = self._cut.tail if tail else self._cut.vectors
        apart = self._cut.channels if offset is None else offset
        channel = self._frame.w.let_index(block * self._cut.width + group * apart)
        start = block * self._cut.width + group * self._cut.padded
        block_at = self._frame.w.let_index(self._weights.at(group, block))
        sums = self.sums(left, rows, block_at, start, vectors)
        places = stores.all()
        left_over = self._cut.channels - (self._cut.blocks - 1) * self._cut.width
        for v in range(vectors):
            valid = min(self._cut.lanes, left_over - v * self._cut.lanes)
            valid = valid if tail else self._cut.lanes
            for m in range(stores.count):
                value = self.finished(sums, m, v, vectors, start)
                if self._form.real and not self._programs.doubles(self._skip):
                    value = self._frame.w.let(cast(value, "int32"))
                self._finish(
                    value, points[m], places[m], channel + v * self._cut.lanes, valid,
                )  # fmt: skip

    def _finish(
        self, value: object, point: tuple[Index, ...], at: Index, channel: Index, valid: int
    ) -> None:
        """Epilogue and store. Channels of one group of many may begin anywhere."""
        w, lanes = self._frame.w, self._cut.lanes
        alone = self._programs.channels == self._cut.channels
        even = alone or self._cut.channels % 2 == 0
        for first, size, exist in covers(valid, lanes, self._frame.isa.lanes if alone else 1):
            part = value
            if size != lanes:
                part = w.let(shuffle([value], list(range(first, first + size))))
            place = w.let_index(channel + first)
            where = Point(coordinates=(*point, place), lanes=size, valid=exist, even=even)
            done = self._programs.run(where, part, skip=self._skip)
            store(self._frame.output, at + place, done, range(exist))
