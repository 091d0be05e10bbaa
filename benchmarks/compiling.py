# SPDX-License-Identifier: Apache-2.0
"""What kernels cost to make: seconds and the largest process, for models and targets.

    python -m benchmarks.compiling [MODEL…] [--target T…] [--json]

Each bundle is made from nothing in its own folder; no cache takes part. Seconds are the wall's
and the processors'. What a cached one costs stands in the steps of `edgebuild --json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebuild.host import paths

TARGETS = ("x86_64", "rpi4", "riscv64")

MAKE = """
import sys
from pathlib import Path
from edgebuild.config import profiles
from edgebuild.host import paths
from edgebuild.kernels import bundle
model, target, out = sys.argv[1:]
bundle.compile(Path(model), profiles.load(target, paths.data_dir() / "targets").cpu,
               Path(out), name="m")
"""


def make(model: Path, target: str) -> dict[str, Any]:
    """One bundle, in a process of its own; ``peak_bytes``: of the largest process there was."""
    with tempfile.TemporaryDirectory(prefix="edgebuild-benchmark-") as folder:
        started = time.monotonic()
        process = subprocess.Popen([sys.executable, "-c", MAKE, model, target, folder])
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
    if status:
        raise SystemExit(f"{model}: no kernels for {target}")
    return {
        "model": model.stem,
        "target": target,
        "seconds": wall,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """As Markdown."""
    lines = ["| model | target | seconds | of processors | peak |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['model']} | {row['target']} | {row['seconds']:.1f} | "
        f"{row['processor_seconds']:.1f} | {row['peak_bytes'] / 1e6:.0f} MB |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--target", action="append")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    models = given.models or [paths.data_dir() / "demo" / "kws.tflite"]
    rows = [make(model, target) for model in models for target in given.target or TARGETS]
    print(json.dumps(rows, indent=1) if given.json else table(rows))


if __name__ == "__main__":
    main()
