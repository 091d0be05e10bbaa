# SPDX-License-Identifier: Apache-2.0
"""Where blocks of memory lie, so that none overlaps another that lives at the same time.

Blocks are placed where they fit best among those that live together with them, in several
orders; the smallest arena wins. The same blocks give the same places, in whatever order they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.int64]

ALIGNMENT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Bytes that live from call ``first`` to call ``last``, both included."""

    names: tuple[str, ...]  # values that share it, one after the other
    size_bytes: int
    first: int
    last: int

    def lives_at(self, call: int) -> bool:
        return self.first <= call <= self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A block and where it lies."""

    block: Block
    offset: int


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def extent(placed: Iterable[Placed]) -> int:
    """The arena's size."""
    return max((aligned(p.offset + p.block.size_bytes) for p in placed), default=0)


def live_bytes(blocks: Iterable[Block], call: int) -> int:
    """What has to lie side by side while a call runs: no arena is smaller."""
    return sum(aligned(block.size_bytes) for block in blocks if block.lives_at(call))


_ORDERS: tuple[Callable[[Block], tuple[int, ...]], ...] = (
    lambda b: (-b.size_bytes, b.first, -b.last),
    lambda b: (-b.size_bytes * (b.last - b.first + 1), b.first),
    lambda b: (b.first, -b.size_bytes),
    lambda b: (-b.last, -b.size_bytes),
    lambda b: (-(b.last - b.first), -b.size_bytes, b.first),
)


def place(blocks: Sequence[Block]) -> tuple[Placed, ...]:
    """The best of the orders: no two blocks that live together overlap."""
    plans = [place_in(sorted(blocks, key=lambda b: (*order(b), b.names))) for order in _ORDERS]
    return min(plans, key=extent)


def place_in(blocks: Sequence[Block], beside: Sequence[Placed] = ()) -> tuple[Placed, ...]:
    """One after the other, in the order given, beside those that have a place."""
    placed = list(beside)
    count = len(beside) + len(blocks)
    first, last, offset, end = np.zeros((4, count), np.int64)

    def note(number: int, block: Block, at: int) -> None:
        first[number], last[number] = block.first, block.last
        offset[number], end[number] = at, aligned(at + block.size_bytes)

    for number, p in enumerate(beside):
        note(number, p.block, p.offset)
    for number, block in enumerate(blocks, len(beside)):
        together = (first[:number] <= block.last) & (block.first <= last[:number])
        at = _best_gap(block.size_bytes, offset[:number][together], end[:number][together])
        note(number, block, at)
        placed.append(Placed(block=block, offset=at))
    return tuple(placed)


def largest_gaps(placed: Iterable[Placed], calls: int, end: int) -> tuple[int, ...]:
    """For each call the most bytes that lie side by side below ``end``, free while it runs."""
    living: list[list[Placed]] = [[] for _ in range(calls)]
    for p in sorted(placed, key=lambda p: p.offset):
        for together in living[p.block.first : p.block.last + 1]:
            together.append(p)
    return tuple(_largest(together, end) for together in living)


def _largest(placed: Iterable[Placed], end: int) -> int:
    """The largest gap below ``end`` between blocks that come by their offsets."""
    at, largest = 0, 0
    for p in placed:
        largest = max(largest, p.offset - at)
        at = max(at, aligned(p.offset + p.block.size_bytes))
    return max(largest, end - at)


def _best_gap(size: int, offsets: Bytes, ends: Bytes) -> int:
    """The smallest gap that holds ``size`` between blocks that lie at ``offsets``, or the end."""
    order = np.argsort(offsets, kind="stable")
    reached = np.maximum.accumulate(np.concatenate(([0], ends[order])))
    gaps = offsets[order] - reached[:-1]
    fitting = np.flatnonzero(gaps >= size)
    if not len(fitting):
        return int(reached[-1])
    return int(reached[fitting[np.argmin(gaps[fitting])]])
