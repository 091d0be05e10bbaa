# SPDX-License-Identifier: Apache-2.0
"""From the work folder to the release that a user sees: whole, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from edgebuild.host.files import atomic_write, digest, replaced_directory
from edgebuild.model.plan import Plan
from edgebuild.pipeline.graph import StepEvent


def publish(work: Path, release: Path) -> bool:
    """Make ``release`` equal to what the seal step made; answer whether it had to change."""
    wanted: Mapping[str, str] = json.loads((work / "release.json").read_text())["files"]
    if contents(release) == wanted:
        return False
    with replaced_directory(release) as fresh:
        for name in wanted:
            shutil.copyfile(work / "release" / name, fresh / name)
            (fresh / name).chmod(0o755 if _is_program(name) else 0o644)
    return True


def contents(folder: Path) -> dict[str, str]:
    """The digest of each file in ``folder``, by name; empty if there is no such folder."""
    if not folder.is_dir():
        return {}
    return {path.name: digest(path) if path.is_file() else "" for path in sorted(folder.iterdir())}


def write_times(path: Path, plan: Plan, events: list[StepEvent]) -> None:
    """Keep what each step took. Beside the release, not in it: times differ, releases must not."""
    titles = {step.name: step.title for step in plan.steps}
    rows = [
        {"step": e.step, "title": titles[e.step], "what": e.what, "seconds": e.seconds}
        for e in events
        if e.what in ("done", "cached")
    ]
    atomic_write(path, json.dumps({"steps": rows}, indent=1).encode() + b"\n")


def _is_program(name: str) -> bool:
    return name.startswith("mcp-gateway-") and name.count(".") == 0
