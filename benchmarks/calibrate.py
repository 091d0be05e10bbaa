# SPDX-License-Identifier: Apache-2.0
"""Fit the roofline's costs to networks drawn at random, and say how far it is off.

    python -m benchmarks.calibrate [--seeds N] [--keep FILE]     measure, and print the costs
    python -m benchmarks.calibrate --from FILE...                fit again to what was measured

Of several files of the same networks, the least time of each operator counts, as the best of
several looks at the machine does: what else a machine did is not what kernels cost.

With --write the costs go into ``planning/roofline.py``. None of the networks that
benchmarks/README.md judges the predictions by is among those measured here.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgebuild.host.processor import this_processor
from edgebuild.kernels import bench, hostcpu, roofline_host
from edgebuild.kernels.bench_table import is_near
from edgebuild.planning import roofline
from tests import models_random

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Row = dict[str, Any]
Family = tuple[str, str]
LEAST_S = 0.03e-6  # below, the counter that is read between operators is what is measured
ROUNDS = 3  # each: which half is the slower, which rows fit badly, what hides
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


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


#: What comes on top of arithmetic and traffic.
CALLS = (("call", "cycles"), ("code", "bytes"), ("again", "per cent"))


def names(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Every cost that the rows say something about: of calls, of a family, or of a function."""
    families = {(*roofline.family(row), cost) for row in rows for cost in (*COSTS, "far")}
    functions = {(name,) for row in rows for name in row["work"]["functions"]}
    return [*CALLS, *sorted(families), *sorted(functions)]


COSTS = roofline.Counts._fields


def counted(row: Row, machine: roofline.Machine) -> dict[tuple[str, ...], float]:
    """How often each cost is incurred, in seconds for one cycle each."""
    counts = roofline.counts(row, machine)
    found: dict[tuple[str, ...], float] = {
        (*roofline.family(row), name): count / machine.clock_hz
        for name, count in zip(COSTS, counts, strict=True)
    }
    for name, many in row["work"]["functions"].items():
        found[name,] = many * counts.result / machine.clock_hz
    found[*roofline.family(row), "far"] = roofline.traffic_s(row, machine, row["footprint"])[1]
    found["call", "cycles"] = 1 / machine.clock_hz
    found["again", "per cent"] = roofline.again_s(row, machine) / 100
    found["code", "bytes"] = 1 / machine.bytes_per_s(row["footprint"])
    return found


class Fitted(NamedTuple):
    """What ``fitted`` found: costs, what hides of each family, and how far off the median is."""

    costs: dict[tuple[str, ...], float]
    hidden: dict[Family, float]
    error: float


def fitted(kept: dict[str, Any]) -> Fitted:
    """Costs that predict the rows best."""
    fit = Fit(kept)
    hidden = dict.fromkeys(fit.families, 0.5)
    for _ in range(ROUNDS):
        costs = fit.costs(fit.everything, hidden, np.ones(len(fit.keys)))
        hidden = {each: fit.best(each, hidden, costs) for each in fit.families}
    costs = fit.costs(fit.everything, hidden, costs)
    costs[~fit.table.any(axis=0)] = 0
    error = float(np.median(fit.errors(fit.everything, hidden, costs)))
    return Fitted(dict(zip(fit.keys, costs, strict=True)), hidden, error)


class Fit:
    """Measured operators as equations in the costs: linear, where it is known what is slower."""

    def __init__(self, kept: dict[str, Any]) -> None:
        machine = machine_of(kept["machine"])
        rows = [row for row in kept["rows"] if row["median_s"] > LEAST_S]
        self.keys, self.everything = names(rows), np.ones(len(rows), bool)
        self.families = sorted({roofline.family(row) for row in rows})
        self.rows_of = {
            each: np.array([roofline.family(row) == each for row in rows]) for each in self.families
        }
        self.table = np.zeros((len(rows), len(self.keys)))
        for number, row in enumerate(rows):
            for key, value in counted(row, machine).items():
                self.table[number, self.keys.index(key)] = value
        self.taken = np.array([row["median_s"] for row in rows])
        self.near = np.array(
            [roofline.traffic_s(row, machine, row["footprint"])[0] for row in rows]
        )
        self.always = np.array([key in CALLS or key[-1] == "far" for key in self.keys])

    def costs(self, chosen: Mask, hidden: Mapping[Family, float], start: Array) -> Array:
        """Those of the chosen rows; the others stay as they are."""
        share = self._shown(hidden)[chosen]
        table, near, taken = self.table[chosen], self.near[chosen], self.taken[chosen]
        some, costs, compute = table.any(axis=0), start.copy(), ~self.always
        for _ in range(ROUNDS):
            slower = table[:, compute] @ costs[compute] >= near
            part = np.where(compute, np.where(slower, 1.0, share)[:, None], 1.0)
            rest = taken - near * np.where(slower, share, 1.0)
            costs[some] = robust((table * part)[:, some], rest, taken, costs[some])
        return costs

    def errors(self, chosen: Mask, hidden: Mapping[Family, float], costs: Array) -> Array:
        """Relative, of each chosen row."""
        table, near = self.table[chosen], self.near[chosen]
        compute = table[:, ~self.always] @ costs[~self.always]
        told = table[:, self.always] @ costs[self.always] + np.maximum(compute, near)
        told += self._shown(hidden)[chosen] * np.minimum(compute, near)
        found: Array = np.abs(np.log(np.maximum(told, 1e-12) / self.taken[chosen]))
        return found

    def best(self, family: Family, hidden: Mapping[Family, float], costs: Array) -> float:
        """What of the faster half hides, if all else of a family may change with it."""
        chosen = self.rows_of[family]

        def error(share: float) -> float:
            tried = {**hidden, family: share}
            return float(np.mean(np.minimum(self.errors(chosen, tried,
                         self.costs(chosen, tried, costs)), 1)))  # fmt: skip

        return min(SHARES, key=error)

    def _shown(self, hidden: Mapping[Family, float]) -> Array:
        """Of each row, the share of the faster half that does not hide."""
        shown = np.zeros(len(self.taken))
        for family, share in hidden.items():
            shown[self.rows_of[family]] = 1 - share
        return shown


