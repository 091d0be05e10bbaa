# SPDX-License-Identifier: Apache-2.0
"""8-bit convolutions on cores without vectors: two positions share a double.

A double holds one input of a position and, 2**26 times as large, that of a second position (the
row below; of a flat image: as many positions on as the tile has). One fused multiply-add with a
weight is then two products, exact to 53 bits. A tile packs its inputs into scratch once, for all
channels of output; where only one row of the window has room there, sums wait in scratch while
the next row is packed. Decision 0210 has the counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm import tirx

from edgebuild.kernels.specs import Conv2d
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import Rows, Sums, Walk, Weights, bias_first
from edgebuild.kernels.tir.emit import Expr, Index, Registers, cast, const, index, llvm
from edgebuild.kernels.tir.frame import Build, but_last, divided, even, padded, store
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.prepare import shares
from edgebuild.kernels.tir.products import DEEPEST, LOWER, POSITIONS
from edgebuild.kernels.tir.scalars import Point
from edgebuild.kernels.tir.tile_shape import Split

_BYTES = 8
#: Instructions: of a packed pair, of a turn of the innermost loop, of an operand on the right.
_PACK, _TURN, _RIGHT = 7, 3, 2
#: Pairs packed in one turn.
_TOGETHER = 4
#: A tile that costs more instructions than this for a product is no gain.
_WORTH = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The form of a tile."""

    flat: bool  # a product over all positions
    pairs: int  # in a tile
    vectors: int  # channels of a block
    rows: int  # of the window, packed at a time
    kernel: tuple[int, int]
    step: int  # columns of the packed row between two outputs
    scratch: int  # bytes of a task
    depth: int  # elements of a packed column

    @property
    def split(self) -> bool:
        """Whether sums wait in scratch."""
        return self.rows < self.kernel[0]

    def columns(self, pairs: int) -> int:
        return (pairs - 1) * self.step + self.kernel[1]

    @property
    def column(self) -> int:
        """Elements of a packed column: all rows of a window's column lie side by side."""
        return self.rows * self.depth


def suits(spec: Conv2d, isa: Isa) -> bool:
    """Whether sums of this convolution can be those of doubles, two positions at a time."""
    dense = spec.window.kernel[1] == 1 or spec.window.dilation[1] == 1
    depth = spec.window.kernel[0] * spec.window.kernel[1] * spec.input[3]
    able = isa.doubles and isa.products == "pairs" and spec.dtype == "int8"
    return able and dense and spec.groups == 1 and 0 < depth < DEEPEST and min(spec.output) > 0


