# SPDX-License-Identifier: Apache-2.0
"""Columns of 8-bit numbers, packed at run time as the forms of products read them.

``group`` neighbours of a column are a word. Where columns lie in memory as such, squares of words
are transposed; where rows do, ``group`` of them are woven.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgebuild.kernels.tir.contraction import steps_of
from edgebuild.kernels.tir.emit import Expr, Index, Memory, bits, cast, const, shuffle
from edgebuild.kernels.tir.frame import Frame, pieces
from edgebuild.kernels.tir.matmul_tiles import transposed
from edgebuild.kernels.tir.normalise import across
from edgebuild.kernels.tir.products import Form, Steps

_WORDS = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}
#: Independent sums, which hide the latency of a multiply-add.
CHAINS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """``depth`` x ``count`` numbers in memory: strides between rows and between columns."""

    depth: int
    count: int
    down: int
    across: int


class Packer:
    """Emits the packing of one vector of columns at a time."""

    def __init__(self, frame: Frame, how: Form, source: Memory, columns: Columns) -> None:
        self._frame, self._w, self._form = frame, frame.w, how
        self._source, self._columns = source, columns
        self._steps = -(-columns.depth // how.group)

    def vector(self, source: Index, place: Index, apart: Index, valid: int) -> None:
        """The ``valid`` columns from ``source`` on; steps are ``apart`` bytes from each other.

        What fills up a vector repeats the last column, what fills up a step is zero.
        """
        c, f = self._columns, self._form
        vectors = f.lanes > 1 and self._frame.isa.vector_bits > 0
        done = 0
        if vectors and c.down == 1 and c.across != 1:
            done = self._squares(source, place, apart, valid)
        elif vectors and c.across == 1:
            done = c.depth // f.group
            with self._w.loop(0, done, "s") as s:
                self._woven(source, place, apart, s, f.group, valid)
            if done < self._steps:
                self._woven(source, place, apart, done, c.depth % f.group, valid)
            done = self._steps
        whole = c.depth // f.group
        if done < whole:
            with self._w.loop(done, whole, "s") as s:
                self._single(source, place, apart, s, f.group, valid)
        if done <= whole < self._steps:
            self._single(source, place, apart, whole, c.depth % f.group, valid)

    def _squares(self, source: Index, place: Index, apart: Index, valid: int) -> int:
        """Columns in memory: words of several steps and columns at once; the steps done."""
        f, whole = self._form, self._columns.depth // self._form.group
        squares = whole // f.lanes
        if squares:
            with self._w.loop(0, squares, "t") as t:
                self._square(source, place, apart, self._w.let(t * f.lanes), f.lanes, valid)
        done = squares * f.lanes
        for size in pieces(whole - done, f.lanes):
            self._square(source, place, apart, done, size, valid)
            done += size
        return done

    def _square(
        self, source: Index, place: Index, apart: Index, first: Index, size: int, valid: int
    ) -> None:
        f, w, across = self._form, self._w, self._columns.across
        for start in range(0, f.lanes, size):
            rows = []
            for lane in range(start, start + size):
                at = source + min(lane, valid - 1) * across + first * f.group
                loaded = self._source.load(at, "int8", size * f.group)
                rows.append(w.let(bits(loaded, _WORDS[f.group], size)))
            for i, words in enumerate(transposed(w, rows)):
                at = place + (first + i) * apart + start * f.group
                self._frame.scratch.store(at, bits(words, "int8", size * f.group))

    def _woven(
        self, source: Index, place: Index, apart: Index, step: Index, there: int, valid: int
    ) -> None:
        """Rows in memory: ``there`` of a step's are left."""
        f, w = self._form, self._w
        zero = const(0, "int8", f.lanes)
        rows = [zero] * f.group
        for g in range(there):
            at = w.let_index(source + (step * f.group + g) * self._columns.down)
            rows[g] = w.let(self._row(at, valid))
        self._frame.scratch.store(place + step * apart, self._weave(rows))

    def _row(self, at: Index, valid: int) -> Expr:
        lanes = self._form.lanes
        if valid == lanes:
            return self._source.load(at, "int8", lanes)
        if self._columns.count >= lanes:
            # the columns before are there as well
            loaded = self._source.load(at - (lanes - valid), "int8", lanes)
            order = [min(lanes - valid + lane, lanes - 1) for lane in range(lanes)]
            return shuffle([self._w.let(loaded)], order)
        found, first = list[Expr](), 0
        for size in pieces(valid, lanes):
            loaded = self._w.let(self._source.load(at + first, "int8", size))
            found += [shuffle([loaded], [i]) for i in range(size)] if size > 1 else [loaded]
            first += size
        found += found[-1:] * (lanes - valid)
        return shuffle(found, list(range(lanes)))

    def _weave(self, rows: list[Expr]) -> Expr:
        """Element g of lane l at l * group + g."""
        if len(rows) == 1:
            return rows[0]
        even, odd = self._weave(rows[0::2]), self._weave(rows[1::2])
        count = self._form.lanes * len(rows) // 2
        order = [i + side * count for i in range(count) for side in (0, 1)]
        return self._w.let(shuffle([even, odd], order))

    def _single(
        self, source: Index, place: Index, apart: Index, step: Index, there: int, valid: int
    ) -> None:
        """Any strides, element by element."""
        f, w, c = self._form, self._w, self._columns
        for lane in range(f.lanes):
            for g in range(f.group):
                value = const(0, "int8")
                if g < there:
                    at = source + (step * f.group + g) * c.down + min(lane, valid - 1) * c.across
                    value = w.let(self._source.load(at, "int8"))
                order = g * f.lanes + lane if f.halves else lane * f.group + g
                self._frame.scratch.store(place + step * apart + order, value)


