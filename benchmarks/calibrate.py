# SPDX-License-Identifier: Apache-2.0
"""Fit the roofline's costs to networks drawn at random, and say how far it is off.

    python -m benchmarks.calibrate [--seeds N] [--keep FILE]     measure, and print the costs
    python -m benchmarks.calibrate --from FILE                   fit again to what was measured

The costs go into ``planning/roofline.py``. None of the networks that benchmarks/README.md judges
the predictions by is among those measured here.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.host.processor import this_processor
from edgebuild.kernels import bench, hostcpu, roofline_host
from edgebuild.kernels.bench_table import is_near
from edgebuild.planning import roofline
from tests import models_random

Array = NDArray[np.float64]
Row = dict[str, Any]
LEAST_S = 0.03e-6  # below, the counter that is read between operators is what is measured
ROUNDS = 12


def measure(seeds: range) -> dict[str, Any]:
    """Operators of random networks with their median times."""
    cpu = hostcpu.describe(this_processor())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        machine = roofline_host.measure(cpu, work)
        for path in models_random.write(work, seeds):
            result = bench.run([path], cpu=cpu, work=work, machine=machine, seconds=0.0)
            (model,) = result["models"]
            rows += [{**each, "footprint": model["footprint_bytes"]} for each in model["layers"]]
            print(path.name, len(rows), file=sys.stderr, flush=True)
        limits = result["machine"]
    return {"machine": limits, "rows": rows}


def machine_of(limits: dict[str, Any]) -> roofline.Machine:
    """The machine that was measured, from ``bench.run``'s answer."""
    return roofline.Machine(
        clock_hz=limits["clock_hz"],
        lanes=limits["lanes"],
        macs_per_s=limits["macs_per_s"],
        bandwidth=tuple((size, rate) for size, rate in limits["bandwidth"]),
    )


def names(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Every cost that the rows say something about: of a family, or of a function."""
    families = {(*roofline.family(row), cost) for row in rows for cost in COSTS}
    functions = {(name,) for row in rows for name in row["work"]["functions"]}
    return [*sorted(families), *sorted(functions)]


COSTS = roofline.Costs._fields


def counted(row: Row, machine: roofline.Machine) -> dict[tuple[str, ...], float]:
    """How often each cost is incurred, in seconds for one cycle each."""
    counts = roofline.counts(row, machine)
    found: dict[tuple[str, ...], float] = {
        (*roofline.family(row), name): count / machine.clock_hz
        for name, count in zip(COSTS, counts, strict=True)
    }
    for name, many in row["work"]["functions"].items():
        found[name,] = many * counts.result / machine.clock_hz
    return found


def fitted(kept: dict[str, Any], overlapped: float) -> tuple[dict[tuple[str, ...], float], float]:
    """Costs that predict the rows best, and the root mean square of the relative errors."""
    machine = machine_of(kept["machine"])
    rows = [row for row in kept["rows"] if row["median_s"] > LEAST_S]
    keys = names(rows)
    table = np.zeros((len(rows), len(keys)))
    for number, row in enumerate(rows):
        for key, value in counted(row, machine).items():
            table[number, keys.index(key)] = value
    call = roofline.CALL_CYCLES / machine.clock_hz
    taken = np.array([row["median_s"] for row in rows]) - call
    traffic = np.array([roofline.traffic_s(row, machine, row["footprint"]) for row in rows])
    costs = np.ones(len(keys))
    for _ in range(ROUNDS):
        compute = table @ costs
        slower = compute >= traffic
        share = np.where(slower, 1.0, 1 - overlapped)
        rest = taken - traffic * np.where(slower, 1 - overlapped, 1.0)
        costs = robust(table * share[:, None], rest, taken, costs)
    compute = table @ costs
    told = compute + traffic - overlapped * np.minimum(compute, traffic)
    errors = np.log((told + call) / (taken + call))
    return dict(zip(keys, costs, strict=True)), float(np.median(np.abs(errors)))


def robust(table: Array, wanted: Array, scale: Array, start: Array) -> Array:
    """Costs ≥ 0 with ``table @ costs`` near ``wanted``, in units of ``scale``.

    Rows that fit badly weigh less, so that one disturbed measurement moves nothing.
    """
    costs = start
    for _ in range(3):
        off = np.abs(table @ costs - wanted) / scale
        weight = 1 / scale / np.sqrt(1 + (off / 0.15) ** 2)
        costs = not_negative(table * weight[:, None], wanted * weight)
    return costs


def not_negative(table: Array, wanted: Array) -> Array:
    """Least squares with every unknown ≥ 0, one unknown at a time until nothing moves."""
    square, side = table.T @ table, table.T @ wanted
    diagonal = np.maximum(np.diag(square), 1e-300)
    x = np.zeros(len(side))
    for _ in range(20000):
        before = x.copy()
        for i in range(len(x)):
            x[i] = max(0.0, x[i] + (side[i] - square[i] @ x) / diagonal[i])
        if np.max(np.abs(x - before)) < 1e-5 * max(1.0, float(np.max(x))):
            break
    return x


def lines(costs: dict[tuple[str, ...], float], rows: Sequence[Row]) -> Iterator[str]:
    """The tables, as roofline.py has them."""
    for family in sorted({key[:2] for key in costs if len(key) == 3}):
        four = ", ".join(f"{costs[*family, name]:.2f}" for name in COSTS)
        yield f'    ("{family[0]}", "{family[1]}"): Costs({four}),'
    for name in sorted(key[0] for key in costs if len(key) == 1):
        yield f'    "{name}": {costs[name,]:.1f},'
    seen = Counter(roofline.family(row) for row in rows)
    yield f"# operators: {dict(seen)}"


def inside(kept: dict[str, Any]) -> str:
    """How many operators the costs in use predict within a quarter."""
    machine = machine_of(kept["machine"])
    told: Counter[tuple[str, str]] = Counter()
    every: Counter[tuple[str, str]] = Counter()
    for row in kept["rows"]:
        family = roofline.family(row)
        predicted, _ = roofline.operator_time(row, machine, row["footprint"])
        every[family] += 1
        told[family] += is_near(predicted, row["median_s"])
    return "\n".join(f"{family}: {told[family]} of {every[family]}" for family in sorted(every))


def main() -> int:
    """Measure or read, fit, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8, help="networks of each kind")
    parser.add_argument("--keep", type=Path, help="write what was measured")
    parser.add_argument("--from", dest="kept", type=Path, help="what --keep wrote")
    arguments = parser.parse_args()
    if arguments.kept:
        kept = json.loads(arguments.kept.read_text())
    else:
        kept = measure(range(1, 1 + arguments.seeds))
    if arguments.keep:
        arguments.keep.write_text(json.dumps(kept))
    for overlapped in (0.0, 0.25, 0.5, 0.75, 1.0):
        costs, error = fitted(kept, overlapped)
        print(f"# overlapped {overlapped}: half of the operators within {error:.1%}")
        if overlapped == roofline.OVERLAPPED:
            print("\n".join(lines(costs, kept["rows"])))
    print(inside(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
