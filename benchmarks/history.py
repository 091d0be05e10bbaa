# SPDX-License-Identifier: Apache-2.0
"""Measure the models of benchmarks/README.md beside LiteRT and ONNX Runtime; keep the results.

    python -m benchmarks.history [--only PATTERN] [--seconds S] [--keep] [--json FILE]

Prints the table and, with --keep, appends one line for each model to benchmarks/history.csv:
commit, processor, model, medians in microseconds, speed-up against the better peer by medians
and, for a machine that does other things too, by minima; and the predicted time. --json writes
everything that was measured, for ``benchmarks.predictions``.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgebuild.host import paths
from edgebuild.host.processor import this_processor
from edgebuild.kernels import bench, bench_table, hostcpu, roofline_host
from tests import models_build

HISTORY = Path(__file__).with_name("history.csv")
COLUMNS = (
    "commit", "processor", "model", "edgebuild_us", "litert_us", "onnxruntime_us",
    "speedup", "speedup_min", "predicted_us",
)  # fmt: skip
TINY = (
    "ad01_int8", "ad01_fp32", "kws_ref_model", "pretrainedResnet", "pretrainedResnet_quant",
)  # fmt: skip


def cases(folder: Path) -> Iterator[bench.Case]:
    """MLPerf Tiny's models as far as they are at hand, then the built ones."""
    beside = paths.data_dir() / "tests" / "models"
    for name in TINY:
        for where in (Path(os.environ.get("EDGEBUILD_TEST_MODELS", beside)), beside):
            if (where / f"{name}.tflite").is_file():
                yield bench.Case(path=where / f"{name}.tflite")
                break
    models_build.write_all(folder)
    models_build.write_others(folder)
    for path in sorted(folder.glob("*.tflite")):
        yield bench.Case(path=path, twin=path.with_suffix(".onnx"))
    for path in sorted(folder.glob("*.onnx")):
        if not path.with_suffix(".tflite").is_file():
            yield bench.Case(path=path)


def measure(chosen: list[bench.Case], seconds: float, work: Path) -> list[dict[str, Any]]:
    """Rows of ``bench.run`` with the machine's limits, printed as they come."""
    cpu = hostcpu.describe(this_processor())
    machine = roofline_host.measure(cpu, work)
    rows: list[dict[str, Any]] = []
    for case in chosen:
        result = bench.run(
            [case],
            cpu=cpu,
            work=work,
            machine=machine,
            against=("litert", "onnxruntime"),
            seconds=seconds,
        )
        print(bench_table.models(result["models"]), flush=True)
        rows += [{**each, "machine": result["machine"]} for each in result["models"]]
    return rows


def line(row: dict[str, Any], commit: str) -> dict[str, Any]:
    """One line of the history."""
    runtimes = row["runtimes"]
    microseconds = {f"{name}_us": f"{runtimes[name]['median_s'] * 1e6:.2f}" for name in runtimes}
    cpu = hostcpu.describe(this_processor())
    return {
        "commit": commit,
        "processor": cpu.model + "".join(cpu.features),
        "model": row["name"],
        "predicted_us": f"{sum(each['predicted_s'] for each in row['layers']) * 1e6:.2f}",
        **{key: f"{row[key]:.3f}" for key in ("speedup", "speedup_min") if row[key]},
        **microseconds,
    }


def keep(rows: list[dict[str, Any]]) -> None:
    """Append to the history."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    new = not HISTORY.is_file()
    with HISTORY.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(line(row, commit) for row in rows)


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="*", help="a pattern of model names")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each model")
    parser.add_argument("--keep", action="store_true", help="append to history.csv")
    parser.add_argument("--json", type=Path, help="write what was measured")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = [
            each for each in cases(Path(folder)) if fnmatch.fnmatch(each.path.stem, arguments.only)
        ]
        rows = measure(chosen, arguments.seconds, Path(folder))
    if arguments.keep:
        keep(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