def plan(spec: Conv2d, kernel: Build, *, flat: bool) -> Plan | None:
    """The tile that takes the fewest instructions in the memory that is free."""
    free = min(kernel.free_bytes // kernel.isa.cores, kernel.isa.l1_bytes // 2)
    across = -(-spec.output[2] // 2) if flat else spec.output[2]
    if not flat and spec.output[1] == 1:
        return None
    found: list[tuple[float, int, int, Plan]] = []
    for vectors in range(1, min(spec.output[3], kernel.isa.registers // 4) + 1):
        most = (kernel.isa.registers - 1 - vectors) // vectors
        for pairs in sorted({even(across, count) for count in range(1, most + 1)}):
            for rows in {spec.window.kernel[0], 1}:
                made = _plan(spec, flat=flat, pairs=pairs, vectors=vectors, rows=rows)
                if made.scratch <= free:
                    found.append((_cost(spec, made, across), pairs, rows, made))
    if not found:
        return None
    cost, *_, best = min(found, key=lambda each: each[:3])
    worth = _WORTH * 2 * across * spec.output[3] * best.kernel[0] * best.kernel[1] * best.depth
    return best if cost <= worth else None


def _plan(spec: Conv2d, *, flat: bool, pairs: int, vectors: int, rows: int) -> Plan:
    kernel = spec.window.kernel
    step = 1 if kernel[1] == 1 else spec.window.stride[1]
    columns, depth = (pairs - 1) * step + kernel[1], spec.input[3]
    scratch = padded(rows * columns * depth * _BYTES)
    if rows < kernel[0]:
        scratch += padded(pairs * spec.output[3] * _BYTES)
    return Plan(flat=flat, pairs=pairs, vectors=vectors, rows=rows, kernel=kernel, step=step,
                scratch=scratch, depth=depth)  # fmt: skip


def _cost(spec: Conv2d, p: Plan, across: int) -> float:
    """Instructions of a row of pairs."""
    channels, steps = spec.output[3], p.kernel[0] * p.kernel[1] * p.depth
    tiles = [p.pairs] * (across // p.pairs) + [across % p.pairs] * (across % p.pairs > 0)
    blocks = [p.vectors] * (channels // p.vectors)
    blocks += [channels % p.vectors] * (channels % p.vectors > 0)
    sums = sum(m + v * _RIGHT + m * v + _TURN for v in blocks for m in tiles) * steps
    packed = sum(p.columns(m) for m in tiles) * p.kernel[0] * p.depth * _PACK
    waiting = 2 * across * channels * (p.kernel[0] // p.rows - 1)
    return sums + packed + waiting


class Pairs:
    """Emits the tiles of a convolution; ``domain``: of the epilogue, flat or with four axes."""

    def __init__(
        self, spec: Conv2d, kernel: Build, p: Plan, domain: tuple[int, ...],
        strides: dict[int, tuple[int, ...]] | None,
    ) -> None:  # fmt: skip
        self.spec, self.kernel, self.plan = spec, kernel, p
        self.domain, self.strides = domain, strides
        self.cut = Split(channels=spec.output[3], lanes=1, vectors=p.vectors)
        passes = p.kernel[0] // p.rows
        self.walk = Walk(outer=((passes, 0),), run=p.kernel[1] * p.column, group=1)
        self.bias = bias_first(spec.epilogue, spec.output[3])

        def natural(c: Constants) -> Array:
            shape = (spec.output[3], passes, p.rows, p.kernel[1], p.depth)
            found: Array = c["weights"].reshape(shape).transpose(0, 1, 3, 2, 4)
            return found.reshape(spec.output[3], passes, self.walk.run)

        self.weights = Weights(
            kernel.block, POSITIONS, self.cut, self.walk, groups=1, dtype="int8",
            bias=self.bias, zero=spec.input_zero, natural=natural,
        )  # fmt: skip

    def build(self) -> None:
        """Shares are pairs of rows, or tiles of a flat image."""
        p, (images, height, width, _) = self.plan, self.spec.output
        lines = -(-height // 2)
        tiles = -(-width // (2 * p.pairs))
        with shares(self.kernel, tiles if p.flat else images * lines) as (frame, task, number):
            w = frame.w
            self.frame = frame
            self.programs = frame.programs(self.spec.epilogue, self.domain, self.strides)
            self.skip = 0 if self.bias is None else 1
            self.sums = Sums(frame, POSITIONS, self.walk, self.cut, self.weights)
            # what LLVM loads before: numbers of the epilogue, and of a residual sum
            residual = any(o.source == "input" for o in self.spec.epilogue.operands)
            self.sums.held = 0 if p.split else 4 if residual else 2
            at = self.kernel.scratch(frame.tasks * p.scratch) // _BYTES
            self.place = w.let_index(task * (p.scratch // _BYTES) + at)
            if p.flat:
                self._flat(number, tiles, width)
                return
            image, line = divided(frame, number, lines)
            image, line = (0, number) if images == 1 else (image, line)
            self.at = (image, w.let_index(line * 2))
            whole, rest = divmod(width, p.pairs)
            if whole:
                with w.loop(0, whole, "x") as x:
                    self._tile(w.let_index(x * p.pairs), p.pairs)
            if rest:
                self._tile(whole * p.pairs, rest)

    def _flat(self, number: Index, tiles: int, width: int) -> None:
        w, p = self.frame.w, self.plan
        self.at = (0, 0)
        x = w.let_index(number * (2 * p.pairs))

        def some(positions: int) -> None:
            self._tile(x, -(-positions // 2), odd=positions % 2 == 1)

        but_last(w, number, tiles, some, 2 * p.pairs, width - (tiles - 1) * 2 * p.pairs)

    def _tile(self, x: Index, pairs: int, *, odd: bool = False) -> None:
        """Outputs from column ``x`` on; ``odd``: the last pair is a single position."""
        w, p, cut = self.frame.w, self.plan, self.cut
        waiting = self.place + padded(p.columns(p.pairs) * p.column * _BYTES) // _BYTES
        if p.split:
            self._zero(waiting, pairs)
            with w.loop(0, p.kernel[0], "ky") as ky:
                self._pack(ky, self.place, x, pairs, odd=odd)
                self._blocks(lambda b, n: self._some(b, n, ky, waiting, pairs))
            self._blocks(lambda b, n: self._finish(b, n, self._waited(b, n, waiting, pairs), x,
                                                   pairs, odd=odd))  # fmt: skip
            return

        for row in range(p.kernel[0]):
            self._pack(row, self.place + row * p.depth, x, pairs, odd=odd)

        def block(number: Index, vectors: int) -> None:
            start = w.let_index(self.weights.at(0, number))
            sums = self.sums.sums(self.frame.scratch, self._rows(pairs), start,
                                  number * cut.width, vectors)  # fmt: skip
            self._finish(number, vectors, sums, x, pairs, odd=odd)

        self._blocks(block)

    def _rows(self, pairs: int) -> Rows:
        return Rows(first=self.place, stride=self.plan.step * self.plan.column, count=pairs)

    def _blocks(self, body: Callable[[Index, int], None]) -> None:
        """``body(number, channels)`` for the blocks, the last of which may have fewer."""
        whole = self.cut.blocks - (1 if self.cut.tail else 0)
        if whole:
            with self.frame.w.loop(0, whole, "b") as b:
                body(b, self.cut.vectors)
        if self.cut.tail:
            body(self.cut.blocks - 1, self.cut.tail)

    # ---- sums that wait ----

    def _zero(self, waiting: Index, pairs: int) -> None:
        with self.frame.w.loop(0, pairs * self.spec.output[3], "z") as z:
            self.frame.scratch.store(waiting + z, const(0.0, "float64"))

    def _where(self, waiting: Index, number: Index, pairs: int) -> Index:
        return self.frame.w.let_index(waiting + number * (self.cut.width * pairs))

    def _waited(self, number: Index, vectors: int, waiting: Index, pairs: int) -> Registers:
        w, at = self.frame.w, self._where(waiting, number, pairs)
        sums = w.registers("float64", 1, pairs * vectors, "sum")
        for i in range(pairs * vectors):
            sums.set(i, self.frame.scratch.load(at + i, "float64"))
        return sums

    def _some(self, number: Index, vectors: int, ky: Index, waiting: Index, pairs: int) -> None:
        """The products of one row of the window."""
        w, size = self.frame.w, self.weights.position(vectors)
        sums = self._waited(number, vectors, waiting, pairs)
        weights = w.let_index(self.weights.at(0, number) + ky * size)
        self.sums.run(self.frame.scratch, self._rows(pairs), weights, vectors, sums, 1)
        at = self._where(waiting, number, pairs)
        for i in range(pairs * vectors):
            self.frame.scratch.store(at + i, sums.get(i))

    # ---- packing ----

    def _pack(self, ky: Index, place: Index, x: Index, pairs: int, *, odd: bool) -> None:
        """One row of the window, for all outputs of a tile."""
        w, spec, p = self.frame.w, self.spec, self.plan
        (_, height, width, depth), window = spec.input, spec.window
        image, y = self.at
        stride = window.stride[1]
        left = w.let_index(x * stride - window.padding[1])
        top = w.let_index(y * window.stride[0] - window.padding[0] + ky * window.dilation[0])
        below = 0 if p.flat else window.stride[0]
        apart = pairs * depth if p.flat else below * width * depth
        base = w.let_index(((image * height + top) * width + left) * depth)
        move = stride if p.kernel[1] == 1 else 1
        columns = p.columns(pairs)
        if p.flat:
            self._both(place, base, (columns - odd) * depth, apart)
            if odd:
                end = w.let_index(base + (columns - 1) * depth)
                self._edge(place + (columns - 1) * depth, end, apart, True, False)
            return
        rows = [self._inside(w.let_index(top + d), height) for d in (0, below)]
        last = w.let_index(left + (columns - 1) * move)
        all_in = rows[0] & rows[1] & (index(left) >= const(0, "int64"))
        all_in = w.let(all_in & (index(last) < const(width, "int64")))
        with w.when(all_in):
            if move == 1 and p.column == depth:
                self._both(place, base, columns * depth, apart)
            else:
                with w.loop(0, columns, "j") as j:
                    self._both(w.let_index(place + j * p.column),
                               w.let_index(base + j * (move * depth)), depth, apart)  # fmt: skip
        with w.when(w.let(tirx.Not(all_in))), w.loop(0, columns, "j") as j:
            inside = self._inside(w.let_index(left + j * move), width)
            self._edge(w.let_index(place + j * p.column), w.let_index(base + j * (move * depth)),
                       apart, w.let(rows[0] & inside), w.let(rows[1] & inside))  # fmt: skip

    def _inside(self, at: Index, size: int) -> Expr:
        at = index(at)
        return self.frame.w.let((at >= const(0, "int64")) & (at < const(size, "int64")))

    def _both(self, place: Index, source: Index, count: int, apart: int) -> None:
        """``count`` pairs of elements that are ``apart``."""
        w, memory = self.frame.w, self.frame.inputs["input"]

        def some(first: Index, number: int) -> None:
            for i in range(number):
                low, high = (
                    cast(memory.load(source + first + (i + d), "int8"), "int64") for d in (0, apart)
                )
                both = w.let(low + (high << const(LOWER, "int64")))
                self.frame.scratch.store(place + first + i, cast(both, "float64"))

        whole = count // _TOGETHER
        if whole:
            with w.loop(0, whole, "p") as turn:
                some(w.let_index(turn * _TOGETHER), _TOGETHER)
        some(whole * _TOGETHER, count - whole * _TOGETHER)

    def _edge(
        self, place: Index, source: Index, apart: int, low: Expr | bool, high: Expr | bool
    ) -> None:
        """A column either side of which may lie outside of the image: the zero point stands in."""
        w, scratch, depth = self.frame.w, self.frame.scratch, self.plan.depth
        zero, scale = self.spec.input_zero, float(1 << LOWER)

        def each(value: Callable[[Index], Expr]) -> None:
            with w.loop(0, depth, "c") as c:
                scratch.store(place + c, value(c))

        def add(at: int, factor: float) -> None:
            def moved(c: Index) -> Expr:
                x = self.frame.inputs["input"].load(source + c + at, "int8")
                x = w.let(cast(cast(x, "int32") - const(zero, "int32"), "float64"))
                old = scratch.load(place + c, "float64")
                return w.let(llvm("float64", 1, "llvm.fma", x, const(factor, "float64"), old))

            each(moved)

        each(lambda _: const(zero * (1.0 + scale), "float64"))
        for side, at, factor in ((low, 0, 1.0), (high, apart, scale)):
            if side is True:
                add(at, factor)
            elif side is not False:
                with w.when(side):
                    add(at, factor)

    # ---- results ----

    def _finish(
        self, number: Index, vectors: int, sums: Registers, x: Index, pairs: int, *, odd: bool
    ) -> None:
        """Epilogue and stores of a block."""
        w, p = self.frame.w, self.plan
        image, y = self.at
        height, width = self.spec.output[1:3]
        channel = w.let_index(number * self.cut.width)
        line = w.let_index(image * height + y)
        beyond = None
        if not p.flat and height % 2:
            beyond = w.let(index(y) < const(height - 1, "int64"))
        for v in range(vectors):
            start = w.let(self.frame.constants.load(
                channel + (self.weights.start_at or 0) + v, "float64"))  # fmt: skip
            for m in range(pairs):
                low, high = self.sums.steps.halves(w.let(sums.get(m * vectors + v)))
                column = w.let_index(x + m)
                self._store(low + start, line * width + column, (image, y, column), channel + v)
                if odd and m == pairs - 1:
                    continue
                if p.flat:
                    column = w.let_index(x + (m + pairs))
                place = line * width + column + (0 if p.flat else width)
                point = (image, y if p.flat else y + 1, column)
                if beyond is None:
                    self._store(high + start, place, point, channel + v)
                    continue
                total = w.let(high + start)
                with w.when(beyond):
                    self._store(total, place, point, channel + v)

    def _store(self, total: Expr, place: Index, point: tuple[Index, ...], channel: Index) -> None:
        w = self.frame.w
        value = w.let(total)
        if not self.programs.doubles(self.skip):
            value = w.let(cast(value, "int32"))
        channel = w.let_index(channel)
        where = point if len(self.domain) == 4 else point[2:]
        done = self.programs.run(
            Point(coordinates=(*where, channel), lanes=1), value, skip=self.skip
        )
        store(self.frame.output, place * self.spec.output[3] + channel, done)
