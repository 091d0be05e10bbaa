# SPDX-License-Identifier: Apache-2.0
"""Releases that the flow tests share: built once in a run, by the command that users call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "models"
TARGETS = ("x86_64", "rpi4", "riscv64")

# Each target gets another model, so that together they cover dense, convolution and residuals.
MODEL_OF = {
    "x86_64": "pretrainedResnet_quant.tflite",
    "rpi4": "kws_ref_model.tflite",
    "riscv64": "ad01_int8.tflite",
}


def edgebuild(
    *arguments: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = 1500
) -> subprocess.CompletedProcess[str]:
    """Run the command; both outputs are captured."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "compiler")} | dict(env or {})
    return subprocess.run(
        [sys.executable, "-m", "edgebuild", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def build(target: str, out: Path, *more: str | Path, **settings: Any) -> dict[str, Any]:
    """Build a release of the target's model; answer what ``--json`` printed."""
    model = MODELS / MODEL_OF[target]
    done = edgebuild(
        "--json", "--target", target, "--model", model, "--out", out, *more, **settings
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def edgebuild_under(
    script: str, target: str, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Build by a shell script that gets the command as its arguments."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "compiler")} | dict(env)
    command = [sys.executable, "-m", "edgebuild", "--target", target]
    command += ["--model", str(MODELS / MODEL_OF[target])]
    return subprocess.run(
        ["/bin/sh", "-c", script, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )


def shared(base: Path, target: str) -> Path:
    """The release of ``target`` that all tests of a run read; built by the first that asks.

    Building again does nothing, and builds of one folder wait for each other.
    """
    return Path(build(target, base / "dist")["release"])


def step_names(result: Mapping[str, Any], what: str) -> list[str]:
    """The steps of a ``--json`` result that ended so: done or cached."""
    return [step["name"] for step in result["steps"] if step["what"] == what]


def digests(folder: Path) -> dict[str, bytes]:
    """Content of each file of a release, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def differing(one: Path, other: Path) -> Sequence[str]:
    """Names of files that differ between two releases."""
    first, second = digests(one), digests(other)
    return [n for n in sorted(first.keys() | second.keys()) if first.get(n) != second.get(n)]
