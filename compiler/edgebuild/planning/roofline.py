# SPDX-License-Identifier: Apache-2.0
"""Roofline: how long each operator takes, from its counts and what the machine can do.

An operator takes as long as its arithmetic, or as the caches near the core take to give it its
data if that is longer, plus what it waits for data that are farther away, plus what a call costs:
some cycles, and its code, which nothing fetches ahead.

Arithmetic, in cycles, is the sum of

* multiply-adds, in whole vectors and whole groups of four int8 products, at the core's peak, or
  the loads that they need where those take longer, times what the family's kernels take in place
  of one cycle at the peak;
* what each vector of results costs to start, to store and to have each of its scalar functions
  computed (an activation, a requantisation, a residual);
* what each vector of inputs costs to load and rearrange;
* what each walk costs to begin anew (a row of an image, a row of a softmax).

Traffic runs at the bandwidth of the innermost cache that holds the data. Weights are read once
in an inference, so that is the cache that holds the whole model's; activations come from the one
that holds all that was used since they were. What a core with work in hand does not wait for is
a second cache; the rest of the traffic counts ``far`` times, which tells how regularly a family's
kernels read.

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
    far: float = 1.0  # waited for each cycle of streaming from beyond the near caches
    hidden: float = 0.75  # of the faster of arithmetic and near caches, what hides behind the other


COSTS: Mapping[tuple[str, str], Costs] = {
    ("conv2d", "float32"): Costs(0.99, 0.34, 0.00, 4.51, 2.30, 0.75),
    ("conv2d", "int8"): Costs(1.00, 2.14, 2.59, 0.69, 1.59, 1.00),
    ("copy", "float32"): Costs(0.00, 0.00, 0.73, 0.70, 2.08, 0.50),
    ("dense", "float32"): Costs(0.98, 0.98, 0.37, 8.86, 1.10, 1.00),
    ("dense", "int8"): Costs(1.00, 1.09, 2.93, 6.51, 1.22, 1.00),
    ("depthwise2d", "float32"): Costs(0.90, 0.00, 0.00, 0.00, 1.75, 0.75),
    ("depthwise2d", "int8"): Costs(2.68, 0.76, 2.96, 2.89, 2.61, 1.00),
    ("elementwise", "float32"): Costs(0.00, 0.10, 0.10, 0.00, 1.27, 0.50),
    ("elementwise", "int8"): Costs(0.00, 2.32, 9.28, 0.00, 0.00, 0.00),
    ("fold", "float32"): Costs(0.00, 4.12, 0.60, 4.12, 1.60, 1.00),
    ("gather", "float32"): Costs(0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    ("layer_norm", "float32"): Costs(0.00, 2.22, 2.22, 10.33, 1.37, 1.00),
    ("matmul", "float32"): Costs(0.90, 1.02, 0.65, 5.11, 2.48, 0.00),
    ("pool2d", "float32"): Costs(0.00, 0.00, 1.60, 0.00, 0.59, 0.75),
    ("reduce", "float32"): Costs(0.00, 0.00, 1.59, 0.00, 0.60, 0.75),
    ("reduce", "int8"): Costs(0.00, 0.00, 2.19, 0.00, 0.30, 0.25),
    ("softmax", "float32"): Costs(0.00, 5.65, 5.65, 18.08, 0.37, 0.50),
    ("softmax", "int8"): Costs(0.00, 12.87, 51.47, 37.82, 0.40, 1.00),
    ("winograd", "float32"): Costs(0.99, 0.00, 0.81, 0.26, 1.34, 0.75),
}
OTHER_COSTS = Costs(1.0, 4.0, 2.0, 0.0)

FUNCTIONS: Mapping[str, float] = {
    "abs": 0.0,
    "add": 0.1,
    "add_int8": 4.2,
    "clamp": 0.0,
    "div": 0.4,
    "erf": 7.5,
    "exp": 9.7,
    "floor": 1.3,
    "log": 17.3,
    "logistic": 15.1,
    "lookup": 2.4,
    "mul": 0.3,
    "mul_int8": 2.3,
    "number": 0.0,
    "requantise": 0.0,
    "requantise_real": 1.1,
    "sqrt": 1.4,
    "sub": 0.0,
    "tanh": 6.6,
}
OTHER_FUNCTION = 2.0

# The costs are cycles of a core that begins so many vector multiply-adds in one; what a core with
# fewer units does beside multiplying takes longer in proportion.
PACE = 2.0

LINE_BYTES = 64

# Caches that give a third of what the first one does, or more, are near: the core has enough in
# hand to go on while they answer.
NEAR = 1 / 3

CALL_CYCLES = 46  # prologue, loop set-up and the branches that a new kernel mispredicts

# Code is read once in an inference, as weights are, and from as far; but nothing fetches ahead. So
# a call takes as long as so many bytes of data.
CODE_BYTES = 831

# What is read again comes in short streams, one for each row of a window, which nothing fetches
# ahead: per cent of the time that as much takes in one stream.
AGAIN = 289

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
        """What streams when so many bytes are in use.

        Between two sizes that were measured near one another, seconds for a byte change evenly.
        """
        below = self.bandwidth[0]
        for size, rate in self.bandwidth:
            if working_set_bytes <= size:
                if not below[0] < working_set_bytes < size <= 2 * below[0]:
                    return rate
                part = (working_set_bytes - below[0]) / (size - below[0])
                return 1 / ((1 - part) / below[1] + part / rate)
            below = size, rate
        return below[1]


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
    near, far = traffic_s(operator, limits, footprint_bytes)
    costs = costs_of(operator)
    waited = costs.far * far + (1 - costs.hidden) * min(compute, near)
    waited += AGAIN / 100 * again_s(operator, limits)
    bounds = {"compute": compute, "memory": near + far, "call": call}
    seconds = max(compute, near) + waited + call
    return seconds, max(bounds, key=lambda name: bounds[name])


def at_best(operator: Mapping[str, Any], limits: Machine, footprint_bytes: float) -> float:
    """Seconds of the roofline itself: every unit busy, no call, nothing waited for."""
    work = operator["work"]
    products = operator["macs"]
    if "family" in work:  # fewer than the operator's definition says
        products = work["rows"] * work["columns"] * work["products"]
    ideal = products / limits.macs_per_s[arithmetic(operator)]
    return float(max(ideal, sum(traffic_s(operator, limits, footprint_bytes))))


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
    """How many units of each cost an operator has."""
    work, kind = operator["work"], arithmetic(operator)
    across = vectors_across(work["columns"], limits.lanes, work.get("tail"))
    vectors = work["rows"] * across
    width = work["columns"] / across if work.get("tail") == "pieces" and across else limits.lanes
    group = 4 if kind == "int8" and work["stretch"] > 1 else 1
    stretch = max(1, work["stretch"])
    products = work["products"] / stretch * ceil(stretch / group) * group
    summed = vectors * limits.lanes * products / limits.macs_per_s[kind]
    loaded = work.get("loads", 0) * vectors * _load_s(work["columns"], limits)
    return Counts(
        product=max(summed, loaded) * limits.clock_hz,
        result=vectors,
        read=work["reads"] / width / (4 if kind == "int8" else 1),
        run=work["runs"] * (across if work["products"] else 1),
    )


def vectors_across(columns: int, lanes: int, tail: str | None) -> int:
    """Vectors that a row takes: what remains of it takes one, as the whole of one would.

    Unless ``tail`` says that it is done in "pieces", powers of two; or "twice" in part, by vectors
    that are no wider than the row.
    """
    if tail == "twice":
        lanes = min(lanes, 1 << max(0, columns.bit_length() - 1))
    whole, rest = divmod(columns, lanes)
    return whole + (rest.bit_count() if tail == "pieces" else rest > 0)


def _load_s(columns: int, limits: Machine) -> float:
    """Seconds to load a vector from the first cache, on average over a row of ``columns``.

    One that is not aligned lies on two lines more often than not.
    """
    vector_bytes = 4 * limits.lanes
    aligned = 4 * columns % vector_bytes == 0
    lines = 1 if aligned else 1 + vector_bytes / LINE_BYTES
    return lines * vector_bytes / limits.bytes_per_s(0)


def traffic_s(
    operator: Mapping[str, Any], limits: Machine, footprint_bytes: float
) -> tuple[float, float]:
    """Seconds of moving bytes: what near caches would take for all, and what others take longer."""
    weights, work = _weights_read(operator), operator["work"]
    activations = operator["bytes_moved"] - weights
    moved = [
        (weights, footprint_bytes),
        ((work.get("passes", 1) - 1) * weights, weights),
        *operator.get("activations", [[activations, activations]]),
    ]
    near = limits.bytes_per_s(0) * NEAR
    rates = [(size, limits.bytes_per_s(used)) for size, used in moved]
    return (
        float(sum(size / max(rate, near) for size, rate in rates)),
        float(sum(size / rate - size / near for size, rate in rates if rate < near)),
    )


def again_s(operator: Mapping[str, Any], limits: Machine) -> float:
    """Seconds of streaming what is read again and is no longer in the first cache."""
    first = limits.bytes_per_s(0)
    again = operator["work"].get("again", [])
    return float(sum(size * (1 / limits.bytes_per_s(used) - 1 / first) for size, used in again))


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
