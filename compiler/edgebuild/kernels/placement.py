# SPDX-License-Identifier: Apache-2.0
"""Where blocks of memory lie, so that none overlaps another that lives at the same time.

Blocks are placed where they fit best among those that live together with them, in several
orders; the smallest arena wins. The same blocks give the same places, in whatever order they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

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
    for block in blocks:
        together = [
            p for p in placed if p.block.first <= block.last and block.first <= p.block.last
        ]
        placed.append(Placed(block=block, offset=_best_gap(block.size_bytes, together)))
    return tuple(placed)


def largest_gap(placed: Iterable[Placed], call: int, end: int) -> int:
    """The most bytes that lie side by side below ``end``, free while a call runs."""
    at, largest = 0, 0
    for p in sorted(placed, key=lambda p: p.offset):
        if p.block.lives_at(call):
            largest = max(largest, p.offset - at)
            at = max(at, aligned(p.offset + p.block.size_bytes))
    return max(largest, end - at)


def _best_gap(size: int, together: Sequence[Placed]) -> int:
    """The smallest gap that holds ``size``, or the end."""
    end, best, best_gap = 0, -1, 0
    for other in sorted(together, key=lambda p: p.offset):
        gap = other.offset - end
        if gap >= size and (best < 0 or gap < best_gap):
            best, best_gap = end, gap
        end = max(end, aligned(other.offset + other.block.size_bytes))
    return end if best < 0 else best
