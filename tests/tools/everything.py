# SPDX-License-Identifier: Apache-2.0
"""``make test``: lint, types, import rules, then every test, with coverage; a table at the end."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
BIN = Path(PYTHON).parent
FOLDERS = ["compiler", "runtime", "tests", "benchmarks"]
MINIMUM_COVERAGE = 95


def stages(*, fast: bool, jobs: int) -> list[tuple[str, list[str]]]:
    """What is run, in order: the cheap checks first."""
    pytest = [PYTHON, "-m", "pytest", "-q", "-n", str(jobs), "--dist", "worksteal"]
    coverage = ["--cov", "--cov-report=term-missing:skip-covered"]
    slow = [*pytest, *coverage, f"--cov-fail-under={MINIMUM_COVERAGE}"]
    return [
        ("lint", [str(BIN / "ruff"), "check", "--quiet", *FOLDERS]),
        ("format", [str(BIN / "ruff"), "format", "--check", "--quiet", *FOLDERS]),
        ("types", [str(BIN / "mypy"), "--no-error-summary"]),
        ("import rules", [str(BIN / "lint-imports"), "--no-logo"]),
        ("tests", [*pytest, "-m", "not slow"] if fast else slow),
    ]


def main() -> int:
    """Run all stages, even after a failure; answer 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true", help="leave the slow tests out")
    fast = parser.parse_args().fast
    jobs = len(os.sched_getaffinity(0))
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'compiler'}:{ROOT / 'runtime'}"}
    results = []
    for name, argv in stages(fast=fast, jobs=jobs):
        print(f"── {name}", flush=True)
        started = time.monotonic()
        code = subprocess.run(argv, cwd=ROOT, env=environment, check=False).returncode
        results.append((name, code, time.monotonic() - started))
    print()
    for name, code, seconds in results:
        print(f"  {'✗' if code else '✓'}  {name:14} {seconds:7.1f} s")
    return 1 if any(code for _, code, _ in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
