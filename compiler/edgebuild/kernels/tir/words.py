# SPDX-License-Identifier: Apache-2.0
"""8-bit products with a single row on cores without vectors: eight weights to a word.

Weights and inputs are stored without a sign (128 more) and eight to a 64-bit word. A mask leaves
every third byte of both, so that a product of two such words is a product of polynomials in 2**24,
one of them turned round: the coefficient in the middle is a sum of three products. It is put at
2**64, where the upper half of the product begins, so that what lies below is dropped and what lies
above goes to higher bits; a word takes three of these. 24 bits hold the sums of 32 words.
Decision 0210 has the counts.
"""

from __future__ import annotations

import numpy as np

from edgebuild.kernels.specs import Conv2d
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import bias_first
from edgebuild.kernels.tir.emit import Expr, Index, Registers, cast, const, llvm
from edgebuild.kernels.tir.frame import Build, Frame, but_last, divided, store
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.products import MANY
from edgebuild.kernels.tir.scalars import Point
from edgebuild.kernels.tir.tile_shape import Split

_BYTES = 8
#: Added to a number to make it one without a sign.
_BIAS = 128
#: Words whose sums of 8 * 255**2 fit the lowest 24 bits.
_SUMMED = 32
_LOW = (1 << 24) - 1
#: Outputs of a tile; sums, masks, addresses and parts of words then fit the registers.
_OUTPUTS = 8


def _mask(*numbers: int) -> int:
    """A signed 64-bit number with these bytes set."""
    value = sum(0xFF << (8 * n) for n in numbers)
    return value - (1 << 64) if value >> 63 else value


#: Bytes of the weights, moved up or not, and those of the inputs whose sum with them is 8.
_THREE, _TWO, _OTHER_TWO = _mask(1, 4, 7), _mask(2, 5), _mask(3, 6)


def suits(isa: Isa, dtype: str, rows: int, depth: int) -> bool:
    """Whether so few rows are worth words, which are no use to several."""
    return isa.products == "pairs" and isa.doubles and dtype == "int8" and rows < MANY and depth > 0


