# SPDX-License-Identifier: Apache-2.0
"""Products of small matrices: 2 rows x 8 elements times 8 x 2 weights, in one instruction.

An operand of the left side holds 8 elements of two rows, an accumulator the sums
[row 0 out 0, row 0 out 1, row 1 out 0, row 1 out 1]. Four outputs of two rows are therefore two
accumulators, which are put in order when the sums are finished. Weights need no order of their
own: in [step][lane][group] the 8 x 2 weights of an instruction lie side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgebuild.kernels.tir.emit import Expr, Index, Memory, bits, cast, llvm, shuffle
from edgebuild.kernels.tir.products import Steps


class Matrices(Steps):
    """Emits the steps of a form that multiplies matrices."""

    def left(self, memory: Memory, rows: Sequence[Index], count: int) -> list[Expr]:
        """Of one row or two; the same row twice where a tile ends with an odd one."""
        words = [self._words(memory, at, count) for at in rows]
        both, steps = [*words[0], *words[-1]], -(-count // 8)
        return [
            self._w.let(bits(shuffle(both, [step, steps + step]), "int8", 16), "a")
            for step in range(steps)
        ]

    def _words(self, memory: Memory, at: Index, count: int) -> list[Expr]:
        """Elements as 64-bit words; the last four come with zeros, and nothing behind is read."""
        whole, found = count // 8, []
        if whole:
            found = [self._w.let(bits(memory.load(at, "int8", 8 * whole), "int64", whole), "a")]
        if count % 8:
            word = bits(memory.load(at + 8 * whole, "int8", 4), "uint32", 1)
            found.append(self._w.let(cast(word, "int64"), "a"))
        return found

    def right(self, memory: Memory, at: Index, dtype: str) -> Expr:
        """Eight weights of each of two outputs."""
        return self._w.let(memory.load(at, dtype, 16), "b")

    def add(self, accumulator: Expr, a: Expr, b: Expr) -> Expr:
        return llvm("int32", 4, "llvm.aarch64.neon.smmla", accumulator, a, b)

    def start(self, vector: Callable[[], Expr]) -> list[Expr]:
        """Both rows start with the same."""
        value = self._w.let(vector())
        return [shuffle([value], [*pair, *pair]) for pair in ((0, 1), (2, 3))]

    def result(self, accumulators: Sequence[Expr], row: int, start: Expr) -> Expr:
        lanes = [2 * row, 2 * row + 1, 4 + 2 * row, 5 + 2 * row]
        return self._w.let(shuffle(list(accumulators), lanes))
