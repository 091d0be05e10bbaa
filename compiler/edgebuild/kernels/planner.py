# SPDX-License-Identifier: Apache-2.0
"""The static memory plan: every value's place in one arena, decided at build time.

First the values are arranged: who takes over whose memory, and how much each call has free beside
them. The kernels are written for that; then everything, their scratch included, gets its place.
The same input gives the same plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from edgebuild.kernels.calls import Call, Lowered
from edgebuild.kernels.placement import Block, Placed, extent, largest_gaps, place, place_in
from edgebuild.kernels.specs import (
    Conv2d,
    Copy,
    Dense,
    Depthwise2d,
    Gather,
    LayerNorm,
    Matmul,
    Pad,
    Softmax,
    Spec,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """What is known before there are kernels; ``over`` and ``free_bytes`` have one per call."""

    placed: tuple[Placed, ...]
    over: tuple[str | None, ...]  # the argument whose memory the output takes over
    free_bytes: tuple[int, ...]  # scratch up to this costs no memory


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """``scratch``: offset of each call's scratch memory, -1 for none; ``offsets`` by value."""

    arena_bytes: int
    placed: tuple[Placed, ...]
    scratch: tuple[int, ...]
    offsets: Mapping[str, int]

    def table(self) -> list[dict[str, Any]]:
        """For the model card: one row per value."""
        rows = [
            {"tensor": name, "offset": p.offset, "bytes": p.block.size_bytes,
             "first": p.block.first, "last": p.block.last}
            for p in self.placed
            for name in p.block.names
        ]  # fmt: skip
        return sorted(rows, key=lambda row: (row["first"], row["offset"], row["tensor"]))


def arrange(lowered: Lowered, rewrites: Callable[[Spec], bool] = lambda _: False) -> Arrangement:
    """Decide what shares memory. ``rewrites``: such a kernel copies its input before it computes.

    One that does may write over that input, if every position has room for its own outputs. What
    is saved by sharing is free for scratch: the arena grows up to what it would be if every value
    had memory of its own.
    """
    apart = _lifetimes(lowered)
    blocks, over = _merge_in_place(lowered, apart, rewrites)
    placed = place(blocks)
    arena = max(extent(placed), extent(place(apart)))
    free = largest_gaps(placed, len(lowered.calls), arena)
    return Arrangement(placed=placed, over=over, free_bytes=free)


def plan(
    lowered: Lowered, scratch_bytes: Sequence[int] = (), arrangement: Arrangement | None = None
) -> MemoryPlan:
    """Place every value of ``lowered`` that needs the arena, and each call's scratch."""
    scratch = list(scratch_bytes) or [0] * len(lowered.calls)
    values = (arrangement or arrange(lowered)).placed
    temporary = [
        Block(names=(f"scratch {number}",), size_bytes=size, first=number, last=number)
        for number, size in enumerate(scratch)
        if size
    ]
    together = place([*(p.block for p in values), *temporary])
    placed = min(place_in(temporary, values), together, key=extent)
    offsets = {name: p.offset for p in placed for name in p.block.names}
    return MemoryPlan(
        arena_bytes=extent(placed),
        placed=placed,
        scratch=tuple(offsets.get(f"scratch {n}", -1) for n in range(len(scratch))),
        offsets=offsets,
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


def _merge_in_place(
    lowered: Lowered, blocks: Iterable[Block], rewrites: Callable[[Spec], bool]
) -> tuple[tuple[Block, ...], tuple[str | None, ...]]:
    """Let outputs take over the memory of an input that ends there."""
    by_name = {name: block for block in blocks for name in block.names}
    outside = {lowered.root(n) for n in (*lowered.graph.inputs, *lowered.graph.outputs)}
    over: list[str | None] = []
    for number, call in enumerate(lowered.calls):
        output = lowered.root(call.output)
        over.append(None)
        for argument, root in _overwritable(lowered, call, rewrites):
            if outside & {output, root} or not {output, root} <= by_name.keys():
                continue
            old, new = by_name[root], by_name[output]
            if old is not new and old.last == new.first == number:
                merged = Block(names=(*old.names, *new.names), size_bytes=old.size_bytes,
                               first=old.first, last=new.last)  # fmt: skip
                by_name.update(dict.fromkeys(merged.names, merged))
                over[-1] = argument
                break
    return tuple(dict.fromkeys(by_name.values())), tuple(over)


def _overwritable(
    lowered: Lowered, call: Call, rewrites: Callable[[Spec], bool]
) -> list[tuple[str, str]]:
    """(argument, value) of the inputs that are read for the last time where the output goes."""
    spec, arguments = call.spec, call.spec.arguments()
    output = arguments[-1]
    roots = [lowered.root(name) for name in call.inputs]
    inputs = [a for a in arguments if a.role == "input"]
    if prod(output.shape) != prod(lowered.values[call.output].shape) or not _in_order(spec):
        return []
    return [
        (argument.name, root)
        for argument, root in zip(inputs, roots, strict=True)
        if prod(argument.shape) == prod(output.shape) and argument.dtype == output.dtype
        and roots.count(root) == 1
        and (argument.name.startswith("p") or _row_by_row(spec, argument.name)
             or (_position_by_position(spec) and rewrites(spec)))
    ]  # fmt: skip


def _in_order(spec: Spec) -> bool:
    """Whether the output's elements are those of the epilogue's domain, in their order."""
    if isinstance(spec, Matmul):
        sizes = (*spec.batch, spec.m, spec.n)
        dense = tuple(prod(sizes[axis + 1 :]) for axis in range(len(sizes)))
        pairs = zip(sizes, spec.output_strides, dense, strict=True)
        return all(size == 1 or have == want for size, have, want in pairs)
    return not isinstance(spec, Copy | Pad | Gather)


def _row_by_row(spec: Spec, argument: str) -> bool:
    """A row is read whole before its results are written, each where its element was."""
    return isinstance(spec, Softmax | LayerNorm) and argument in ("input", "addend")


def _position_by_position(spec: Spec) -> bool:
    """As many results as there are numbers at a position, and none from far away."""
    if isinstance(spec, Dense):
        return spec.k == spec.n
    if isinstance(spec, Depthwise2d):
        return spec.window.stride == (1, 1) and spec.input == spec.output
    return (
        isinstance(spec, Conv2d) and spec.window.kernel == spec.window.stride == (1, 1)
        and spec.groups == 1 and spec.input == spec.output
    )  # fmt: skip
