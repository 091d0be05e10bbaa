# SPDX-License-Identifier: Apache-2.0
"""How large a register tile is: a rule of registers, of the form of products and of shapes.

Decision 0207 has what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgebuild.kernels.tir.frame import even
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.products import Form

#: Of the 14 registers that Thumb has, those that a tile of words may fill.
WORDS = 10

#: Registers that SVE's products by element can name, less one for what comes next.
NAMED = 7

#: Vectors of a block at most; more would make its code longer than what they save.
WIDEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How ``channels`` outputs become blocks of ``vectors`` vectors, the last one smaller."""

    channels: int
    lanes: int
    vectors: int

    @property
    def total(self) -> int:
        return -(-self.channels // self.lanes)

    @property
    def blocks(self) -> int:
        return -(-self.total // self.vectors)

    @property
    def tail(self) -> int:
        """Vectors of the last block if it is smaller or not whole, else 0."""
        whole = self.channels % (self.lanes * self.vectors) == 0
        return 0 if whole else self.total - (self.blocks - 1) * self.vectors

    @property
    def padded(self) -> int:
        return self.total * self.lanes

    @property
    def width(self) -> int:
        return self.vectors * self.lanes


def split(isa: Isa, how: Form, channels: int, rows: int) -> Split:
    """Vectors of a block: up to 4 (more for few rows), the choice that wastes least."""
    total = -(-channels // how.lanes)
    cost = _cost(isa, how)
    limit = 4 if rows > 2 else max(1, min(8, registers(isa, how) // cost // (rows + 2)))
    if how.rows > 1:
        return Split(channels=channels, lanes=how.lanes, vectors=_wide(isa, how, total, rows))
    # a wide accumulator or a pair takes the room of two
    limit = max(1, limit // 2) if cost > 1 or how.paired else limit
    limit = 1 if (how.halves and rows > 2) or cost > 2 else limit
    if total <= limit:
        return Split(channels=channels, lanes=how.lanes, vectors=total)
    fused = isa.fma or how.source != "float32"  # measured: not where SSE copies each factor
    if rows > 2 and isa.vector_bits and isa.registers <= 16 and fused:
        # six rows of two vectors load 8 operands for 12 products, two of four load 6 for 8
        return Split(channels=channels, lanes=how.lanes, vectors=2)
    best = min(range(limit, max(1, limit // 2) - 1, -1), key=lambda v: -total % v)
    return Split(channels=channels, lanes=how.lanes, vectors=best)


def registers(isa: Isa, how: Form) -> int:
    """Registers that a tile may fill. Integers without vectors share theirs with addresses."""
    if how.halves:
        return WORDS
    if how.summed:
        # two operands all over, products on their way, and what LLVM loads ahead
        return isa.registers - (12 if isa.in_order else 8)
    return isa.registers // 2 if how.paired and not how.real else isa.registers


def _cost(isa: Isa, how: Form) -> int:
    """Registers of one accumulator."""
    return 1 if how.paired else max(1, how.lanes // isa.lanes)


def _spare(isa: Isa, how: Form) -> int:
    """Registers for an operand of the left side, and for what else there is."""
    if how.block > 1:
        return 1
    if how.source == "int8" and _cost(isa, how) > 2:
        return 7  # weights as they are and twice as wide, and what the epilogue keeps
    # integers: a product that is added afterwards, or a number of the epilogue
    return 3 if how.group > 1 and isa.vector_bits else 2


def rows_of(isa: Isa, how: Form, vectors: int, rows: int) -> int:
    """Rows of a tile: what the registers leave, evened out over the positions there are."""
    if how.rows > 1:
        return matrix_rows(isa, how, vectors, rows)
    cost = _cost(isa, how)
    held = registers(isa, how) - vectors * cost - _spare(isa, how)
    each = vectors * cost + (1 if how.block > 1 else 0)
    return even(rows, min(held // each, NAMED) if how.scalable else held // each)


def matrix_rows(isa: Isa, how: Form, vectors: int, rows: int) -> int:
    """Rows of a tile of matrices: whole operands of rows, but for the last tile.

    Beside the sums there are two steps of each operand of the left side, and two of the right.
    """
    most = (isa.registers - how.spare) // (vectors + 1) // how.rows * how.rows
    return min(most, -(-even(rows, most) // how.rows) * how.rows)


def _wide(isa: Isa, how: Form, total: int, rows: int) -> int:
    """Vectors of a block of matrices: the number for which a step loads least.

    A tile loads its rows for every block and its weights for every tile; and each tile has a loop.
    """

    def loads(vectors: int) -> int:
        tiles = -(-rows // matrix_rows(isa, how, vectors, rows))
        blocks = -(-total // vectors)
        return rows * blocks + total * tiles + 2 * tiles * blocks

    return min(range(min(total, WIDEST), 0, -1), key=loads)
