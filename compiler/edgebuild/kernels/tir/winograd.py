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
from edgebuild.kernels.tir.contraction import Rows, Sums, Walk, Weights, rows_of, split
from edgebuild.kernels.tir.emit import Expr, Index, const, index, llvm
from edgebuild.kernels.tir.frame import Build, Frame, along, divided, store
from edgebuild.kernels.tir.prepare import shares
from edgebuild.kernels.tir.products import form as products
from edgebuild.kernels.tir.scalars import Point, Programs
from edgebuild.kernels.tir.winograd_rule import Form, cover, pass_elements


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a pass stands: image, first row of tiles, first column of tiles."""

    number: Index
    top: Index
    left: Index


def winograd(spec: Conv2d, form: Form, kernel: Build) -> None:
    """The whole image as three phases if it is small, else passes that do all three."""
    Winograd(spec, form, kernel).build()


class Winograd:
    """Emits a convolution in one form."""

    def __init__(self, spec: Conv2d, form: Form, kernel: Build) -> None:
        self.spec, self.form, self.kernel = spec, form, kernel
        self.cover = cover(spec, form, kernel.isa, kernel.free_bytes)
        how = products(kernel.isa, "float32")
        self.how = how
        self.walk = Walk(outer=((1, 0),), run=spec.input[3], group=1)
        self.cut = split(kernel.isa, how, spec.output[3], self.cover.tiles)
        self.weights = Weights(
            kernel.block, how, self.cut, self.walk, groups=form.n**2, dtype="float32", bias=None,
            zero=0, natural=lambda c: form.weights(c["weights"]),
        )  # fmt: skip
        self.width = form.m * self.cover.columns + 2  # columns of input that a pass reads

    def build(self) -> None:
        c = self.cover
        passes = self.spec.output[0] * c.bands * c.spans
        if passes == 1 and self.kernel.isa.cores > 1:
            self._phases()
            return
        with shares(self.kernel, passes) as (frame, task, part):
            rows, left = self._reserve(frame.tasks, 1)
            rows, left = (frame.w.let_index(at + task * size) for at, size in (rows, left))
            band, span = divided(frame, part, c.spans)
            number, band = divided(frame, band, c.bands)
            place = Place(number=number, top=frame.w.let_index(band * c.rows),
                          left=frame.w.let_index(span * c.columns))  # fmt: skip
            self._each_row(frame, place, lambda at, i: self._into(frame, at, i, rows, left))
            with frame.w.loop(0, self.form.n**2, "place") as position:
                self._multiply(frame, position, left, rows)
            programs = frame.programs(self.spec.epilogue, self.spec.output)
            self._each_row(frame, place, lambda at, i: self._out(frame, programs, at, i, rows))

    def _reserve(self, passes: int, rows: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """(first element, elements of a pass) of the rows and sums, and of the left side."""
        sizes = pass_elements(self.spec, self.form, self.kernel.isa, self.cover, rows)
        first, second = (self.kernel.scratch(4 * passes * size) // 4 for size in sizes)
        return (first, sizes[0]), (second, sizes[1])

    def _phases(self) -> None:
        """One pass, its parts one after the other so that the cores share each of them."""
        c, kernel = self.cover, self.kernel
        (rows, _), (left, _) = self._reserve(1, c.rows)
        size = self.form.n * self.width * self.spec.input[3]
        frame = kernel.frame(c.rows)
        with frame.each_task() as task:
            at = frame.w.let_index(task * size + rows)
            place = Place(number=0, top=task, left=0)
            self._into(frame, place, task * c.columns, at, left)
        frame.finish()
        frame = kernel.frame(self.form.n**2)
        with frame.each_task() as task:
            self._multiply(frame, task, left, rows)
        frame.finish()
        frame = kernel.frame(c.rows)
        programs = frame.programs(self.spec.epilogue, self.spec.output)
        with frame.each_task() as task:
            place = Place(number=0, top=task, left=0)
            self._out(frame, programs, place, task * c.columns, rows)
        frame.finish()

    def _each_row(self, frame: Frame, place: Place, body: Callable[[Place, Index], None]) -> None:
        """``body(where, tile)`` for the rows of tiles of a pass, ``tile``: its first tile."""
        c, w = self.cover, frame.w
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
        low, high = self._edges(frame, place)
        self._zeros(frame, rows, 0, low)
        self._zeros(frame, rows, high, self.width)
        kinds = self._kinds()
        for (first, last), (begin, end) in kinds.items():
            if len(kinds) == 1:
                self._down(frame, place, rows, (low, high), (first, last))
                continue
            inside = (place.top >= const(begin, "int64")) & (place.top < const(end, "int64"))
            with frame.w.when(frame.w.let(inside)):
                self._down(frame, place, rows, (low, high), (first, last))
        self._across(frame, tile, rows, left)

    def _edges(self, frame: Frame, place: Place) -> tuple[Index, Index]:
        """The first column of a pass that lies in the input, and the first beyond."""
        before, w = self.spec.window.padding[1], frame.w
        end = self.spec.input[2] + before
        if self.cover.spans == 1:
            return min(before, self.width), min(end, self.width)
        start = w.let(place.left * self.form.m)
        zero, most = const(0, "int64"), const(self.width, "int64")
        low = w.let(tirx.Max(const(before, "int64") - start, zero))
        return low, w.let(tirx.Max(low, tirx.Min(const(end, "int64") - start, most)))

    def _kinds(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Which of the n input rows of a row of tiles exist -> the rows of tiles."""
        n, before = self.form.n, self.spec.window.padding[0]
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for top in range(self.cover.down):
            y = top * self.form.m - before
            key = (max(0, -y), max(0, min(n, self.spec.input[1] - y)))
            found[key] = (found.get(key, (top, top))[0], top + 1)
        return found

    def _columns(
        self, frame: Frame, low: Index, high: Index, body: Callable[[Index, int], None]
    ) -> None:
        """All channels of the columns [low, high), as elements from column 0 on."""
        c, lanes = self.spec.input[3], frame.isa.lanes
        if isinstance(low, int) and isinstance(high, int):
            along(frame.w, (high - low) * c, lanes, lambda i, size: body(low * c + i, size))
            return
        with frame.w.loop(low, high, "x") as x:
            at = frame.w.let(x * c)
            along(frame.w, c, lanes, lambda i, size: body(at + i, size))

    def _zeros(self, frame: Frame, rows: Index, low: Index, high: Index) -> None:
        def some(at: Index, size: int) -> None:
            for i in range(self.form.n):
                place = rows + i * self.width * self.spec.input[3] + at
                frame.scratch.store(place, const(0, "float32", size))

        self._columns(frame, low, high, some)

    def _down(
        self, frame: Frame, place: Place, rows: Index, columns: tuple[Index, Index],
        exist: tuple[int, int],
    ) -> None:  # fmt: skip
        _, h, w, c = self.spec.input
        n, before = self.form.n, self.spec.window.padding
        y = place.top * self.form.m - before[0]
        x = place.left * self.form.m - before[1]
        source = frame.w.let_index(((place.number * h + y) * w + x) * c)

        def some(at: Index, size: int) -> None:
            values = [
                frame.w.let(
                    frame.inputs["input"].load(source + (i * w * c) + at, "float32", size)
                    if exist[0] <= i < exist[1] else const(0, "float32", size)
                )
                for i in range(n)
            ]  # fmt: skip
            for i, value in enumerate(self.form.into(values, self._fma(frame, size))):
                frame.scratch.store(rows + i * self.width * c + at, value)

        self._columns(frame, *columns, some)

    def _across(self, frame: Frame, tile: Index, rows: Index, left: Index) -> None:
        c, n, tiles = self.spec.input[3], self.form.n, self.cover.tiles
        with frame.w.loop(0, n, "i") as i, frame.w.loop(0, self.cover.columns, "t") as t:
            source = frame.w.let(rows + i * (self.width * c) + t * (self.form.m * c))
            target = frame.w.let(left + (i * (n * tiles) + tile + t) * c)

            def some(at: Index, size: int) -> None:
                values = [
                    frame.w.let(frame.scratch.load(source + j * c + at, "float32", size))
                    for j in range(n)
                ]
                for j, value in enumerate(self.form.into(values, self._fma(frame, size))):
                    frame.scratch.store(target + j * tiles * c + at, value)

            along(frame.w, c, frame.isa.lanes, some)

    # ---- products ----

    def _multiply(self, frame: Frame, position: Index, left: Index, target: Index) -> None:
        """All tiles of one of the n * n places."""
        cut, tiles, w = self.cut, self.cover.tiles, frame.w
        c = self.spec.input[3]
        left = w.let_index(left + position * (tiles * c))
        target = w.let_index(target + position * (tiles * cut.padded))
        sums = Sums(frame, self.how, self.walk, cut, self.weights)

        def block(number: Index, vectors: int) -> None:
            at = w.let_index(self.weights.at(position, number))
            rows = rows_of(frame.isa, self.how, vectors, tiles)

            def some(first: Index, count: int) -> None:
                all_rows = Rows(first=w.let_index(left + first * c), stride=c, count=count)
                found = sums.sums(frame.scratch, all_rows, at, 0, vectors)
                place = w.let_index(target + first * cut.padded + number * cut.width)
                for m in range(count):
                    for v in range(vectors):
                        at_ = place + (m * cut.padded + v * cut.lanes)
                        frame.scratch.store(at_, found.get(m * vectors + v))

            along_tiles(frame, tiles, rows, some)

        whole = cut.blocks - (1 if cut.tail else 0)
        if whole:
            with w.loop(0, whole, "b") as b:
                block(b, cut.vectors)
        if cut.tail:
            block(cut.blocks - 1, cut.tail)

    # ---- out ----

    def _out(
        self, frame: Frame, programs: Programs, place: Place, tile: Index, sums: Index
    ) -> None:
        """One row of tiles; the last one, and the last tile of a row, may be partly outside."""
        c, m, w = self.cover, self.form.m, frame.w
        _, height, width, _ = self.spec.output
        lower, right = height - (c.down - 1) * m, width - (c.across - 1) * m

        def row(count: int) -> None:
            full = w.let(const(c.across - (right < m), "int64") - index(place.left))
            with w.loop(0, tirx.Min(full, const(c.columns, "int64")), "t") as t:
                self._tiles(frame, programs, place, tile, t, sums, (count, m))
            if right < m:
                with w.when(full < const(c.columns, "int64")):
                    self._tiles(frame, programs, place, tile, full, sums, (count, right))

        if lower == m:
            row(m)
            return
        last = const(c.down - 1, "int64")
        with w.when(place.top < last):
            row(m)
        with w.when(place.top >= last):
            row(lower)

    def _tiles(
        self, frame: Frame, programs: Programs, place: Place, tile: Index, t: Index,
        sums: Index, size: tuple[int, int],
    ) -> None:  # fmt: skip
        """One tile, of which ``size`` outputs lie in the image."""
        w, form, cut = frame.w, self.form, self.cut
        _, height, width, channels = self.spec.output
        y = w.let_index(place.top * form.m)
        x = w.let_index((place.left + t) * form.m)
        target = w.let_index(((place.number * height + y) * width + x) * channels)
        source = w.let_index(sums + (tile + t) * cut.padded)
        step = self.cover.tiles * cut.padded

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
                    point = (place.number, y + r, x + q, k)
                    done = programs.run(Point(coordinates=point, lanes=lanes), line[q])
                    store(frame.output, target + (r * width + q) * channels + k, done)

        along(w, channels, frame.isa.lanes, some)

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
