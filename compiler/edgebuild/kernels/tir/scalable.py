# SPDX-License-Identifier: Apache-2.0
"""Products of float32 in SVE registers of a known length (decision 0208).

Four elements of a row stand in every 128 bits of a register, and a product names one of them, as
NEON's do: one load for four steps. LLVM has this instruction for vectors of unknown length alone,
so the known ones are put into such vectors and taken out again, which costs no instruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx

from edgebuild.kernels.tir.emit import Expr, Index, Memory, const, llvm, shuffle
from edgebuild.kernels.tir.products import Steps

_TYPE = "float32xvscalex4"


class Scalable(Steps):
    """Emits float steps; a left operand is a vector and the lane of its step."""

    def left(self, memory: Memory, rows: Sequence[Index], count: int) -> list[Any]:
        if count < self._form.block:
            return super().left(memory, rows, count)
        quarter, lanes = self._w.let(memory.load(rows[0], "float32", 4)), self._form.lanes
        whole = self._w.let(shuffle([quarter] * (lanes // 4), list(range(lanes))), "a")
        return [(whole, step) for step in range(count)]

    def add(self, accumulator: Expr, a: Any, b: Expr) -> Expr:
        if not isinstance(a, tuple):
            return super().add(accumulator, a, b)
        vector, lane = a
        operands = [_put(each) for each in (accumulator, b, vector)]
        found = tirx.call_llvm_pure_intrin(
            _TYPE, "llvm.aarch64.sve.fmla.lane", *operands, const(lane, "int32")
        )
        return llvm("float32", self._form.lanes, "llvm.vector.extract", found, const(0, "int64"))


def _put(value: Expr) -> Expr:
    """A vector of known length as one of unknown length, which it fills."""
    empty = tirx.Broadcast(const(0.0, "float32"), tirx.vscale() * 4)
    return tirx.call_llvm_pure_intrin(_TYPE, "llvm.vector.insert", empty, value, const(0, "int64"))
