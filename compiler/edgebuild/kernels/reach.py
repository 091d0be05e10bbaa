# SPDX-License-Identifier: Apache-2.0
"""How far away a call's data are: the memory that was used since each value last was.

A cache holds a value that a call reads if it holds everything that was used since then. Inferences
follow one another, so what comes last in one comes before what is first in the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgebuild.kernels.calls import Call, Lowered
from edgebuild.kernels.emission import CallCode
from edgebuild.kernels.planner import MemoryPlan


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of memory; places in different spaces are different memory."""

    space: str
    begin: int
    end: int

    def meets(self, other: Span) -> bool:
        same = self.space == other.space
        return same and self.begin < other.end and other.begin < self.end


def reach(lowered: Lowered, codes: Sequence[CallCode], plan: MemoryPlan) -> list[dict[str, int]]:
    """For each call and each value that it reads or writes: bytes used since that was used last.

    The call that used it then counts whole. A value that lies where another one of the same call
    does is left out: it is there already.
    """
    offsets = plan.offsets
    calls = list(zip(lowered.calls, codes, plan.scratch, strict=True))
    used = [
        [*_values(lowered, call, offsets).values(), *_others(code, scratch)]
        for call, code, scratch in calls
    ]
    found = []
    for number, (call, _, _) in enumerate(calls):
        spans = _values(lowered, call, offsets)
        apart = {
            name: span
            for i, (name, span) in enumerate(spans.items())
            if not any(span.meets(other) for other in list(spans.values())[:i])
        }
        found.append({name: _since(used, number, span) for name, span in apart.items()})
    return found


def _values(lowered: Lowered, call: Call, offsets: Mapping[str, int]) -> dict[str, Span]:
    spans = {}
    for name in dict.fromkeys((*call.inputs, call.output)):
        root = lowered.root(name)
        outside = root in lowered.graph.inputs or root in lowered.graph.outputs
        at = None if outside else offsets.get(root)
        space, begin = (root, 0) if at is None else ("", at)
        spans[name] = Span(space, begin, begin + lowered.values[name].size_bytes)
    return spans


def _others(code: CallCode, scratch: int) -> Iterator[Span]:
    """Constants and scratch."""
    if code.constants_bytes:
        begin = code.constants_offset
        yield Span("constants", begin, begin + code.constants_bytes)
    if code.scratch_bytes:
        yield Span("", scratch, scratch + code.scratch_bytes)


def _since(used: Sequence[Sequence[Span]], number: int, span: Span) -> int:
    """Bytes of all that was used from the last call on that used ``span``."""
    seen: list[Span] = []
    for back in range(1, len(used) + 1):
        here = used[number - back]
        seen += here
        if any(span.meets(other) for other in here):
            break
    return _bytes(seen)


def _bytes(spans: Sequence[Span]) -> int:
    """Of the memory that they are together."""
    total, space, end = 0, None, 0
    for span in sorted(spans, key=lambda s: (s.space, s.begin)):
        if span.space != space:
            space, end = span.space, 0
        total += max(0, span.end - max(end, span.begin))
        end = max(end, span.end)
    return total
