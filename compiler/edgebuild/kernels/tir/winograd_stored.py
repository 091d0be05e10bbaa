# SPDX-License-Identifier: Apache-2.0
"""Weights of 8 or 16 bits in Winograd's form: transformed into scratch when the kernel begins.

Transformed weights are floats, and 16 or 36 for every 9: seven to sixteen times the bytes of what
was stored. To make them is a few operations for each, done once, where each is multiplied with
every tile. Only where the memory plan has room for it: else the transformed weights are constants.
"""

from __future__ import annotations

import numpy as np

from edgebuild.kernels.specs import Conv2d
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.emit import Expr, Index, cast, const
from edgebuild.kernels.tir.frame import Build, Frame
from edgebuild.kernels.tir.matmul_tiles import Packed
from edgebuild.kernels.tir.tile_shape import Split
from edgebuild.kernels.tir.winograd_rule import Form

TAPS = 9
#: Floats of a line of the cache: without it all places of a weight would meet on the same lines.
LINE = 16


def opened_bytes(spec: Conv2d, cut: Split, form: Form) -> int:
    """Scratch of a transform."""
    return 4 * form.n**2 * _apart(spec, cut)


def _apart(spec: Conv2d, cut: Split) -> int:
    return cut.padded * spec.input[3] + LINE


class Opened(Packed):
    """A packed right side in scratch, of which the constants hold the windows."""

    def __init__(self, spec: Conv2d, kernel: Build, cut: Split, form: Form, dtype: str) -> None:
        self.form, self.stored, self.channels = form, dtype, spec.input[3]
        self.apart = _apart(spec, cut)
        place = kernel.scratch(opened_bytes(spec, cut, form))
        super().__init__(cut=cut, depth=self.channels, at_element=place // 4)
        self.windows_at = kernel.block.reserve(
            "weights", dtype, TAPS * cut.padded * self.channels, self._windows
        )

    def at(self, group: Index, block: Index) -> Index:
        """The first weight of a block at one of the n * n places."""
        return group * self.apart + block * (self.cut.width * self.channels) + self.at_element

    def _windows(self, constants: Constants) -> Array:
        """(o, 3, 3, c) -> blocks of [channel][tap][vector][lane]."""
        cut = self.cut
        w: Array = constants["weights"].reshape(cut.channels, TAPS, self.channels)
        w = np.pad(w, ((0, cut.padded - cut.channels), (0, 0), (0, 0)))
        w = w.reshape(cut.total, cut.lanes, TAPS, self.channels)
        parts = [
            w[first : first + cut.vectors].transpose(3, 2, 0, 1).reshape(-1)
            for first in range(0, cut.total, cut.vectors)
        ]
        return np.concatenate(parts)

    def phase(self, kernel: Build) -> None:
        """Tasks are channels of the input."""
        cut, frame = self.cut, kernel.frame(self.channels)
        w, whole = frame.w, cut.blocks - (1 if cut.tail else 0)
        with frame.each_task() as c:
            if whole:
                with w.loop(0, whole, "b") as block:
                    self._block(frame, c, block, cut.vectors)
            if cut.tail:
                self._block(frame, c, const(whole, "int64"), cut.tail)
        frame.finish()

    def _block(self, frame: Frame, c: Expr, block: Expr, vectors: int) -> None:
        """The windows of one channel of the input and of a block of the output's."""
        w, lanes, n = frame.w, self.cut.lanes, self.form.n
        size = vectors * lanes
        block_at = block * (self.cut.width * self.channels * TAPS) + self.windows_at
        source = w.let_index(block_at + c * (TAPS * size))
        target = w.let_index(self.at(0, block) + c * size)

        def tap(number: int, v: Index) -> Expr:
            at = source + (number * size + v * lanes)
            return w.let(cast(frame.constants.load(at, self.stored, lanes), "float32"))

        for v in range(vectors):
            across = [self._opened(frame, [tap(3 * a + b, v) for a in range(3)]) for b in range(3)]
            for i in range(n):
                row = self._opened(frame, [across[b][i] for b in range(3)])
                for j, value in enumerate(row):
                    place: Index = target + ((i * n + j) * self.apart + v * lanes)
                    frame.scratch.store(place, value)

    def _opened(self, frame: Frame, g: list[Expr]) -> list[Expr]:
        """Three weights of an axis as the n of ``form.window``."""
        w, lanes = frame.w, self.cut.lanes

        def times(value: Expr, factor: float) -> Expr:
            return w.let(value * const(factor, "float32", lanes))

        ends = w.let(g[0] + g[2])
        if self.form.m == 2:
            half, middle = times(ends, 1 / 2), times(g[1], 1 / 2)
            return [g[0], w.let(half + middle), w.let(half - middle), g[2]]
        near, middle = times(ends, -1 / 6), times(g[1], 1 / 6)
        far, inner = w.let(times(g[0], 1 / 24) + times(g[2], 1 / 6)), times(g[1], 1 / 12)
        return [
            times(g[0], 1 / 4), w.let(near - middle), w.let(near + middle),
            w.let(far + inner), w.let(far - inner), g[2],
        ]  # fmt: skip
