# SPDX-License-Identifier: Apache-2.0
"""Products of two inputs, batched, any strides.

The right side is packed into scratch first, as constant weights are at compile time; every row of
the left side then gains from it. Transposing while packing is done in registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tvm import tirx

from edgebuild.kernels.specs import Matmul
from edgebuild.kernels.tir import matmul_plain
from edgebuild.kernels.tir.contraction import Rows, Tile, Walk
from edgebuild.kernels.tir.emit import Expr, Index, Memory, const, shuffle
from edgebuild.kernels.tir.frame import Build, Frame, unravel
from edgebuild.kernels.tir.products import Form, form
from edgebuild.kernels.tir.scalars import offset
from edgebuild.kernels.tir.tile_shape import Split, rows_of, split

#: With fewer rows than this on the left, packing the right side costs more than it gives.
ENOUGH_ROWS = 4


def matmul(spec: Matmul, kernel: Build) -> None:
    packs = (
        spec.dtype == "float32" and spec.m >= ENOUGH_ROWS
        and spec.left_strides[-1] == 1 and spec.output_strides[-1] == 1
    )  # fmt: skip
    if packs:
        _packed(spec, kernel)
    else:
        matmul_plain.matmul(spec, kernel)


@dataclass(slots=True)
class Packed:
    """The right side in scratch: per batch, blocks of [k][vector][lane]."""

    cut: Split
    k: int
    at_element: int
    memory: Memory | None = None
    dtype: str = "float32"
    kind: str = "float32"
    start_at: int | None = None

    def at(self, group: Index, block: Index) -> Index:
        per_group = self.cut.padded * self.k
        size = self.cut.width * self.k
        return group * per_group + block * size + self.at_element

    def position(self, vectors: int) -> int:
        return self.k * vectors * self.cut.lanes


def _packed(spec: Matmul, kernel: Build) -> None:
    how = form(kernel.isa, "float32")
    batches = prod(spec.batch)
    cut = split(kernel.isa, how, spec.n, spec.m)
    rows = rows_of(kernel.isa, how, cut.vectors, spec.m)
    at = kernel.scratch(4 * batches * cut.padded * spec.k) // 4
    right = Packed(cut=cut, k=spec.k, at_element=at)
    _pack(spec, kernel, cut, right)
    _multiply(spec, kernel, how, cut, right, rows)


def _pack(spec: Matmul, kernel: Build, cut: Split, right: Packed) -> None:
    """Tasks are vectors of columns of one batch."""
    batches = prod(spec.batch)
    frame = kernel.frame(batches * cut.total)
    w, lanes = frame.w, cut.lanes
    with frame.each_task() as task:
        total = const(cut.total, "int64")
        batch, v = w.let(tirx.Div(task, total)), w.let(tirx.Mod(task, total))
        source = w.let_index(offset(unravel(w, batch, spec.batch), spec.right_strides[:-2]))
        source = w.let(source + v * (lanes * spec.right_strides[-1]))
        block = w.let(tirx.Div(v, const(cut.vectors, "int64")))
        inner = w.let(v - block * cut.vectors)
        # the last block may be narrower than the others
        left = w.let(const(cut.total, "int64") - block * cut.vectors)
        vectors = w.let(tirx.Min(left, const(cut.vectors, "int64")))
        place = w.let(right.at(batch, block) + inner * lanes)
        step = w.let(vectors * lanes)
        valid = spec.n - (cut.total - 1) * lanes

        def columns(count: int) -> None:
            _columns(spec, frame, source, place, step, lanes, count)

        if valid == lanes:
            columns(lanes)
        else:
            last = const(cut.total - 1, "int64")
            with w.when(v < last):
                columns(lanes)
            with w.when(v >= last):
                columns(valid)
    frame.finish()


def _columns(
    spec: Matmul, frame: Frame, source: Expr, place: Expr, step: Expr, lanes: int, count: int
) -> None:
    """``count`` columns of all k as vectors of ``lanes``. Missing lanes repeat the last column."""
    w, memory = frame.w, frame.inputs["right"]
    down, across = spec.right_strides[-2:]
    done = 0
    if down == 1 and across != 1 and lanes > 1:
        done = spec.k // lanes * lanes
        if done:
            with w.loop(0, done // lanes, "t") as t:
                first = w.let(t * lanes)
                block = [
                    w.let(memory.load(
                        source + first + min(j, count - 1) * across, "float32", lanes
                    ))
                    for j in range(lanes)
                ]  # fmt: skip
                for i, vector in enumerate(transposed(frame, block)):
                    frame.scratch.store(place + (first + i) * step, vector)
    with w.loop(done, spec.k, "k") as k:
        at = w.let(source + k * down)
        if across == 1 and count == lanes:
            frame.scratch.store(place + k * step, w.let(memory.load(at, "float32", lanes)))
        else:
            for j in range(lanes):
                value = w.let(memory.load(at + min(j, count - 1) * across, "float32"))
                frame.scratch.store(place + k * step + j, value)


def transposed(frame: Frame, rows: list[Expr]) -> list[Expr]:
    """A square of vectors transposed: log2(n) rounds of weaving row i with row i + n/2."""
    n = len(rows)
    low = [lane + side * n for lane in range(n // 2) for side in (0, 1)]
    high = [lane + n // 2 for lane in low]
    rounds = n.bit_length() - 1
    for _ in range(rounds):
        woven = []
        for i in range(n // 2):
            pair = [rows[i], rows[i + n // 2]]
            woven += [frame.w.let(shuffle(pair, low)), frame.w.let(shuffle(pair, high))]
        rows = woven
    return rows


def _multiply(spec: Matmul, kernel: Build, how: Form, cut: Split, right: Packed, rows: int) -> None:
    """Tasks are batches times tiles of rows; the blocks of columns turn inside."""
    tiles = -(-spec.m // rows)
    frame = kernel.frame(prod(spec.batch) * tiles)
    w = frame.w
    right.memory = frame.scratch
    walk = Walk(outer=((1, 0),), run=spec.k, group=1)
    strides = None
    programs = frame.programs(spec.epilogue, (*spec.batch, spec.m, spec.n), strides)
    tile = Tile(frame, how, walk, cut, right, programs, 0)
    with frame.each_task() as task:
        count = const(tiles, "int64")
        batch, number = w.let(tirx.Div(task, count)), w.let(tirx.Mod(task, count))
        where = unravel(w, batch, spec.batch)
        left = w.let_index(offset(where, spec.left_strides[:-2]))
        place = w.let_index(offset(where, spec.output_strides[:-2]))
        first = w.let(number * rows)

        def blocks(size: int) -> None:
            lines = [w.let(first + m) for m in range(size)]
            down, across = spec.left_strides[-2], spec.output_strides[-2]
            bases = Rows(first=w.let(left + first * down), stride=down, count=size)
            stores = Rows(first=w.let(place + first * across), stride=across, count=size)
            points = [(*where, i) for i in lines]
            whole = cut.blocks - (1 if cut.tail else 0)
            if whole:
                with w.loop(0, whole, "b") as b:
                    tile.emit(frame.inputs["left"], bases, points, stores, batch, b,
                              tail=False, offset=0)  # fmt: skip
            if cut.tail:
                tile.emit(frame.inputs["left"], bases, points, stores, batch,
                          const(cut.blocks - 1, "int64"), tail=True, offset=0)  # fmt: skip

        rest = spec.m % rows
        if not rest:
            blocks(rows)
        else:
            with w.when(number < const(tiles - 1, "int64")):
                blocks(rows)
            with w.when(number >= const(tiles - 1, "int64")):
                blocks(rest)
    frame.finish()
