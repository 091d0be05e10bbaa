# SPDX-License-Identifier: Apache-2.0
"""Roofline: how long each operator takes, from its counts and what the machine can do.

An operator takes as long as the slower of its arithmetic and its traffic, plus a share of the
faster, because only part of the one hides behind the other (how much is the family's), plus what a
call costs: some cycles, and its code, which nothing fetches ahead.

Arithmetic, in cycles, is the sum of

* multiply-adds, in whole vectors and whole groups of four int8 products, at the core's peak,
  times what the family's kernels take in place of one cycle at the peak;
* what each vector of results costs to start, to store and to have each of its scalar functions
  computed (an activation, a requantisation, a residual);
* what each vector of inputs costs to load and rearrange;
* what each walk costs to begin anew (a row of an image, a row of a softmax).

Traffic runs at the bandwidth of the innermost cache that holds the data. Weights are read once
in an inference, so that is the cache that holds the whole model's; activations come from the one
that holds all that was used since they were.

The costs are in cycles for each vector, of a core with two units for vectors; they belong to the
kernels more than to that core. They are fitted by ``benchmarks/calibrate.py`` to networks drawn at
random, none of which is used to judge the predictions (docs/decisions/0204).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

from edgebuild.model.profile import Cpu, Profile


class Counts(NamedTuple):
    """Units of work."""

    product: float  # cycles of multiply-adds at the peak
    result: float  # vectors of results
    read: float  # vectors of inputs
    run: float  # walks, times the vectors across each


class Costs(NamedTuple):
    """Cycles of one kernel family, for each unit of work."""

    product: float
    result: float
    read: float
    run: float
    hidden: float = 0.75  # of the faster of arithmetic and traffic, what hides behind the slower


COSTS: Mapping[tuple[str, str], Costs] = {
    ("conv2d", "float32"): Costs(1.03, 0.27, 0.45, 0.00, 1.00),
    ("conv2d", "int8"): Costs(0.99, 2.48, 2.76, 0.00, 1.00),
    ("copy", "float32"): Costs(0.00, 0.00, 0.00, 0.84, 0.00),
    ("dense", "float32"): Costs(1.02, 0.07, 0.28, 0.00, 1.00),
    ("dense", "int8"): Costs(0.97, 1.38, 2.71, 0.00, 0.75),
    ("depthwise2d", "float32"): Costs(0.77, 0.00, 0.00, 0.00, 0.00),
    ("depthwise2d", "int8"): Costs(3.01, 0.92, 3.29, 0.00, 1.00),
    ("elementwise", "float32"): Costs(0.00, 0.00, 0.00, 0.00, 0.00),
    ("elementwise", "int8"): Costs(0.00, 1.39, 6.44, 8.35, 0.50),
    ("gather", "float32"): Costs(0.00, 0.00, 0.00, 0.00, 0.00),
    ("layer_norm", "float32"): Costs(0.00, 5.08, 0.00, 6.81, 0.75),
    ("matmul", "float32"): Costs(1.10, 0.00, 0.46, 128.49, 1.00),
    ("pool2d", "float32"): Costs(0.00, 0.00, 2.07, 0.00, 0.50),
    ("reduce", "float32"): Costs(0.00, 0.00, 0.63, 5.79, 0.00),
    ("reduce", "int8"): Costs(0.00, 0.00, 3.43, 30.58, 1.00),
    ("softmax", "float32"): Costs(0.00, 12.89, 0.00, 17.60, 1.00),
    ("softmax", "int8"): Costs(0.00, 25.30, 0.00, 64.04, 1.00),
    ("winograd", "float32"): Costs(1.13, 0.32, 0.75, 0.00, 0.75),
}
OTHER_COSTS = Costs(1.0, 4.0, 2.0, 0.0)

FUNCTIONS: Mapping[str, float] = {
    "abs": 0.1,
    "add": 0.0,
    "add_int8": 4.2,
    "clamp": 0.9,
    "div": 0.0,
    "erf": 8.7,
    "exp": 10.3,
    "floor": 0.9,
    "log": 19.1,
    "logistic": 16.3,
    "lookup": 2.2,
    "mul": 0.1,
    "mul_int8": 1.4,
    "number": 0.3,
    "requantise": 0.0,
    "requantise_real": 1.4,
    "sqrt": 0.9,
    "sub": 0.1,
    "tanh": 8.1,
}
OTHER_FUNCTION = 2.0

# The costs are cycles of a core that begins so many vector multiply-adds in one; what a core with
# fewer units does beside multiplying takes longer in proportion.
PACE = 2.0

CALL_CYCLES = 63  # prologue, loop set-up and the branches that a new kernel mispredicts

# Code is read once in an inference, as weights are, and from as far; but nothing fetches ahead. So
# a call takes as long as so many bytes of data.
CODE_BYTES = 0

# What a profile does not say: registers per cycle that stream from the first and second cache.
L1_REGISTERS_PER_CYCLE = 1.5
L2_REGISTERS_PER_CYCLE = 0.5


#: Of an operator, as ``kernels/work.py`` counts them. ``activations``, where the memory plan is
#: known: pairs of bytes moved and of bytes used since those were.
FACTS = ("name", "kind", "macs", "bytes_moved", "weights_read_bytes", "activations", "work")


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

    Each operator has FACTS. Answers one row for each: the first four of them with ``time_s`` and
    ``bound`` ("compute", "memory" or "call").
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
    activations = (row["bytes_moved"] - _weights_read(row) for row in rows)
    return sum(_weights_read(row) for row in rows) + max(activations, default=0)


def operator_time(
    operator: Mapping[str, Any], limits: Machine, footprint_bytes: float
) -> tuple[float, str]:
    """Seconds that one operator takes on one core, and what bounds it."""
    call = CALL_CYCLES / limits.clock_hz + CODE_BYTES / limits.bytes_per_s(footprint_bytes)
    compute = compute_s(operator, limits)
    traffic = traffic_s(operator, limits, footprint_bytes)
    hidden = costs_of(operator).hidden * min(compute, traffic)
    bounds = {"compute": compute, "memory": traffic, "call": call}
    return compute + traffic - hidden + call, max(bounds, key=lambda name: bounds[name])


def at_best(operator: Mapping[str, Any], limits: Machine, footprint_bytes: float) -> float:
    """Seconds of the roofline itself: every unit busy, no call, nothing waited for."""
    work = operator["work"]
    products = operator["macs"]
    if "family" in work:  # fewer than the operator's definition says
        products = work["rows"] * work["columns"] * work["products"]
    ideal = products / limits.macs_per_s[arithmetic(operator)]
    return float(max(ideal, traffic_s(operator, limits, footprint_bytes)))


def family(operator: Mapping[str, Any]) -> tuple[str, str]:
    """The kernel family whose costs an operator has."""
    return operator["work"].get("family", operator["kind"]), arithmetic(operator)


def costs_of(operator: Mapping[str, Any]) -> Costs:
    """What its family costs."""
    return COSTS.get(family(operator), OTHER_COSTS)


def arithmetic(operator: Mapping[str, Any]) -> str:
    """ "int8" or "float32": what the multiply-adds are done in."""
    return str(operator["work"]["arithmetic"])


def compute_s(operator: Mapping[str, Any], limits: Machine) -> float:
    """Seconds of arithmetic."""
    costs = costs_of(operator)
    counted = counts(operator, limits)
    functions = operator["work"]["functions"]
    each = sum(FUNCTIONS.get(name, OTHER_FUNCTION) * many for name, many in functions.items())
    rest = (costs.result + each) * counted.result
    rest += costs.read * counted.read + costs.run * counted.run
    pace = limits.macs_per_s["float32"] / limits.lanes / limits.clock_hz
    return float(costs.product * counted.product + rest * PACE / pace) / limits.clock_hz


def counts(operator: Mapping[str, Any], limits: Machine) -> Counts:
    """How many units of each cost an operator has.

    What remains of a row takes a vector, as the whole of one would.
    """
    work, kind = operator["work"], arithmetic(operator)
    across = ceil(work["columns"] / limits.lanes)
    vectors = work["rows"] * across
    group = 4 if kind == "int8" and work["stretch"] > 1 else 1
    stretch = max(1, work["stretch"])
    products = work["products"] / stretch * ceil(stretch / group) * group
    summed = vectors * limits.lanes * products
    return Counts(
        product=summed * limits.clock_hz / limits.macs_per_s[kind],
        result=vectors,
        read=work["reads"] / limits.lanes / (4 if kind == "int8" else 1),
        run=work["runs"] * (across if work["products"] else 1),
    )


def traffic_s(operator: Mapping[str, Any], limits: Machine, footprint_bytes: float) -> float:
    """Seconds of moving bytes."""
    weights = _weights_read(operator)
    near = operator["bytes_moved"] - weights
    activations = operator.get("activations", [[near, near]])
    again = operator["work"].get("passes", 1) - 1
    return float(
        weights / limits.bytes_per_s(footprint_bytes)
        + again * weights / limits.bytes_per_s(weights)
        + sum(moved / limits.bytes_per_s(used) for moved, used in activations)
    )


def _weights_read(operator: Mapping[str, Any]) -> int:
    return int(operator["weights_read_bytes"])


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
