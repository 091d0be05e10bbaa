# SPDX-License-Identifier: Apache-2.0
"""8-bit weights of many rows: made floats in scratch once, where every tile would widen them.

The stored order stays, so this is one pass from bytes to floats. It pays where a tile's rows are
too few to hide the widening: not with vectors of 512 bits, which have units to spare (measured).
"""

from __future__ import annotations

from edgebuild.kernels.tir.contraction import Weights
from edgebuild.kernels.tir.emit import Index, Memory, cast
from edgebuild.kernels.tir.frame import Build, along, but_last

#: Tiles that have to share what one pass makes.
ENOUGH_TILES = 3
#: Of the second cache, what floats in scratch may take: the left side and the outputs pass by.
SHARE = 2
CHUNK = 4096


def suits(kernel: Build, dtype: str, tiles: int, weights: int) -> bool:
    """Whether so many tiles gain from ``weights`` floats in scratch that costs no memory."""
    isa = kernel.isa
    room = not isa.tight and 4 * weights <= min(isa.l2_bytes // SHARE, kernel.free_bytes)
    return dtype == "int8" and tiles >= ENOUGH_TILES and room and isa.vector_bits < 512


class Expanded:
    """The same packed weights as floats, in scratch; sums start with zeros."""

    dtype, kind = "float32", "float32"

    def __init__(self, stored: Weights, kernel: Build) -> None:
        self._stored, self._kernel = stored, kernel
        self.start_at: int | None = None
        self._place = kernel.scratch(4 * stored.size) // 4
        self.memory: Memory | None = None  # the phase's scratch

    def at(self, group: Index, block: Index) -> Index:
        """The first element of a block's weights."""
        return self._stored.at(group, block) + (self._place - self._stored.first)

    def position(self, vectors: int) -> int:
        """Elements of one position of the walk, in a block of ``vectors``."""
        return self._stored.position(vectors)

    def phase(self) -> None:
        """Tasks are stretches of weights."""
        size, lanes = self._stored.size, 4 * self._kernel.isa.float_lanes
        frame = self._kernel.frame(-(-size // CHUNK))
        w = frame.w

        def some(count: int, start: Index) -> None:
            def convert(i: Index, n: int) -> None:
                value = frame.constants.load(start + i + self._stored.first, "int8", n)
                frame.scratch.store(start + i + self._place, w.let(cast(value, "float32")))

            along(w, count, lanes, convert)

        with frame.each_task() as task:
            start = w.let(task * CHUNK)
            rest = size % CHUNK or CHUNK
            but_last(w, task, frame.tasks, lambda n: some(n, start), CHUNK, rest)
        frame.finish()