def robust(table: Array, wanted: Array, scale: Array, start: Array) -> Array:
    """Costs ≥ 0 with ``table @ costs`` near ``wanted``, in units of ``scale``.

    Rows that fit badly weigh less, so that one disturbed measurement moves nothing.
    """
    costs = start
    for _ in range(3):
        off = np.abs(table @ costs - wanted) / scale
        weight = 1 / scale / np.sqrt(1 + (off / 0.15) ** 2)
        costs = not_negative(table * weight[:, None], wanted * weight, costs > 0)
    return costs


def not_negative(table: Array, wanted: Array, likely: Mask) -> Array:
    """Least squares with every unknown ≥ 0 (C. Lawson, R. Hanson, 1974: active sets).

    ``likely``: those that may be more than nothing, tried first.
    """
    size = np.maximum(np.linalg.norm(table, axis=0), 1e-300)
    table = table / size
    square, side = table.T @ table, table.T @ wanted

    def solved(free: Mask) -> Array:
        found = np.zeros(len(side))
        found[free] = np.linalg.lstsq(square[np.ix_(free, free)], side[free], rcond=None)[0]
        return found

    free = likely.copy()
    x = solved(free)
    while (x[free] <= 0).any():
        free &= x > 0
        x = solved(free)
    for _ in range(3 * len(x)):
        uphill = np.where(free, -np.inf, side - square @ x)
        if uphill.max(initial=-np.inf) <= 1e-9 * np.linalg.norm(wanted):
            break
        free[int(np.argmax(uphill))] = True
        while (low := free & ((aim := solved(free)) <= 0)).any():
            x = x + np.min(x[low] / np.maximum(x[low] - aim[low], 1e-300)) * (aim - x)
            free &= x > 1e-12
            x[~free] = 0
        x = aim
    found: Array = x / size
    return found


def lines(found: Fitted, rows: Sequence[Row]) -> Iterator[str]:
    """The tables, as roofline.py has them."""
    costs = found.costs
    yield f"CALL_CYCLES = {costs['call', 'cycles']:.0f}"
    yield f"CODE_BYTES = {costs['code', 'bytes']:.0f}"
    yield f"AGAIN = {costs['again', 'per cent']:.0f}"
    for family, hidden in sorted(found.hidden.items()):
        all_six = (*(costs[*family, name] for name in (*COSTS, "far")), hidden)
        six = ", ".join(f"{value:.2f}" for value in all_six)
        yield f'    ("{family[0]}", "{family[1]}"): Costs({six}),'
    for name in sorted(key[0] for key in costs if len(key) == 1):
        yield f'    "{name}": {costs[name,]:.1f},'
    seen = Counter(roofline.family(row) for row in rows)
    yield f"# operators: {dict(seen)}"


def written(source: str, found: Sequence[str]) -> str:
    """The text of roofline.py with these lines; of what they say nothing, it keeps its own."""
    for table in ("COSTS", "FUNCTIONS"):
        start = '    ("' if table == "COSTS" else '    "'

        def renewed(old: re.Match[str], start: str = start) -> str:
            rows = [*old[2].splitlines(), *(line for line in found if line.startswith(start))]
            known = {row.split(":", 1)[0]: row for row in rows}
            return old[1] + "".join(f"{known[key]}\n" for key in sorted(known)) + old[3]

        whole = rf"(^{table}: [^\n]*\{{\n)(.*?)(^\}})"
        source = re.sub(whole, renewed, source, flags=re.MULTILINE | re.DOTALL)
    for line in found:
        if (name := line.split(" = ")[0]).isupper():
            source = re.sub(rf"^{name} = \d+", line, source, flags=re.MULTILINE)
    return source


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


def least(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each operator the run that took least, and the most that the machine was seen to do."""
    seen = [machine_of(run["machine"]) for run in runs]
    best = roofline_host.best(seen)
    rows = zip(*(run["rows"] for run in runs), strict=True)
    return {
        "machine": {
            "clock_hz": best.clock_hz,
            "lanes": best.lanes,
            "macs_per_s": dict(best.macs_per_s),
            "bandwidth": [list(each) for each in best.bandwidth],
        },
        "rows": [min(same, key=lambda row: row["median_s"]) for same in rows],
    }


def main() -> int:
    """Measure or read, fit, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4, help="networks of each kind")
    parser.add_argument("--keep", type=Path, help="write what was measured")
    parser.add_argument("--write", action="store_true", help="put the costs into roofline.py")
    parser.add_argument("--from", dest="kept", type=Path, nargs="+", help="what --keep wrote")
    arguments = parser.parse_args()
    if arguments.kept:
        kept = least([json.loads(each.read_text()) for each in arguments.kept])
    else:
        kept = measure(range(1, 1 + arguments.seeds))
    if arguments.keep:
        arguments.keep.write_text(json.dumps(kept))
    found = fitted(kept)
    costs = list(lines(found, kept["rows"]))
    print("\n".join(costs))
    if arguments.write:
        file = Path(roofline.__file__)
        file.write_text(written(file.read_text(), costs))
    print(f"# half of the operators within {found.error:.1%}; within a quarter, as things are:")
    print(inside(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
