# SPDX-License-Identifier: Apache-2.0
"""The core says the same bytes wherever it runs. `tests/golden/gateway.txt` is what it says."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.portable import play

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/gateway.txt"
PRINT = "import sys; sys.path[:0] = {paths!r}; import play; sys.stdout.write(play.transcript())"


def test_cpython_says_what_is_written_down() -> None:
    """A change here is a change of the protocol: look at each line of the difference."""
    said = play.transcript()
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(said)
    assert said == GOLDEN.read_text()


def test_micropython_says_the_same() -> None:
    micropython = shutil.which("micropython")
    if micropython is None:
        pytest.skip("no micropython on this machine")
    paths = [str(ROOT / "runtime"), str(ROOT / "tests/portable")]
    done = subprocess.run(
        [micropython, "-c", PRINT.format(paths=paths)], capture_output=True, text=True, check=True
    )
    assert done.stdout == GOLDEN.read_text()


@pytest.mark.slow
def test_machine_code_says_the_same(tmp_path: Path) -> None:
    """The core as Cython compiles it for the device, here as extension modules of this Python."""
    include = Path(sysconfig.get_path("include"))
    if not (include / "Python.h").exists():
        pytest.skip("this Python has no headers")
    shutil.copytree(ROOT / "runtime/edgegate", tmp_path / "edgegate")
    for source in sorted((tmp_path / "edgegate/core").glob("*.py")):
        if source.name != "__init__.py":
            compile_module(source, include, tmp_path)
    paths = [str(tmp_path), str(ROOT / "tests/portable")]
    done = subprocess.run(
        [sys.executable, "-c", PRINT.format(paths=paths)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout == GOLDEN.read_text()


def compile_module(source: Path, include: Path, root: Path) -> None:
    """Replace a module of the copy with machine code."""
    relative = source.relative_to(root)
    subprocess.run(
        [sys.executable, "-m", "cython", "-3", "-X", "annotation_typing=False", str(relative)],
        check=True,
        cwd=root,
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            "-shared",
            "-fPIC",
            "-O0",
            "-w",
            "-fno-sanitize=undefined",
            f"-I{include}",
            str(source.with_suffix(".c")),
            "-o",
            str(source.with_suffix(".so")),
        ],
        check=True,
        cwd=root,
    )
    source.unlink()
