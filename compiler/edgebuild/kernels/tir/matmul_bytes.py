# SPDX-License-Identifier: Apache-2.0
"""Products of two inputs of 8 bits, by the core's products of weights.

Of (a - zero_a) * (b - zero_b) the products read a' = a + bias and b. With z = zero_a + bias a sum
is  sum a'b - z * sum b + depth * z * zero_b - zero_b * sum a'. What depends on the column is known
when the right side is packed, and is what sums start with; the last term, the row's, is known when
a tile's rows are prepared.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from tvm import tirx

from edgebuild.kernels.specs import Matmul
from edgebuild.kernels.tir.contraction import Rows, Tile, Walk
from edgebuild.kernels.tir.emit import Expr, Index, Memory, const
from edgebuild.kernels.tir.frame import Build, Frame, along, but_last, divided, unravel
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.matmul_tiles import Packed, all_blocks
from edgebuild.kernels.tir.pack_bytes import Columns, Packer, column_sums, row_chunk, row_sum
from edgebuild.kernels.tir.prepare import BYTES, changed, shares
from edgebuild.kernels.tir.products import Form, form
from edgebuild.kernels.tir.scalars import offset
from edgebuild.kernels.tir.tile_shape import rows_of, split


def suits(spec: Matmul, isa: Isa) -> bool:
    """Whether there is something to sum, by a form that is one of tiles."""
    return spec.macs > 0 and not form(isa, "int8").across


def matmul(spec: Matmul, kernel: Build) -> None:
    """All of it in one phase, or in two."""
    _Product(spec, kernel).build()


class _Left:
    """The left side, rewritten for a tile where the form wants that, and its rows' terms."""

    def __init__(self, spec: Matmul, kernel: Build, how: Form) -> None:
        self.spec, self.kernel, self.how = spec, kernel, how
        self.item, chunk = BYTES[how.source], row_chunk(how)
        self.summed = spec.right_zero != 0
        self.copied = (
            how.prepared or spec.left_strides[-1] != 1 or spec.k % how.end != 0
            or (self.summed and spec.k % chunk != 0)
        )  # fmt: skip
        self.stride = -(-spec.k // chunk) * chunk if self.copied else spec.left_strides[-2]
        self.run = -(-spec.k // how.group) * how.group if self.copied else spec.k
        self._place: Index = 0
        self._terms: Index = 0

    def reserve(self, frame: Frame, task: Index, rows: int) -> None:
        """Scratch of each task for that many rows."""
        kernel = self.kernel
        if self.copied:
            size = rows * self.stride
            at = kernel.scratch(frame.tasks * size * self.item) // self.item
            self._place = frame.w.let_index(task * size + at)
        if self.summed:
            self._terms = frame.w.let_index(
                task * rows + kernel.scratch(frame.tasks * rows * 4) // 4
            )

    def rows(self, frame: Frame, source: Index, count: int) -> tuple[Memory, Rows]:
        """``count`` rows from ``source`` on, where the tile reads them."""
        spec, w = self.spec, frame.w
        if not self.copied:
            return frame.inputs["left"], Rows(first=source, stride=self.stride, count=count)
        lanes = max(1, frame.isa.vector_bits // (8 * self.item))
        down, step = spec.left_strides[-2:]
        with w.loop(0, count, "r") as r:
            line = w.let(source + r * down)
            place = w.let(self._place + r * self.stride)

            def some(i: Index, n: int) -> None:
                value = w.let(frame.inputs["left"].load(line + i * step, "int8", n, step))
                frame.scratch.store(place + i, changed(self.how, value, n))

            def fill(i: Index, n: int) -> None:
                frame.scratch.store(place + spec.k + i, const(0, self.how.source, n))

            along(w, spec.k, lanes, some)
            along(w, self.stride - spec.k, lanes, fill)
        return frame.scratch, Rows(first=self._place, stride=self.stride, count=count)

    def terms(self, frame: Frame, memory: Memory, rows: Rows) -> Callable[[int], Expr] | None:
        """What the sums of each row lack yet."""
        if not self.summed:
            return None
        w, count = frame.w, self.stride if self.copied else self.spec.k
        with w.loop(0, rows.count, "r") as r:
            at = w.let(rows.first + r * rows.stride)
            total = row_sum(frame, self.how, memory, at, count)
            total = w.let(total * const(-self.spec.right_zero, "int32"))
            frame.scratch.store(self._terms + r, total)
        return lambda m: frame.scratch.load(self._terms + m, "int32")


class _Product:
    """One specification, its form and where in scratch its sides lie."""

    def __init__(self, spec: Matmul, kernel: Build) -> None:
        self.spec, self.kernel = spec, kernel
        self.batches = prod(spec.batch)
        self.how = form(kernel.isa, "int8", depth=spec.k, rows=spec.m, run=spec.k, columns=spec.m)
        self.cut = split(kernel.isa, self.how, spec.n, spec.m)
        self.rows = rows_of(kernel.isa, self.how, self.cut.vectors, spec.m)
        self.tiles = -(-spec.m // self.rows)
        self.steps = -(-spec.k // self.how.group)
        self.zero = spec.left_zero + self.how.bias
        self.kind = "float64" if self.how.real else "int32"
        self.left = _Left(spec, kernel, self.how)

    def build(self) -> None:
        """All batches packed first, or each by the core that needs it: one takes less memory."""
        whole = self._bytes(self.batches)
        if self.kernel.isa.cores > 1 and whole <= self.kernel.free_bytes:
            right = self._reserve(self.batches)
            frame = self.kernel.frame(self.batches * self.cut.total)
            with frame.each_task() as task:
                batch, v = divided(frame, task, self.cut.total)
                self._pack(frame, right, batch, batch, v)
            frame.finish()
            with shares(self.kernel, self.batches * self.tiles) as (frame, task, number):
                batch, part = divided(frame, number, self.tiles)
                tile = self._tile(frame, right)
                self._rows_of(frame, tile, right, task, batch, batch, part)
        else:
            with shares(self.kernel, self.batches) as (frame, task, batch):
                right = self._reserve(frame.tasks)
                with frame.w.loop(0, self.cut.total, "v") as v:
                    self._pack(frame, right, task, batch, v)
                tile = self._tile(frame, right)
                with frame.w.loop(0, self.tiles, "m") as part:
                    self._rows_of(frame, tile, right, task, task, batch, part)

    def _bytes(self, groups: int) -> int:
        return groups * self.cut.padded * (self.steps * self.how.group + BYTES[self.kind])

    def _reserve(self, groups: int) -> Packed:
        depth, padded = self.steps * self.how.group, self.cut.padded
        right = Packed(
            cut=self.cut, depth=depth, dtype="int8", kind=self.kind,
            at_element=self.kernel.scratch(groups * padded * depth),
        )  # fmt: skip
        if self.zero:
            item = BYTES[self.kind]
            right.start_at = self.kernel.scratch(groups * padded * item) // item
        return right

    def _pack(self, frame: Frame, right: Packed, group: Index, batch: Expr, v: Expr) -> None:
        """The vector ``v`` of columns of a batch, and what their sums start with."""
        spec, w, cut, how = self.spec, frame.w, self.cut, self.how
        where = unravel(w, batch, spec.batch)
        down, across = spec.right_strides[-2:]
        columns = Columns(depth=spec.k, count=spec.n, down=down, across=across)
        packer = Packer(frame, how, frame.inputs["right"], columns)
        source = w.let_index(offset(where, spec.right_strides[:-2]))
        source = w.let_index(source + v * (cut.lanes * across))
        block, inner = divided(frame, v, cut.vectors)
        # the last block may be narrower than the others
        size = cut.lanes * how.group
        apart: Index = cut.vectors * size
        if cut.total % cut.vectors:
            rest = w.let(const(cut.total, "int64") - block * cut.vectors)
            apart = w.let(tirx.Min(rest, const(cut.vectors, "int64")) * size)
        place = w.let_index(right.at(group, block) + inner * size)
        valid = spec.n - (cut.total - 1) * cut.lanes
        but_last(w, v, cut.total, lambda n: packer.vector(source, place, apart, n),
                 cut.lanes, valid)  # fmt: skip
        if right.start_at is not None:
            sums = column_sums(frame, how, self.kind, place, apart, self.steps)
            first = const(spec.k * self.zero * spec.right_zero, self.kind, cut.lanes)
            start = first - sums * const(self.zero, self.kind, cut.lanes)
            at = w.let_index(group * cut.padded + v * cut.lanes + right.start_at)
            frame.scratch.store(at, w.let(start))

    def _tile(self, frame: Frame, right: Packed) -> Tile:
        spec = self.spec
        programs = frame.programs(spec.epilogue, (*spec.batch, spec.m, spec.n), None)
        walk = Walk(outer=((1, 0),), run=self.left.run, group=self.how.group)
        right.memory = frame.scratch
        return Tile(frame, self.how, walk, self.cut, right, programs, 0)

    def _rows_of(
        self, frame: Frame, tile: Tile, right: Packed, task: Index, group: Index, batch: Index,
        part: Expr,
    ) -> None:  # fmt: skip
        """The tile ``part`` of a batch's rows times all columns."""
        spec, w, rows = self.spec, frame.w, self.rows
        where = unravel(w, batch, spec.batch)
        source = w.let_index(offset(where, spec.left_strides[:-2]))
        place = w.let_index(offset(where, spec.output_strides[:-2]))
        first = w.let_index(part * rows)
        source = w.let_index(source + first * spec.left_strides[-2])
        place = w.let_index(place + first * spec.output_strides[-2])
        left = self.left
        left.reserve(frame, task, rows)

        def some(size: int) -> None:
            memory, bases = left.rows(frame, source, size)
            tile.row_term = left.terms(frame, memory, bases)
            points = [(*where, w.let_index(first + m)) for m in range(size)]
            stores = Rows(first=place, stride=spec.output_strides[-2], count=size)
            all_blocks(w, tile, self.cut, memory, bases, points, stores, group)

        but_last(w, part, self.tiles, some, rows, spec.m - (self.tiles - 1) * rows)
