# SPDX-License-Identifier: Apache-2.0
"""Lines of a running program."""

import sys
from pathlib import Path

import pytest

from edgebuild.host import stream


def python(script: str, tmp_path: Path) -> list[str]:
    return list(stream.lines([sys.executable, "-c", script], cwd=tmp_path, env={}))


def test_lines_of_both_outputs_arrive_in_order(tmp_path: Path) -> None:
    script = "import sys; print('a', flush=True); print('b', file=sys.stderr, flush=True)"
    assert python(script, tmp_path) == ["a", "b"]


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    script = r"import sys; sys.stdout.buffer.write(b'\xff\n')"
    assert python(script, tmp_path) == ["\N{REPLACEMENT CHARACTER}"]


def test_a_program_that_does_not_stop_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STOP_SECONDS", 0.1)
    script = "import time; print('here', flush=True); time.sleep(600)"
    lines = stream.lines([sys.executable, "-c", script], cwd=tmp_path, env={})
    assert next(lines) == "here"
    lines.close()  # type: ignore[attr-defined]
