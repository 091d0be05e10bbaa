# SPDX-License-Identifier: Apache-2.0
"""What a build costs: cold (downloads aside), with another model, and with nothing changed.

    python -m benchmarks.build [--target rpi4] [--json]

The cold build has a fresh cache of steps and compilers but the downloads of the common one. Next
to the build with nothing changed stands what Python itself takes to start and import SCons, as the
measure of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edgebuild.host.paths import cache_dir

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "tests" / "models"


def seconds(argv: list[str], env: dict[str, str]) -> float:
    """Wall time of a command that must succeed."""
    started = time.monotonic()
    subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def measure(target: str, repeats: int) -> dict[str, float]:
    """Seconds of each kind of build."""
    with tempfile.TemporaryDirectory(prefix="edgebuild-benchmark-") as folder:
        place = Path(folder)
        (place / "cache").mkdir()
        shutil.copytree(cache_dir() / "blobs", place / "cache" / "blobs", copy_function=os.link)
        env = os.environ | {
            "PYTHONPATH": str(ROOT / "compiler"),
            "EDGEBUILD_CACHE": str(place / "cache"),
        }
        tool = [sys.executable, "-m", "edgebuild", "--target", target, "--out", str(place / "dist")]
        first = [*tool, "--model", str(MODELS / "kws_ref_model.tflite")]
        other = [*tool, "--model", str(MODELS / "pretrainedResnet_quant.tflite")]
        scons = [sys.executable, "-c", "import SCons.Script"]
        return {
            "cold": seconds(first, env),
            "another model": seconds(other, env),
            "back to the first": seconds(first, env),
            "nothing changed": statistics.median(seconds(first, env) for _ in range(repeats)),
            "python -c 'import SCons.Script'": statistics.median(
                seconds(scons, env) for _ in range(repeats)
            ),
        }


def main() -> None:
    """Print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="rpi4")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure(arguments.target, arguments.repeats)
    if arguments.json:
        print(json.dumps({"target": arguments.target, "seconds": result}))
        return
    for name, value in result.items():
        print(f"{name:34} {value:8.2f} s")


if __name__ == "__main__":
    main()
