# SPDX-License-Identifier: Apache-2.0
"""The static memory plan: every value's place in one arena, decided at build time.

Blocks are placed where they fit best among the blocks that live at the same time, in several
orders; the smallest arena wins. The same input gives the same plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from edgebuild.kernels.calls import Call, Lowered
from edgebuild.kernels.specs import Elementwise

ALIGNMENT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Bytes that live from call ``first`` to call ``last``, both included."""

    names: tuple[str, ...]  # values that share it, one after the other
    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A block and where it lies."""

    block: Block
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """``scratch``: offset of each call's scratch memory, -1 for none."""

    arena_bytes: int
    placed: tuple[Placed, ...]
    scratch: tuple[int, ...]

    def offsets(self) -> dict[str, int]:
        return {name: p.offset for p in self.placed for name in p.block.names}

    def table(self) -> list[dict[str, Any]]:
        """For the model card: one row per value."""
        rows = [
            {"tensor": name, "offset": p.offset, "bytes": p.block.size_bytes,
             "first": p.block.first, "last": p.block.last}
            for p in self.placed
            for name in p.block.names
        ]  # fmt: skip
        return sorted(rows, key=lambda row: (row["first"], row["offset"], row["tensor"]))


def plan(lowered: Lowered, scratch_bytes: Sequence[int] = ()) -> MemoryPlan:
    """Place every value of ``lowered`` that needs the arena, and each call's scratch."""
    scratch = list(scratch_bytes) or [0] * len(lowered.calls)
    values = _merge_in_place(lowered, _lifetimes(lowered))
    temporary = [
        Block(names=(f"scratch {number}",), size_bytes=size, first=number, last=number)
        for number, size in enumerate(scratch)
        if size
    ]
    placed = place([*values, *temporary])
    offsets = {name: p.offset for p in placed for name in p.block.names}
    return MemoryPlan(
        arena_bytes=_extent(placed),
        placed=placed,
        scratch=tuple(offsets.get(f"scratch {n}", -1) for n in range(len(scratch))),
    )


def staged(lowered: Lowered, name: str) -> bool:
    """A caller's buffer that may lie at an address its element type forbids: it is copied."""
    outside = name in lowered.graph.inputs or name in lowered.graph.outputs
    return outside and lowered.values[name].dtype not in ("int8", "uint8", "bool")


def in_arena(lowered: Lowered, name: str) -> bool:
    """Constants are read-only data, and bytes are read and written where the caller has them."""
    if lowered.values[name].data is not None:
        return False
    outside = name in lowered.graph.inputs or name in lowered.graph.outputs
    return not outside or staged(lowered, name)


def _lifetimes(lowered: Lowered) -> list[Block]:
    first: dict[str, int] = {lowered.root(name): 0 for name in lowered.graph.inputs}
    last: dict[str, int] = dict(first)
    for number, call in enumerate(lowered.calls):
        for name in (*call.inputs, call.output):
            root = lowered.root(name)
            first.setdefault(root, number)
            last[root] = number
    for name in lowered.graph.outputs:
        if lowered.root(name) in last:
            last[lowered.root(name)] = len(lowered.calls)
    return [
        Block(
            names=(name,),
            size_bytes=lowered.values[name].size_bytes,
            first=first[name],
            last=last[name],
        )
        for name in first
        if in_arena(lowered, name) and lowered.values[name].size_bytes
    ]


def _merge_in_place(lowered: Lowered, blocks: Iterable[Block]) -> list[Block]:
    """Let element-wise outputs take over the memory of an input that ends there."""
    by_name = {name: block for block in blocks for name in block.names}
    outside = {lowered.root(n) for n in (*lowered.graph.inputs, *lowered.graph.outputs)}
    for number, call in enumerate(lowered.calls):
        output = by_name.get(lowered.root(call.output))
        source = _overwritten(lowered, call, outside)
        if source is None or output is None or source not in by_name:
            continue
        block = by_name[source]
        if block is output or block.last != number or output.first != number:
            continue
        merged = Block(
            names=(*block.names, *output.names),
            size_bytes=max(block.size_bytes, output.size_bytes),
            first=block.first,
            last=output.last,
        )
        by_name.update(dict.fromkeys(merged.names, merged))
    return list(dict.fromkeys(by_name.values()))


def _overwritten(lowered: Lowered, call: Call, outside: set[str]) -> str | None:
    """The input that an element-wise call may write over."""
    if not isinstance(call.spec, Elementwise) or lowered.root(call.output) in outside:
        return None
    output = lowered.values[call.output]
    operands = [o for o in call.spec.program.operands if o.source == "input"]
    roots = [lowered.root(name) for name in call.inputs]
    for operand, root in zip(operands, roots, strict=True):
        whole = prod(operand.shape) == prod(output.shape) and operand.dtype == output.dtype
        if whole and root not in outside and roots.count(root) == 1:
            return root
    return None


_ORDERS: tuple[Callable[[Block], tuple[int, ...]], ...] = (
    lambda b: (-b.size_bytes, b.first, -b.last),
    lambda b: (-b.size_bytes * (b.last - b.first + 1), b.first),
    lambda b: (b.first, -b.size_bytes),
    lambda b: (-b.last, -b.size_bytes),
    lambda b: (-(b.last - b.first), -b.size_bytes, b.first),
)


def place(blocks: Sequence[Block]) -> tuple[Placed, ...]:
    """The best of the orders: no two blocks that live together overlap."""
    plans = [_place_in(sorted(blocks, key=lambda b: (*order(b), b.names))) for order in _ORDERS]
    return min(plans, key=_extent)


def _place_in(blocks: Sequence[Block]) -> tuple[Placed, ...]:
    placed: list[Placed] = []
    for block in blocks:
        together = [
            p for p in placed if p.block.first <= block.last and block.first <= p.block.last
        ]
        placed.append(Placed(block=block, offset=_best_gap(block.size_bytes, together)))
    return tuple(placed)


def _best_gap(size: int, together: Sequence[Placed]) -> int:
    """The smallest gap that holds ``size``, or the end."""
    end, best, best_gap = 0, -1, 0
    for other in sorted(together, key=lambda p: p.offset):
        gap = other.offset - end
        if gap >= size and (best < 0 or gap < best_gap):
            best, best_gap = end, gap
        end = max(end, _aligned(other.offset + other.block.size_bytes))
    return end if best < 0 else best


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _extent(placed: Iterable[Placed]) -> int:
    return max((_aligned(p.offset + p.block.size_bytes) for p in placed), default=0)
