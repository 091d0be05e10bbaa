# SPDX-License-Identifier: Apache-2.0
"""Predicted beside measured: whole models, operator families, and single operators.

    python -m benchmarks.history --json FILE
    python -m benchmarks.predictions FILE [--operators]

Predicts with the costs that planning/roofline.py has now, so that a change of them needs no new
measurement. Operators below 100 ns are counted apart: reading the clock costs a third of that.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.calibrate import machine_of
from edgebuild.kernels.bench_table import duration, is_near
from edgebuild.planning import roofline

LEAST_S = 100e-9


class Point(NamedTuple):
    """One operator."""

    model: str
    row: dict[str, Any]
    predicted_s: float
    measured_s: float

    @property
    def near(self) -> bool:
        """Whether the prediction is within a quarter of what was measured."""
        return is_near(self.predicted_s, self.measured_s)


def points(rows: Sequence[dict[str, Any]]) -> list[Point]:
    """Every operator of every model."""
    found = []
    for row in rows:
        machine = machine_of(row["machine"])
        for each in row["layers"]:
            seconds, _ = roofline.operator_time(each, machine, row["footprint_bytes"])
            found.append(Point(row["name"], each, seconds, each["median_s"]))
    return found


def share(some: Sequence[Point]) -> str:
    """How many are near, and how much of the time they take."""
    near = [each for each in some if each.near]
    time_s = sum(each.measured_s for each in some)
    part = sum(each.measured_s for each in near) / time_s if time_s else 1.0
    return f"{len(near)} of {len(some)} | {part:.0%}"


def models(rows: Sequence[dict[str, Any]], every: Sequence[Point]) -> Iterator[str]:
    """A table in Markdown. A model that runs alone takes as long as its operators together do."""
    yield (
        "| model | predicted | measured alone | ratio | beside peers "
        "| operators within 25 % | of the time |"
    )
    yield "|---|---|---|---|---|---|---|"
    near = 0
    for row in rows:
        own = [each for each in every if each.model == row["name"]]
        predicted_s = sum(each.predicted_s for each in own)
        measured_s = sum(each.measured_s for each in own)
        beside_s = row["runtimes"]["edgebuild"]["median_s"]
        near += is_near(predicted_s, measured_s)
        yield (
            f"| {row['name']} | {duration(predicted_s)} | {duration(measured_s)} "
            f"| {predicted_s / measured_s:.2f} | {duration(beside_s)} | {share(own)} |"
        )
    yield f"\n{near} of {len(rows)} models within 25 %."


def families(every: Sequence[Point]) -> Iterator[str]:
    """A table in Markdown."""
    yield "| family | operators within 25 % | of the time | predicted / measured, in all |"
    yield "|---|---|---|---|"
    sorted_in: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for each in every:
        sorted_in[roofline.family(each.row)].append(each)
    for (kind, dtype), some in sorted(sorted_in.items()):
        ratio = sum(each.predicted_s for each in some) / sum(each.measured_s for each in some)
        yield f"| {kind} {dtype} | {share(some)} | {ratio:.2f} |"
    large = [each for each in every if each.measured_s >= LEAST_S]
    small = [each for each in every if each.measured_s < LEAST_S]
    yield f"| all of 100 ns and more | {share(large)} | |"
    yield f"| all below | {share(small)} | |"


def operators(every: Sequence[Point]) -> Iterator[str]:
    """One line for each, the worst last."""
    for each in sorted(every, key=lambda p: abs(p.predicted_s / p.measured_s - 1)):
        work = each.row["work"]
        yield (
            f"{each.predicted_s / each.measured_s:6.2f}  {duration(each.measured_s):>8}  "
            f"{' '.join(roofline.family(each.row)):20} {each.model:30} "
            f"{work['rows']}x{work['columns']}x{work['products']} {each.row['name'][-30:]}"
        )


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("measured", type=Path, help="what benchmarks.history --json wrote")
    parser.add_argument("--operators", action="store_true", help="each operator, the worst last")
    arguments = parser.parse_args()
    rows = json.loads(arguments.measured.read_text())
    every = points(rows)
    print("\n".join([*models(rows, every), "", *families(every)]))
    if arguments.operators:
        print("\n".join(operators(every)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