def column_sums(frame: Frame, how: Form, kind: str, place: Index, apart: Index, count: int) -> Expr:
    """The sums of a packed vector's columns over ``count`` steps, by the form's own products."""
    w, steps = frame.w, steps_of(how)(frame.w, frame.isa, how)
    dtype, lanes = steps.accumulator
    chains = min(CHAINS, count)
    parts = how.rows
    sums = w.registers(dtype, lanes, parts * chains, "sum")
    for i in range(parts * chains):
        sums.set(i, steps.zero())
    one = ones(how, dtype)

    def some(first: Index, number: int) -> None:
        for chain in range(number):
            at = w.let_index(place + (first + chain) * apart)
            for n in range(parts):
                b = steps.right(frame.scratch, at + n * (how.lanes * how.group // parts), "int8")
                i = chain * parts + n
                sums.set(i, steps.add(sums.get(i), one, b))

    with w.loop(0, count // chains, "s") as s:
        some(w.let(s * chains), chains)
    some(count // chains * chains, count % chains)
    for i in range(parts, parts * chains):
        sums.set(i % parts, sums.get(i % parts) + sums.get(i))
    found = [sums.get(i) for i in range(parts)]
    return steps.result(found, 0, const(0, kind, how.lanes))


def ones(how: Form, accumulator: str) -> Expr:
    """A left operand of ones."""
    if how.halves:
        return const(0x00010001, "int32")
    if how.paired:
        return const(1, accumulator)
    return const(1, how.source, how.lanes * how.group // how.rows)


def row_chunk(how: Form) -> int:
    """Elements of a row that ``row_sum`` takes at a time."""
    if how.halves:
        return 2
    if how.paired:
        return 1
    return how.lanes * (4 if how.rows > 1 else how.group)


def row_sum(frame: Frame, how: Form, left: Memory, at: Index, count: int) -> Expr:
    """The int32 sum of ``count`` elements, whole chunks, as the form reads them."""
    w, chunk = frame.w, row_chunk(how)
    lanes = 1 if how.halves or how.paired else how.lanes
    # of matrices, the dot product that such cores have too
    single = Form(group=4, lanes=how.lanes, source="int8") if how.rows > 1 else how
    steps = Steps(w, frame.isa, single)
    total = w.registers("int32", lanes, 1, "sum")
    total.set(0, const(0, "int32", lanes))
    with w.loop(0, count // chunk, "c") as c:
        loaded = w.let(left.load(at + c * chunk, how.source, chunk))
        if how.halves:
            low, high = (cast(shuffle([loaded], [i]), "int32") for i in (0, 1))
            total.set(0, total.get(0) + w.let(low + high))
        elif how.paired or how.group == 1:
            total.set(0, total.get(0) + cast(loaded, "int32"))
        else:
            total.set(0, steps.add(total.get(0), loaded, const(1, how.source, chunk)))
    return across(w, w.let(total.get(0)), lanes, lambda a, b: a + b)
