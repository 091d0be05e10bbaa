# SPDX-License-Identifier: Apache-2.0
"""When a kernel is worth more than one core (runtime/native/threads.c does the splitting).

Two prices are paid (benchmarks/README.md has them measured). Helpers sleep between inferences, and
waking them costs the caller about 8 µs: a model is split only if that saves several times as
much. Once awake they take a part within half a microsecond, so that parts may be short; where other
programs want the cores, the caller notices and does without (threads.c). The times are the
roofline's, so that the same model and profile give the same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgebuild.model.profile import Cpu
from edgebuild.planning import roofline

LEAST_PART_S = 4e-6
LEAST_SAVING_S = 100e-6  # of one inference

# A profile says the memory's bandwidth, its processor does not; this decides little here.
MEMORY_BYTES_PER_CYCLE = 8


def grains(
    operators: Sequence[Mapping[str, Any]], tasks: Sequence[Sequence[int]], cpu: Cpu
) -> dict[tuple[int, int], int]:
    """How many tasks are done at a time, for each (operator, phase) that is split.

    ``operators`` are rows as ``roofline.operator_time`` takes them; ``tasks`` has the number of
    tasks of each one's phases. Those are taken for equal parts of the time, but for one that cannot
    be split and only prepares what the others need.
    """
    if cpu.cores < 2:
        return {}
    seconds = times(operators, cpu)
    found: dict[tuple[int, int], int] = {}
    saved = 0.0
    for number, phases in enumerate(tasks):
        each = seconds[number] / max(1, sum(count > 1 for count in phases))
        for phase, count in enumerate(phases):
            parts = split(each, count)
            if parts > 1:
                found[number, phase] = -(-count // parts)
                saved += each * (1 - 1 / min(parts, cpu.cores))
    return found if saved >= LEAST_SAVING_S else {}


def split(seconds: float, extent: int) -> int:
    """Into how many parts to cut a loop of ``extent`` tasks at most; 1: leave it whole."""
    return max(1, min(int(seconds / LEAST_PART_S), extent))


def times(operators: Sequence[Mapping[str, Any]], cpu: Cpu) -> list[float]:
    """Seconds of each operator on one core."""
    limits = roofline.machine(cpu, MEMORY_BYTES_PER_CYCLE * cpu.clock_mhz * 1e6)
    whole = roofline.footprint(operators)
    return [roofline.operator_time(row, limits, whole)[0] for row in operators]
