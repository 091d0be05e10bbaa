# SPDX-License-Identifier: Apache-2.0
"""The fit finds the costs that measurements were made with; predictions are counted."""

import json
import random
import sys

import numpy as np
import pytest

from benchmarks import calibrate, predictions
from edgebuild.planning import roofline
from tests.unit.bench_helpers import MACHINE

COSTS = {
    ("conv2d", "float32"): roofline.Costs(1.2, 3.0, 0.5, 20.0),
    ("conv2d", "int8"): roofline.Costs(1.5, 6.0, 2.0, 10.0),
}
FUNCTIONS = {"erf": 12.0, "requantise": 0.0}
LIMITS = {
    "clock_hz": MACHINE.clock_hz,
    "lanes": MACHINE.lanes,
    "macs_per_s": MACHINE.macs_per_s,
    "bandwidth": MACHINE.bandwidth,
}


@pytest.fixture
def measured(monkeypatch) -> dict[str, object]:
    """Operators that take exactly what the costs above say."""
    monkeypatch.setattr(roofline, "COSTS", COSTS)
    monkeypatch.setattr(roofline, "FUNCTIONS", FUNCTIONS)
    drawn = random.Random(1)
    rows = []
    for number in range(120):
        dtype = ("float32", "int8")[number % 2]
        products = drawn.randrange(1, 500)
        work = {
            "rows": drawn.randrange(10, 2000),
            "columns": drawn.randrange(1, 300),
            "products": products,
            "stretch": products,
            "reads": drawn.randrange(100, 100_000),
            "runs": drawn.randrange(1, 100),
            "functions": {"erf": 1} if dtype == "float32" and drawn.random() < 0.5 else {},
            "arithmetic": dtype,
        }
        row = {"name": f"o{number}", "kind": "conv2d", "macs": 0, "work": work}
        row |= {"bytes_moved": drawn.randrange(1000, 100_000), "weights_read_bytes": 0}
        row["footprint"] = 0
        row["median_s"], _ = roofline.operator_time(row, MACHINE, 0)
        rows.append(row)
    return {"machine": LIMITS, "rows": rows}


def test_the_fit_finds_the_costs(measured):
    found = calibrate.fitted(measured)
    costs = found.costs
    assert found.error < 0.01
    assert set(found.hidden.values()) == {0.75}
    for family, expected in COSTS.items():
        for name, value in zip(calibrate.COSTS, expected[:4], strict=True):
            assert costs[*family, name] == pytest.approx(value, rel=0.05, abs=0.1)
    assert costs["erf",] == pytest.approx(12, rel=0.05)
    text = "\n".join(calibrate.lines(found, measured["rows"]))
    assert '("conv2d", "float32"): Costs(1.2' in text


def test_one_disturbed_measurement_moves_nothing(measured):
    measured["rows"][3]["median_s"] *= 50
    costs = calibrate.fitted(measured).costs
    assert costs["conv2d", "int8", "product"] == pytest.approx(1.5, rel=0.05)


def test_costs_are_written_where_they_are_used():
    source = (
        'A = 1\nCOSTS: M = {\n    ("a", "b"): Costs(1),\n    ("c", "d"): Costs(2),\n}\n'
        'FUNCTIONS: M = {\n    "erf": 1.0,\n}\nCALL_CYCLES = 40  # why\n'
    )
    lines = ['    ("c", "d"): Costs(3),', '    "abs": 0.5,', "CALL_CYCLES = 7", "# operators"]
    assert calibrate.written(source, lines) == (
        'A = 1\nCOSTS: M = {\n    ("a", "b"): Costs(1),\n    ("c", "d"): Costs(3),\n}\n'
        'FUNCTIONS: M = {\n    "abs": 0.5,\n    "erf": 1.0,\n}\nCALL_CYCLES = 7  # why\n'
    )


def test_costs_are_never_negative():
    table = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    wanted = np.array([3.0, 2.0, 1.0])
    for likely in ([True, True], [False, False], [False, True]):
        found = calibrate.not_negative(table, wanted, np.array(likely))
        assert found == pytest.approx([2.0, 0.0])


def test_predictions_are_counted(measured, tmp_path, monkeypatch, capsys):
    rows = measured["rows"]
    rows[0]["median_s"] *= 2
    total = sum(row["median_s"] for row in rows)
    model = {"name": "toy", "machine": LIMITS, "footprint_bytes": 0, "layers": rows}
    model["runtimes"] = {"edgebuild": {"median_s": total}}
    file = tmp_path / "measured.json"
    file.write_text(json.dumps([model]))
    monkeypatch.setattr(sys, "argv", ["predictions", str(file), "--operators"])
    assert predictions.main() == 0
    shown = capsys.readouterr().out
    assert "119 of 120" in shown
    assert "1 of 1 models within 25 %" in shown
    assert "o0" in shown.splitlines()[-1]  # the worst comes last


def test_the_least_of_several_runs_counts(measured):
    slow = json.loads(json.dumps(measured))
    for row in slow["rows"]:
        row["median_s"] *= 3
    slow["machine"]["clock_hz"] *= 2
    slow["rows"][7]["median_s"] = 1e-9
    found = calibrate.least([slow, json.loads(json.dumps(measured))])
    assert found["machine"]["clock_hz"] == 2 * MACHINE.clock_hz
    assert found["rows"][7]["median_s"] == 1e-9
    assert found["rows"][8]["median_s"] == measured["rows"][8]["median_s"]


def test_calibrate_reads_what_it_kept(measured, tmp_path, monkeypatch, capsys):
    file = tmp_path / "kept.json"
    file.write_text(json.dumps(measured))
    table = tmp_path / "roofline.py"
    table.write_text('FUNCTIONS: M = {\n    "sqrt": 2.0,\n}\n')
    monkeypatch.setattr(roofline, "__file__", str(table))
    monkeypatch.setattr(sys, "argv", ["calibrate", "--from", str(file), "--write"])
    assert calibrate.main() == 0
    assert "('conv2d', 'float32'): 60 of 60" in capsys.readouterr().out
    assert '"erf": 12.0,\n    "sqrt": 2.0' in table.read_text()
