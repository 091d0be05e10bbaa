# SPDX-License-Identifier: Apache-2.0
"""Roofline: how long each operator takes, from its counts and what the machine can do.

An operator takes as long as the slower of its arithmetic and its traffic, plus what a call
costs. The arithmetic is multiply-adds, at the share of the core's peak that the family's kernels
reach and that the last, partly filled vector of a row leaves, and the finishing of each vector
of results. The traffic runs at the bandwidth of the innermost cache that holds the data. Weights
are read once in an inference, so that is the cache that holds the whole model's; activations
were written just before.

`edgebuild bench --host` prints predicted beside measured; benchmarks/README.md has the figures
that the constants come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

from edgebuild.model.profile import Cpu, Profile

# What a family's kernels cost, by accumulated type: cycles of multiply-adds for each that the
# peak would take, and cycles for each vector of results (requantising, activation, storing).
COSTS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("conv2d", "float32"): (1.25, 1.0),
    ("conv2d", "int8"): (1.20, 5.6),
    ("dense", "float32"): (1.15, 1.0),
    ("dense", "int8"): (1.30, 3.0),
    ("matmul", "float32"): (1.00, 8.0),
    ("matmul", "int8"): (1.20, 6.8),
    ("depthwise2d", "float32"): (2.30, 0.8),
    ("depthwise2d", "int8"): (5.20, 4.6),
    ("softmax", "float32"): (0.0, 18.0),
    ("softmax", "int8"): (0.0, 40.0),
    ("layer_norm", "float32"): (0.0, 7.0),
    ("pool2d", "float32"): (0.0, 20.0),
    ("pool2d", "int8"): (0.0, 20.0),
    ("reduce", "float32"): (0.0, 25.0),
    ("reduce", "int8"): (0.0, 30.0),
}
OTHER_COSTS = (2.0, 4.0)
ADD_CYCLES = 13.0  # more for each vector where an int8 residual is added before storing

CALL_CYCLES = 40  # prologue, loop set-up and the branches that a new kernel mispredicts

# What a profile does not say: registers per cycle that stream from the first and second cache.
L1_REGISTERS_PER_CYCLE = 1.5
L2_REGISTERS_PER_CYCLE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One core's limits. ``bandwidth`` has (working set in bytes, bytes per second), ascending."""

    clock_hz: float
    lanes: int  # 32-bit lanes of a vector; 1 without vectors
    macs_per_s: Mapping[str, float]  # by "float32" and "int8"
    bandwidth: tuple[tuple[float, float], ...]

    def bytes_per_s(self, working_set_bytes: float) -> float:
        """What streams when so many bytes are in use."""
        for size, rate in self.bandwidth:
            if working_set_bytes <= size:
                return rate
        return self.bandwidth[-1][1]


def machine(cpu: Cpu, memory_bytes_per_s: float) -> Machine:
    """The machine that a profile describes."""
    caches = (cpu.cache.l1d_bytes, cpu.cache.l2_bytes)
    return Machine(
        clock_hz=cpu.clock_mhz * 1e6,
        lanes=max(1, cpu.vector_bits // 32),
        macs_per_s={dtype: peak_macs_per_s(cpu, dtype) for dtype in ("float32", "int8")},
        bandwidth=(
            *((size, bandwidth(cpu, size, memory_bytes_per_s)) for size in caches),
            (float("inf"), memory_bytes_per_s),
        ),
    )


def predict(operators: Iterable[Mapping[str, Any]], profile: Profile) -> list[dict[str, Any]]:
    """Predict each operator's time on one core of ``profile``.

    Each operator has ``name``, ``kind``, ``macs``, ``bytes_moved``, ``weights_bytes``, ``dtype``
    and ``output_shape``. Answers one row for each: the first four with ``time_s`` and ``bound``
    ("compute", "memory" or "call").
    """
    rows = list(operators)
    limits = machine(profile.cpu, profile.memory.bandwidth_bytes_per_s)
    return [
        {
            **{key: row[key] for key in ("name", "kind", "macs", "bytes_moved")},
            **dict(zip(("time_s", "bound"), operator_time(row, limits, all_bytes), strict=True)),
        }
        for all_bytes in [footprint(rows)]
        for row in rows
    ]


def footprint(operators: Iterable[Mapping[str, Any]]) -> int:
    """Bytes that one inference goes through: every weight, and the largest activations."""
    rows = list(operators)
    activations = (row["bytes_moved"] - row.get("weights_bytes", 0) for row in rows)
    weights = (row.get("weights_bytes", 0) for row in rows)
    return int(sum(weights) + max(activations, default=0))


def operator_time(
    operator: Mapping[str, Any], limits: Machine, footprint_bytes: float
) -> tuple[float, str]:
    """Seconds that one operator takes on one core, and what bounds it."""
    call = CALL_CYCLES / limits.clock_hz
    compute = _compute_s(operator, limits)
    traffic = _traffic_s(operator, limits, footprint_bytes)
    bounds = {"compute": compute, "memory": traffic, "call": call}
    return max(compute, traffic) + call, max(bounds, key=lambda name: bounds[name])


def at_best(operator: Mapping[str, Any], limits: Machine, footprint_bytes: float) -> float:
    """Seconds of the roofline itself: every unit busy, no call, nothing waited for."""
    ideal = operator["macs"] / limits.macs_per_s[_accumulated(operator)]
    return float(max(ideal, _traffic_s(operator, limits, footprint_bytes)))


def _accumulated(operator: Mapping[str, Any]) -> str:
    return "int8" if operator.get("dtype") in ("int8", "uint8") else "float32"


def _compute_s(operator: Mapping[str, Any], limits: Machine) -> float:
    shape = operator.get("output_shape") or [1]
    dtype = _accumulated(operator)
    vectors = ceil(shape[-1] / limits.lanes)
    filled = shape[-1] / (vectors * limits.lanes) if shape[-1] else 1.0
    each_mac, each_vector = COSTS.get((operator["kind"], dtype), OTHER_COSTS)
    if dtype == "int8" and "add" in operator.get("fused", "").split("+")[1:]:
        each_vector += ADD_CYCLES
    multiplying = operator["macs"] / limits.macs_per_s[dtype] / filled * each_mac
    finishing = prod(shape[:-1]) * vectors * each_vector / limits.clock_hz
    return float(multiplying + finishing)


def _traffic_s(operator: Mapping[str, Any], limits: Machine, footprint_bytes: float) -> float:
    weights = operator.get("weights_bytes", 0)
    activations = operator["bytes_moved"] - weights
    from_weights = weights / limits.bytes_per_s(footprint_bytes)
    return float(from_weights + activations / limits.bytes_per_s(activations))


def peak_macs_per_s(cpu: Cpu, dtype: str) -> float:
    """Multiply-adds per second of one core at its best."""
    per_cycle = cpu.macs_per_cycle_int8 if dtype in ("int8", "uint8") else cpu.macs_per_cycle_f32
    return per_cycle * cpu.clock_mhz * 1e6


def bandwidth(cpu: Cpu, working_set_bytes: int, memory_bytes_per_s: float) -> float:
    """Bytes per second that one core of a profile streams with so many bytes in use."""
    per_cycle = max(cpu.vector_bits, 64) / 8 * cpu.clock_mhz * 1e6
    if working_set_bytes <= cpu.cache.l1d_bytes:
        return per_cycle * L1_REGISTERS_PER_CYCLE
    if working_set_bytes <= cpu.cache.l2_bytes:
        return max(per_cycle * L2_REGISTERS_PER_CYCLE, memory_bytes_per_s)
    return memory_bytes_per_s
