# SPDX-License-Identifier: Apache-2.0
"""Products of two inputs, batched, any strides.

The right side is packed into scratch first, as constant weights are at compile time; every row of
the left side then gains from it. Transposing while packing is done in registers.
"""

from __future__ import annotations

from math import prod

from tvm import tirx

from edgebuild.kernels.specs import Matmul
from edgebuild.kernels.tir import matmul_bytes, matmul_plain
from edgebuild.kernels.tir.contraction import Rows, Tile, Walk
from edgebuild.kernels.tir.emit import Expr, const
from edgebuild.kernels.tir.frame import Build, Frame, but_last, unravel
from edgebuild.kernels.tir.matmul_tiles import Packed, all_blocks, transposed
from edgebuild.kernels.tir.products import Form, form
from edgebuild.kernels.tir.scalars import offset
from edgebuild.kernels.tir.tile_shape import Split, rows_of, split

#: With fewer rows than this on the left, packing the right side costs more than it gives.
ENOUGH_ROWS = 4


def matmul(spec: Matmul, kernel: Build) -> None:
    packs = spec.m >= ENOUGH_ROWS and spec.output_strides[-1] == 1
    if packs and spec.dtype == "int8" and matmul_bytes.suits(spec, kernel.isa):
        matmul_bytes.matmul(spec, kernel)
    elif packs and spec.dtype == "float32" and spec.left_strides[-1] == 1:
        _packed(spec, kernel)
    else:
        matmul_plain.matmul(spec, kernel)


def _packed(spec: Matmul, kernel: Build) -> None:
    how = form(kernel.isa, "float32")
    batches = prod(spec.batch)
    cut = split(kernel.isa, how, spec.n, spec.m)
    rows = rows_of(kernel.isa, how, cut.vectors, spec.m)
    at = kernel.scratch(4 * batches * cut.padded * spec.k) // 4
    right = Packed(cut=cut, depth=spec.k, at_element=at)
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

        but_last(w, v, cut.total, columns, lanes, valid)
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
                for i, vector in enumerate(transposed(w, block)):
                    frame.scratch.store(place + (first + i) * step, vector)
    with w.loop(done, spec.k, "k") as k:
        at = w.let(source + k * down)
        if across == 1 and count == lanes:
            frame.scratch.store(place + k * step, w.let(memory.load(at, "float32", lanes)))
        else:
            for j in range(lanes):
                value = w.let(memory.load(at + min(j, count - 1) * across, "float32"))
                frame.scratch.store(place + k * step + j, value)


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
            all_blocks(w, tile, cut, frame.inputs["left"], bases, points, stores, batch)

        but_last(w, number, tiles, blocks, rows, spec.m - (tiles - 1) * rows)
    frame.finish()
