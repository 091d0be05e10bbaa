# SPDX-License-Identifier: Apache-2.0
"""A table of 256 bytes, read by many lanes at once where one instruction permutes whole registers.

AVX-512 VBMI picks bytes from two registers of 64 by the low 7 bits of an index: two such picks are
a table's halves, and the index's sign says which half counts.
"""

from __future__ import annotations

from tvm import tirx

from edgebuild.kernels.tir.emit import Expr, Memory, Writer, const, llvm, shuffle
from edgebuild.kernels.tir.isa import Isa

_WIDTH = 64  # bytes of a register


def fits(isa: Isa, lanes: int) -> bool:
    """Whether this beats a load for each lane."""
    return isa.arch == "x86_64" and isa.byte_permute and 4 <= lanes <= _WIDTH


def picked(w: Writer, memory: Memory, base: int, x: Expr, lanes: int) -> Expr:
    """table[x + 128] for each int8 lane of ``x``; the table begins at byte ``base``."""
    wide = x if lanes == _WIDTH else shuffle([x] * -(-_WIDTH // lanes), range(_WIDTH))
    wide = w.let(wide)
    quarters = [w.let(memory.load(base + _WIDTH * n, "int8", _WIDTH)) for n in range(4)]
    name = "llvm.x86.avx512.vpermi2var.qi.512"
    below, above = (
        w.let(llvm("int8", _WIDTH, name, quarters[n], wide, quarters[n + 1])) for n in (0, 2)
    )
    found = w.let(tirx.Select(tirx.LT(wide, const(0, "int8", _WIDTH)), below, above))
    return found if lanes == _WIDTH else w.let(shuffle([found], range(lanes)))
