# SPDX-License-Identifier: Apache-2.0
"""Roofline: how long each operator takes on a CPU, from its counts and the profile alone.

An operator takes as long as the slower of its arithmetic and its traffic, plus what a call
costs. The arithmetic runs at the share of the core's peak that the family's kernels reach; the
traffic at the bandwidth of the innermost cache that holds the operator's data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgebuild.model.profile import Cpu, Profile

# Share of the peak multiply-adds that each family's kernels reach with warm caches. Measured
# with `edgebuild bench --host`; benchmarks/README.md has the runs.
EFFICIENCY: Mapping[str, float] = {
    "conv2d": 0.75,
    "dense": 0.70,
    "matmul": 0.75,
    "depthwise2d": 0.35,
}
OTHER_EFFICIENCY = 0.10

# Bytes per cycle and core when data streams from each level: loads and stores together, as a
# fraction of one vector register per cycle. L1 takes a load and a store per cycle; L2 half of
# one register.
L1_REGISTERS_PER_CYCLE = 1.5
L2_REGISTERS_PER_CYCLE = 0.5

CALL_CYCLES = 60  # prologue, loop set-up and the branches that a new kernel mispredicts


def predict(operators: Iterable[Mapping[str, Any]], profile: Profile) -> list[dict[str, Any]]:
    """Predict each operator's time on one core of ``profile``.

    Each operator has ``name``, ``kind``, ``macs``, ``bytes_moved`` and ``dtype``. Answers one row
    for each: those values with ``time_s`` and ``bound`` ("compute", "memory" or "call").
    """
    return [_row(each, profile) for each in operators]


def _row(operator: Mapping[str, Any], profile: Profile) -> dict[str, Any]:
    seconds, bound = operator_time(operator, profile.cpu, profile.memory.bandwidth_bytes_per_s)
    keys = ("name", "kind", "macs", "bytes_moved")
    return {**{key: operator[key] for key in keys}, "time_s": seconds, "bound": bound}


def operator_time(
    operator: Mapping[str, Any], cpu: Cpu, memory_bytes_per_s: float
) -> tuple[float, str]:
    """Seconds that one operator takes on one core, and what bounds it."""
    hertz = cpu.clock_mhz * 1e6
    call = CALL_CYCLES / hertz
    compute = operator["macs"] / (peak_macs_per_s(cpu, operator.get("dtype", "float32")) or 1.0)
    compute /= EFFICIENCY.get(operator["kind"], OTHER_EFFICIENCY)
    traffic = operator["bytes_moved"] / bandwidth(cpu, operator["bytes_moved"], memory_bytes_per_s)
    bound = max(("compute", compute), ("memory", traffic), ("call", call), key=lambda pair: pair[1])
    return max(compute, traffic) + call, bound[0]


def at_best(operator: Mapping[str, Any], cpu: Cpu, memory_bytes_per_s: float) -> float:
    """Seconds of the roofline itself: every unit busy, no call, nothing waited for."""
    peak = peak_macs_per_s(cpu, operator.get("dtype", "float32")) or 1.0
    moved = operator["bytes_moved"]
    return max(operator["macs"] / peak, moved / bandwidth(cpu, moved, memory_bytes_per_s))


def peak_macs_per_s(cpu: Cpu, dtype: str) -> float:
    """Multiply-adds per second of one core at its best."""
    per_cycle = cpu.macs_per_cycle_int8 if dtype in ("int8", "uint8") else cpu.macs_per_cycle_f32
    return per_cycle * cpu.clock_mhz * 1e6


def bandwidth(cpu: Cpu, working_set_bytes: int, memory_bytes_per_s: float) -> float:
    """Bytes per second that one core streams when ``working_set_bytes`` are in use."""
    per_cycle = max(cpu.vector_bits, 64) / 8 * cpu.clock_mhz * 1e6
    if working_set_bytes <= cpu.cache.l1d_bytes:
        return per_cycle * L1_REGISTERS_PER_CYCLE
    if working_set_bytes <= cpu.cache.l2_bytes:
        return max(per_cycle * L2_REGISTERS_PER_CYCLE, memory_bytes_per_s)
    return memory_bytes_per_s
