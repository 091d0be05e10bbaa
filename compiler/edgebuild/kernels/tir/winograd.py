# SPDX-License-Identifier: Apache-2.0
"""3x3 convolutions with fewer multiplications: transform, n * n matrix products, transform back.

A pass takes some rows of tiles. Its input rows are transformed down (into ``rows``), then across
(into ``left``: [place][tile][channel]); each of the n * n places is a product with its own
weights (into ``sums``); these are transformed back, and the epilogue runs on the outputs.
Borders cost nothing inside: missing input is zeros, written once in the first transform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm import tirx

from edgebuild.kernels.specs import Conv2d
from edgebuild.kernels.tir.contraction import Right, Rows, Sums, Walk, Weights
from edgebuild.kernels.tir.emit import Expr, Index, const, index, llvm
from edgebuild.kernels.tir.frame import Build, Frame, along, but_last, divided, store
from edgebuild.kernels.tir.prepare import shares
from edgebuild.kernels.tir.products import form as products
from edgebuild.kernels.tir.products import stored_as
from edgebuild.kernels.tir.scalars import Point, Programs
from edgebuild.kernels.tir.tile_shape import rows_of
from edgebuild.kernels.tir.winograd_rule import Plan
from edgebuild.kernels.tir.winograd_stored import Opened, opened_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a pass stands: image, first row of tiles, first column of tiles."""

    number: Index
    top: Index
    left: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of output channels."""

    number: Index
    vectors: int
    channels: int


def winograd(spec: Conv2d, plan: Plan, kernel: Build) -> None:
    Winograd(spec, plan, kernel).build()


class Winograd:
    """Emits a convolution as planned."""

    def __init__(self, spec: Conv2d, plan: Plan, kernel: Build) -> None:
        self.spec, self.plan, self.form, self.kernel = spec, plan, plan.form, kernel
        self.how = products(kernel.isa, "float32")
        kernel.tiles = plan.counted(spec.output[0])
        self.walk = Walk(outer=((1, 0),), run=spec.input[3], group=1)
        self.opened = self._opened()
        self.weights: Right = self.opened or Weights(
            kernel.block, self.how, plan.cut, self.walk, groups=self.form.n**2, dtype="float32",
            bias=None, zero=0, natural=lambda c: self.form.weights(c["weights"]),
        )  # fmt: skip

    def _opened(self) -> Opened | None:
        """Stored weights that stay small, where their transform costs no memory."""
        spec, kernel, plan = self.spec, self.kernel, self.plan
        stored = stored_as(spec.stored, kernel.isa)
        others = plan.scratch_bytes(min(kernel.isa.cores, plan.passes(spec.output[0])))
        if not stored or others + opened_bytes(spec, plan.cut, self.form) > kernel.free_bytes:
            return None
        return Opened(spec, kernel, plan.cut, self.form, stored)

    def build(self) -> None:
        if self.opened is not None:
            self.opened.phase(self.kernel)
        if self.plan.makers:
            self._phases()
        else:
            self._passes()

    def _scratch(self, passes: int) -> tuple[int, int]:
        """First elements of the rows and sums, and of the transformed input."""
        first, second = (
            self.kernel.scratch(4 * passes * size) // 4
            for size in (self.plan.shared, self.plan.left)
        )
        return first, second

    def _passes(self) -> None:
        plan = self.plan
        with shares(self.kernel, plan.passes(self.spec.output[0])) as (frame, task, part):
            w = frame.w
            first, second = self._scratch(frame.tasks)
            sums = w.let_index(task * plan.shared + first)
            left = w.let_index(task * plan.left + second)
            band, span = divided(frame, part, plan.spans)
            number, band = divided(frame, band, plan.bands)
            place = Place(number=number, top=w.let_index(band * plan.rows),
                          left=w.let_index(span * plan.columns))  # fmt: skip
            self._each_row(frame, place, lambda at, i: self._into(frame, at, i, sums, left))
            programs = frame.programs(self.spec.epilogue, self.spec.output)
            with w.loop(0, plan.cut.blocks, "b") as b:
                self._block(frame, programs, place, b, sums, left)

    def _phases(self) -> None:
        """One pass, in two phases so that the cores share each of them."""
        plan, kernel = self.plan, self.kernel
        first, left = self._scratch(1)
        frame = kernel.frame(plan.rows)
        with frame.each_task() as task:
            rows = frame.w.let_index(task * plan.row + first)
            place = Place(number=0, top=task, left=0)
            self._into(frame, place, task * plan.columns, rows, left)
        frame.finish()
        with shares(kernel, plan.cut.blocks) as (frame, task, number):
            sums = frame.w.let_index(task * plan.block + first)
            programs = frame.programs(self.spec.epilogue, self.spec.output)
            place = Place(number=0, top=0, left=0)
            self._block(frame, programs, place, number, sums, left)

    def _block(
        self, frame: Frame, programs: Programs, place: Place, number: Index, sums: Index,
        left: Index,
    ) -> None:  # fmt: skip
        """The products of a block of channels, and back: the last one may be smaller."""
        cut = self.plan.cut

        def one(block: Block) -> None:
            with frame.w.loop(0, self.form.n**2, "place") as position:
                self._multiply(frame, position, block, left, sums)
            self._each_row(
                frame, place, lambda at, i: self._out(frame, programs, at, i, sums, block)
            )

        whole = Block(number=number, vectors=cut.vectors, channels=cut.width)
        before = (cut.blocks - 1) * cut.width
        last = Block(number=cut.blocks - 1, vectors=cut.tail, channels=cut.channels - before)

        def some(tail: bool) -> None:
            one(last if tail else whole)

        but_last(frame.w, number, cut.blocks, some, False, cut.tail > 0)

    def _each_row(self, frame: Frame, place: Place, body: Callable[[Place, Index], None]) -> None:
        """``body(where, tile)`` for the rows of tiles of a pass, ``tile``: its first tile."""
        c, w = self.plan, frame.w
        with w.loop(0, c.rows, "r") as r:
            top = w.let_index(place.top + r)
            at = Place(number=place.number, top=top, left=place.left)
            if c.down % c.rows:
                with w.when(top < const(c.down, "int64")):
                    body(at, r * c.columns)
            else:
                body(at, r * c.columns)

    # ---- into ----

    def _into(self, frame: Frame, place: Place, tile: Index, rows: Index, left: Index) -> None:
        """One row of tiles, a slice of channels at a time."""
        w, depth, c = frame.w, self.plan.depth, self.spec.input[3]
        low, high = self._edges(frame, place)
        self._zeros(frame, rows, 0, low)
        self._zeros(frame, rows, high, self.plan.width)

        def part(first: Index, count: int) -> None:
            self._down(frame, place, rows, (low, high), (first, count))
            self._across(frame, tile, rows, left, (first, count))

        if depth == c:
            part(0, c)
            return
        with w.loop(0, c // depth, "part") as number:
            part(w.let(number * depth), depth)
        if c % depth:
            part(c - c % depth, c % depth)

    def _edges(self, frame: Frame, place: Place) -> tuple[Index, Index]:
        """The first column of a pass that lies in the input, and the first beyond."""
        before, w = self.spec.window.padding[1], frame.w
        end = self.spec.input[2] + before
        if self.plan.spans == 1:
            return min(before, self.plan.width), min(end, self.plan.width)
        start = w.let(place.left * self.form.m)
        zero, most = const(0, "int64"), const(self.plan.width, "int64")
        low = w.let(tirx.Max(const(before, "int64") - start, zero))
        return low, w.let(tirx.Max(low, tirx.Min(const(end, "int64") - start, most)))

    def _kinds(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Which of the n input rows of a row of tiles exist -> the rows of tiles."""
        n, before = self.form.n, self.spec.window.padding[0]
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for top in range(self.plan.down):
            y = top * self.form.m - before
            key = (max(0, -y), max(0, min(n, self.spec.input[1] - y)))
            found[key] = (found.get(key, (top, top))[0], top + 1)
        return found

    def _columns(
        self, frame: Frame, edges: tuple[Index, Index], count: int,
        body: Callable[[Index, Index, int], None],
    ) -> None:  # fmt: skip
        """``body(element of the input, element of the rows, size)`` for ``count`` channels.

        ``edges``: the first column and the one after the last; elements count from column 0 on.
        """
        low, high = edges
        c, depth, lanes = self.spec.input[3], self.plan.depth, frame.isa.lanes
        if depth == c and isinstance(low, int) and isinstance(high, int):
            first = low * c
            along(frame.w, (high - low) * c, lanes, lambda i, n: body(first + i, first + i, n),
                  twice=True)  # fmt: skip
            return
        with frame.w.loop(low, high, "x") as x:
            there, here = frame.w.let(x * c), frame.w.let(x * depth)
            along(frame.w, count, lanes, lambda i, n: body(there + i, here + i, n), twice=True)

    def _zeros(self, frame: Frame, rows: Index, low: Index, high: Index) -> None:
        step = self.plan.width * self.plan.depth

        def some(_: Index, at: Index, size: int) -> None:
            for i in range(self.form.n):
                frame.scratch.store(rows + i * step + at, const(0, "float32", size))

        self._columns(frame, (low, high), self.plan.depth, some)

    def _down(
        self, frame: Frame, place: Place, rows: Index, edges: tuple[Index, Index],
        part: tuple[Index, int],
    ) -> None:  # fmt: skip
        """The channels ``part`` (first, count) of the input rows, those that exist."""
        kinds = self._kinds()
        for (first, last), (begin, end) in kinds.items():
            if len(kinds) == 1:
                self._down_rows(frame, place, rows, edges, part, range(first, last))
                continue
            inside = (place.top >= const(begin, "int64")) & (place.top < const(end, "int64"))
            with frame.w.when(frame.w.let(inside)):
                self._down_rows(frame, place, rows, edges, part, range(first, last))

    def _down_rows(
        self, frame: Frame, place: Place, rows: Index, edges: tuple[Index, Index],
        part: tuple[Index, int], exist: range,
    ) -> None:  # fmt: skip
        _, h, w, c = self.spec.input
        before, step = self.spec.window.padding, self.plan.width * self.plan.depth
        y = place.top * self.form.m - before[0]
        x = place.left * self.form.m - before[1]
        source = frame.w.let_index(((place.number * h + y) * w + x) * c + part[0])

        def some(there: Index, here: Index, size: int) -> None:
            values = [
                frame.w.let(
                    frame.inputs["input"].load(source + (i * w * c) + there, "float32", size)
                    if i in exist else const(0, "float32", size)
                )
                for i in range(self.form.n)
            ]  # fmt: skip
            for i, value in enumerate(self.form.into(values, self._fma(frame, size))):
                frame.scratch.store(rows + i * step + here, value)

        self._columns(frame, edges, part[1], some)

    def _across(
        self, frame: Frame, tile: Index, rows: Index, left: Index, part: tuple[Index, int]
    ) -> None:
        c, n, tiles, depth = self.spec.input[3], self.form.n, self.plan.tiles, self.plan.depth
        w = frame.w
        with w.loop(0, n, "i") as i, w.loop(0, self.plan.columns, "t") as t:
            source = w.let(rows + i * (self.plan.width * depth) + t * (self.form.m * depth))
            target = w.let(left + (i * (n * tiles) + tile + t) * c + part[0])

            def some(at: Index, size: int) -> None:
                values = [
                    w.let(frame.scratch.load(source + j * depth + at, "float32", size))
                    for j in range(n)
                ]
                for j, value in enumerate(self.form.into(values, self._fma(frame, size))):
                    frame.scratch.store(target + j * tiles * c + at, value)

            along(w, part[1], frame.isa.lanes, some, twice=True)

    # ---- products ----

    def _multiply(
        self, frame: Frame, position: Index, block: Block, left: Index, sums: Index
    ) -> None:
        """All tiles of one of the n * n places and one block of channels."""
        cut, tiles, w = self.plan.cut, self.plan.tiles, frame.w
        vectors, c = block.vectors, self.spec.input[3]
        left = w.let_index(left + position * (tiles * c))
        target = w.let_index(sums + position * (tiles * cut.width))
        weights = w.let_index(self.weights.at(position, block.number))
        rows = rows_of(frame.isa, self.how, vectors, tiles)
        if self.opened is not None:
            self.opened.memory = frame.scratch
        emitter = Sums(frame, self.how, self.walk, cut, self.weights)

        def some(first: Index, count: int) -> None:
            many = Rows(first=w.let_index(left + first * c), stride=c, count=count)
            found = emitter.sums(frame.scratch, many, weights, 0, vectors)
            place = w.let_index(target + first * cut.width)
            for m in range(count):
                for v in range(vectors):
                    at = place + (m * cut.width + v * cut.lanes)
                    frame.scratch.store(at, found.get(m * vectors + v))

        along_tiles(frame, tiles, rows, some)

    # ---- out ----

    def _out(
        self, frame: Frame, programs: Programs, place: Place, tile: Index, sums: Index,
        block: Block,
    ) -> None:  # fmt: skip
        """One row of tiles; the last one, and the last tile of a row, may be partly outside."""
        c, m, w = self.plan, self.form.m, frame.w
        _, height, width, _ = self.spec.output
        lower, right = height - (c.down - 1) * m, width - (c.across - 1) * m

        def row(count: int) -> None:
            full = w.let(const(c.across - (right < m), "int64") - index(place.left))
            with w.loop(0, tirx.Min(full, const(c.columns, "int64")), "t") as t:
                self._tiles(frame, programs, place, tile + t, t, sums, block, (count, m))
            if right < m:
                with w.when(full < const(c.columns, "int64")):
                    self._tiles(
                        frame, programs, place, tile + full, full, sums, block, (count, right)
                    )

        but_last(w, place.top, c.down, row, m, lower)

    def _tiles(
        self, frame: Frame, programs: Programs, place: Place, tile: Index, t: Index,
        sums: Index, block: Block, size: tuple[int, int],
    ) -> None:  # fmt: skip
        """One tile, of which ``size`` outputs lie in the image."""
        w, form = frame.w, self.form
        first = w.let_index(block.number * self.plan.cut.width)
        _, height, width, channels = self.spec.output
        y = w.let_index(place.top * form.m)
        x = w.let_index((place.left + t) * form.m)
        target = w.let_index(((place.number * height + y) * width + x) * channels)
        source = w.let_index(sums + tile * self.plan.cut.width)
        step = self.plan.tiles * self.plan.cut.width

        def some(k: Index, lanes: int) -> None:
            fma = self._fma(frame, lanes)
            columns = []
            for j in range(form.n):
                places = [source + (i * form.n + j) * step + k for i in range(form.n)]
                values = [w.let(frame.scratch.load(p, "float32", lanes)) for p in places]
                columns.append(form.out(values, fma)[: size[0]])
            for r in range(size[0]):
                line = form.out([column[r] for column in columns], fma)
                for q in range(size[1]):
                    point = (place.number, y + r, x + q, first + k)
                    done = programs.run(Point(coordinates=point, lanes=lanes), line[q])
                    store(frame.output, target + (r * width + q) * channels + (first + k), done)

        along(w, block.channels, frame.isa.lanes, some, twice=self.kernel.over is None)

    def _fma(self, frame: Frame, lanes: int) -> Callable[[float, Expr, Expr], Expr]:
        w = frame.w

        def fma(a: float, x: Expr, b: Expr) -> Expr:
            if a == 1:
                return w.let(x + b)
            if a == -1:
                return w.let(b - x)
            number = const(float(a), "float32", lanes)
            if frame.isa.fma:
                return w.let(llvm("float32", lanes, "llvm.fma", number, x, b))
            return w.let(number * x + b)

        return fma


def along_tiles(frame: Frame, count: int, rows: int, some: Callable[[Index, int], None]) -> None:
    """``some(first, rows)`` in a loop, and the odd end."""
    whole, rest = divmod(count, rows)
    if whole == 1:
        some(0, rows)
    elif whole:
        with frame.w.loop(0, whole, "x") as x:
            some(frame.w.let(x * rows), rows)
    if rest:
        some(whole * rows, rest)