class Words:
    """Emits a product of ``spec``: one row of ``spec.output[2]`` positions."""

    def __init__(
        self, spec: Conv2d, kernel: Build, domain: tuple[int, ...],
        strides: dict[int, tuple[int, ...]],
    ) -> None:  # fmt: skip
        self.spec, self.kernel, self.domain, self.strides = spec, kernel, domain, strides
        self.rows, self.depth, channels = spec.output[2], spec.input[3], spec.output[3]
        self.count = -(-self.depth // _BYTES)
        self.cut = Split(channels=channels, lanes=1, vectors=min(channels, _OUTPUTS))
        self.bias = bias_first(spec.epilogue, channels)
        block = kernel.block
        self.start_at = block.reserve("start", "float64", channels, self._start)
        size = channels * self.count * _BYTES
        self.weights_at = block.reserve("weights", "int8", size, self._weights) // _BYTES
        # of each row its words and the sum of its numbers
        self.at = kernel.scratch(self.rows * (self.count + 1) * _BYTES) // _BYTES

    def _start(self, c: Constants) -> Array:
        """(w + 128) * (x + 128) is w * x and 128 * (x + 128), which is known per row, and this."""
        sums: Array = self._natural(c).astype(np.int64).sum(axis=1)
        sums = sums * -(self.spec.input_zero + _BIAS)
        return sums if self.bias is None else sums + c[f"p{self.bias}"].reshape(-1)

    def _natural(self, c: Constants) -> Array:
        found: Array = c["weights"].reshape(self.spec.output[3], self.depth)
        return found

    def _weights(self, c: Constants) -> Array:
        """Blocks of [word][output][byte]; a word's last weight is its lowest byte."""
        w = self._natural(c).astype(np.int64) + _BIAS
        w = np.pad(w, ((0, 0), (0, self.count * _BYTES - self.depth)))
        w = w.reshape(self.cut.channels, self.count, _BYTES)[:, :, ::-1]
        parts = [
            w[first : first + self.cut.vectors].transpose(1, 0, 2).reshape(-1)
            for first in range(0, self.cut.channels, self.cut.vectors)
        ]
        return np.concatenate(parts).astype(np.uint8)

    def build(self) -> None:
        """Rows become words; then blocks of outputs."""
        frame = self.kernel.frame(self.rows)
        with frame.each_task() as row:
            self._prepare(frame, row)
        frame.finish()
        frame = self.kernel.frame(self.rows * self.cut.blocks)
        self.frame = frame
        self.programs = frame.programs(self.spec.epilogue, self.domain, self.strides)
        self.skip = 0 if self.bias is None else 1
        with frame.each_task() as task:
            row, block = divided(frame, task, self.cut.blocks)
            row, block = (0, task) if self.rows == 1 else (row, block)
            self._blocks(row, block)
        frame.finish()

    def _blocks(self, row: Index, block: Index) -> None:
        """One block, the last of which may have fewer outputs."""
        cut = self.cut
        but_last(self.frame.w, block, cut.blocks, lambda n: self._tile(row, block, n),
                 cut.vectors, cut.tail or cut.vectors)  # fmt: skip

    def _prepare(self, frame: Frame, row: Index) -> None:
        w, memory, scratch = frame.w, frame.inputs["input"], frame.scratch
        place = w.let_index((row * (self.count + 1) + self.at) * _BYTES)
        source = w.let_index(row * self.depth)
        total = w.registers("int64", 1, 1, "sum")
        total.set(0, const(0, "int64"))
        with w.loop(0, self.depth, "k") as k:
            x = w.let(cast(memory.load(source + k, "int8"), "int32") + const(_BIAS, "int32"))
            scratch.store(place + k, cast(x, "int8"))
            total.set(0, total.get(0) + cast(x, "int64"))
        for k in range(self.depth, self.count * _BYTES):
            scratch.store(place + k, const(0, "int8"))
        end = w.let_index((row + 1) * (self.count + 1) + (self.at - 1))
        scratch.store(end, w.let(total.get(0) * const(-_BIAS, "int64")))

    def _tile(self, row: Index, block: Index, outputs: int) -> None:
        """``outputs`` neighbours."""
        w = self.frame.w
        left = w.let_index(row * (self.count + 1) + self.at)
        size = self.cut.vectors * self.count
        right = w.let_index(block * size + self.weights_at)
        totals = w.registers("int64", 1, outputs, "total")
        first = w.let(self.frame.scratch.load(left + self.count, "int64"))
        for n in range(outputs):
            totals.set(n, first)
        whole, rest = divmod(self.count, _SUMMED)
        if whole:
            with w.loop(0, whole, "part") as part:
                self._sum(totals, left, right, part * _SUMMED, _SUMMED, outputs)
        if rest:
            self._sum(totals, left, right, whole * _SUMMED, rest, outputs)
        channel = w.let_index(block * self.cut.vectors)
        for n in range(outputs):
            self._finish(totals.get(n), row, w.let_index(channel + n))

    def _sum(
        self, totals: Registers, left: Index, right: Index, first: Index, count: int, outputs: int
    ) -> None:
        """The products of ``count`` words."""
        w = self.frame.w
        sums = w.registers("int64", 1, outputs, "sum")
        for n in range(outputs):
            sums.set(n, const(0, "int64"))
        with w.loop(0, count, "s") as s:
            number = w.let_index(first + s)
            inputs = self._inputs(w.let(self.frame.scratch.load(left + number, "int64")))
            at = w.let_index(right + number * outputs)
            for n in range(outputs):
                word = w.let(self.frame.constants.load(at + n, "int64"))
                moved = w.let(word << const(8, "int64"))
                masked = zip((word, moved, word), (_THREE, _THREE, _TWO), strict=True)
                parts = [w.let(value & const(mask, "int64")) for value, mask in masked]
                for part, x in zip(parts, inputs, strict=True):
                    sums.set(n, w.let(self._upper(sums.get(n), part, x)))
        for n in range(outputs):
            totals.set(n, totals.get(n) + (sums.get(n) & const(_LOW, "int64")))

    def _inputs(self, word: Expr) -> list[Expr]:
        """A word's inputs where the three parts of a word of weights want them."""
        w, moved = self.frame.w, self.frame.w.let(word << const(8, "int64"))
        return [
            w.let(moved & const(_THREE, "int64")),
            w.let(word & const(_THREE, "int64")),
            w.let(moved & const(_OTHER_TWO, "int64")),
        ]

    def _upper(self, total: Expr, a: Expr, b: Expr) -> Expr:
        """total + (a * b >> 64). Its highest bits may be lost, which TVM promises of no int64."""
        upper = llvm("int64", 1, "llvm.umul.fix", a, b, const(64, "int32"))
        return cast(cast(total, "int128") + cast(self.frame.w.let(upper), "int128"), "int64")

    def _finish(self, total: Expr, row: Index, channel: Index) -> None:
        w = self.frame.w
        start = self.frame.constants.load(channel + self.start_at, "float64")
        value = w.let(cast(w.let(total), "float64") + start)
        if not self.programs.doubles(self.skip):
            value = w.let(cast(value, "int32"))
        point = Point(coordinates=(row, channel), lanes=1)
        done = self.programs.run(point, value, skip=self.skip)
        store(self.frame.output, row * self.spec.output[3] + channel, done)
