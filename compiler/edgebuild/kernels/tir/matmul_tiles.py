# SPDX-License-Identifier: Apache-2.0
"""What products of two inputs share, whatever their elements: a packed right side, its tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgebuild.kernels.tir.contraction import Rows, Tile
from edgebuild.kernels.tir.emit import Expr, Index, Memory, Writer, const, shuffle
from edgebuild.kernels.tir.tile_shape import Split


@dataclass(slots=True, kw_only=True)
class Packed:
    """The right side in scratch: per group, blocks of [step][vector][lane][element]."""

    cut: Split
    depth: int  # elements of a column, whole steps
    at_element: int
    memory: Memory | None = None
    dtype: str = "float32"
    kind: str = "float32"
    start_at: int | None = None

    def at(self, group: Index, block: Index) -> Index:
        per_group = self.cut.padded * self.depth
        size = self.cut.width * self.depth
        return group * per_group + block * size + self.at_element

    def position(self, vectors: int) -> int:
        return self.depth * vectors * self.cut.lanes


def all_blocks(
    w: Writer, tile: Tile, cut: Split, left: Memory, bases: Rows,
    points: Sequence[tuple[Index, ...]], stores: Rows, group: Index,
) -> None:  # fmt: skip
    """The same rows times every block of columns of a group."""
    whole = cut.blocks - (1 if cut.tail else 0)
    if whole:
        with w.loop(0, whole, "b") as b:
            tile.emit(left, bases, points, stores, group, b, tail=False, offset=0)
    if cut.tail:
        last = const(cut.blocks - 1, "int64")
        tile.emit(left, bases, points, stores, group, last, tail=True, offset=0)


def transposed(w: Writer, rows: list[Expr]) -> list[Expr]:
    """A square of vectors transposed: log2(n) rounds of weaving row i with row i + n/2."""
    n = len(rows)
    low = [lane + side * n for lane in range(n // 2) for side in (0, 1)]
    high = [lane + n // 2 for lane in low]
    rounds = n.bit_length() - 1
    for _ in range(rounds):
        woven = []
        for i in range(n // 2):
            pair = [rows[i], rows[i + n // 2]]
            woven += [w.let(shuffle(pair, low)), w.let(shuffle(pair, high))]
        rows = woven
    return rows
