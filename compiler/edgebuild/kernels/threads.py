# SPDX-License-Identifier: Apache-2.0
"""When a kernel is worth more than one core (runtime/native/threads.c does the splitting)."""

from __future__ import annotations

from edgebuild.model.profile import Cpu

# A helper that spins takes over in one or two microseconds, one that sleeps in ten or more; a
# part this long makes up for it either way.
LEAST_PART_S = 10e-6

# Share of the peak that a kernel may be taken to reach. Too high a guess splits too little,
# which costs less than splitting too much.
EFFICIENCY = 0.5
BYTES_PER_CYCLE = 8  # from beyond the caches nearest to the core


def split(macs: int, bytes_moved: int, extent: int, dtype: str, cpu: Cpu) -> int:
    """Into how many parts to cut a loop of ``extent`` iterations at most; 1: leave it whole.

    ``macs`` and ``bytes_moved`` are the whole kernel's, ``dtype`` is what it multiplies. The answer depends on the profile only,
    so that the same input gives the same code.
    """
    if cpu.cores <= 1 or extent <= 1:
        return 1
    peak = cpu.macs_per_cycle_int8 if dtype == "int8" else cpu.macs_per_cycle_f32
    per_cycle = max(peak, 1.0) * EFFICIENCY
    cycles = macs / per_cycle + bytes_moved / BYTES_PER_CYCLE
    parts = int(cycles / (cpu.clock_mhz * 1e6) / LEAST_PART_S)
    return max(1, min(parts, extent))
