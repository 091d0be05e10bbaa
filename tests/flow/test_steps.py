# SPDX-License-Identifier: Apache-2.0
"""Every step of a plan can be run alone, and then gives the bytes that the build gave."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebuild import cli

pytestmark = pytest.mark.slow


def test_each_step_alone_gives_the_same_bytes(
    release: Callable[[str], Path], run_folder: Path, tmp_path: Path
) -> None:
    release("rpi4")
    work = tmp_path / "work"
    shutil.copytree(run_folder / "dist" / ".work" / "rpi4", work)
    steps = json.loads((work / "plan.json").read_text())["steps"]
    assert {"bundle", "check", "runtime", "link", "firmware", "seal"} <= {s["kind"] for s in steps}
    for step in steps:
        before = {path: (work / path).read_bytes() for path in step["outputs"]}
        for path in step["outputs"]:
            (work / path).unlink()
        assert cli.main(["step", str(work / "plan.json"), step["name"]]) == 0, step["name"]
        for path, data in before.items():
            assert (work / path).read_bytes() == data, path
