# SPDX-License-Identifier: Apache-2.0
"""When a call runs: as late as it can, where that leaves its output less time to live.

A call all of whose inputs live on until its output is first read may wait until then: nothing
lives longer for it, its output lives shorter. The values of an attention are such, which its
weights wait for. Where that gives no smaller arena, the file's order stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgebuild.kernels import planner
from edgebuild.kernels.calls import Call, Lowered
from edgebuild.kernels.placement import extent


def order(lowered: Lowered) -> Lowered:
    """The same calls; the order with the smaller arena."""
    later = replace(lowered, calls=_sunk(lowered))
    return min((lowered, later), key=lambda one: extent(planner.arrange(one).placed))


@dataclass(frozen=True, slots=True)
class _Uses:
    """By value: the calls that write and that read it, in order."""

    writers: dict[str, list[int]]
    readers: dict[str, list[int]]
    outside: frozenset[str]


def _uses(lowered: Lowered) -> _Uses:
    outside = frozenset(lowered.root(name) for name in lowered.graph.outputs)
    found = _Uses({}, {}, outside)
    for number, call in enumerate(lowered.calls):
        found.writers.setdefault(lowered.root(call.output), []).append(number)
        for root in {lowered.root(name) for name in call.inputs}:
            found.readers.setdefault(root, []).append(number)
    return found


def _sunk(lowered: Lowered) -> tuple[Call, ...]:
    """A call that waits runs right before the first one that reads its output."""
    uses, waiting, result = _uses(lowered), dict[int, int](), list[Call]()
    for number in range(len(lowered.calls)):
        reader = _may_wait(lowered, uses, number, waiting)
        if reader is not None:
            waiting[number] = reader
    before: dict[int, list[int]] = {}
    for number, reader in waiting.items():
        before.setdefault(reader, []).append(number)
    for number, call in enumerate(lowered.calls):
        if number not in waiting:
            result += [lowered.calls[n] for n in before.get(number, ())]
            result.append(call)
    return tuple(result)


def _may_wait(lowered: Lowered, uses: _Uses, number: int, waiting: dict[int, int]) -> int | None:
    """The call before which ``number`` may run as well, if that is later than where it is."""
    call = lowered.calls[number]
    root = lowered.root(call.output)
    readers = uses.readers.get(root, [])
    if root in uses.outside or len(uses.writers[root]) != 1:
        return None
    if not readers or readers[0] <= number + 1:
        return None
    for name in call.inputs:
        source = lowered.root(name)
        # neither for a call that waits itself, nor across another's wait: one step is enough
        if any(writer in waiting for writer in uses.writers.get(source, [])):
            return None
        if planner.in_arena(lowered, source) and uses.readers[source][-1] < readers[0]:
            return None
    return readers[0]
