# SPDX-License-Identifier: Apache-2.0
"""Programs run in a clean environment, and nothing of them is left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import compiler, process

PYTHON = [sys.executable, "-c"]


def test_output_input_and_folder(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), sys.stdin.read()); print('e', file=sys.stderr)"
    done = process.run([*PYTHON, code], what="try", cwd=tmp_path, stdin=b"in")
    assert done.text == f"{tmp_path} in\n"
    assert done.stderr == b"e\n"


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    monkeypatch.setenv("CFLAGS", "-march=native")
    monkeypatch.setenv("EDGEBUILD_CACHE", str(tmp_path))
    code = "import os; print(sorted(os.environ.items()))"
    said = process.run([*PYTHON, code], what="try", env={"OWN": "1"}).text
    assert "('LC_ALL', 'C.UTF-8')" in said
    assert "('TZ', 'UTC')" in said
    assert "('OWN', '1')" in said
    assert f"('SOURCE_DATE_EPOCH', '{process.EPOCH}')" in said
    assert f"('ZIG_GLOBAL_CACHE_DIR', '{tmp_path}/zig')" in said
    assert "CFLAGS" not in said


def test_a_failure_shows_the_last_lines_E112() -> None:
    code = "import sys; [print('line', n, file=sys.stderr) for n in range(100)]; sys.exit(3)"
    with pytest.raises(EdgebuildError) as caught:
        process.run([*PYTHON, code], what="link the gateway")
    message = caught.value.message
    assert caught.value.kind.code == "E112"
    assert message.startswith("could not link the gateway (exit status 3)\n    line 80\n")
    assert message.endswith("line 99")
    assert sys.executable in (caught.value.where or "")


def test_a_failure_that_says_it_on_standard_output_or_by_signal_E112() -> None:
    code = "import os; print('told', flush=True); os.abort()"
    with pytest.raises(EdgebuildError, match=r"(?s)signal 6.*told"):
        process.run([*PYTHON, code], what="try")


def test_a_program_that_is_not_there_E114(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    for program in ("none", "data"):
        with pytest.raises(EdgebuildError) as caught:
            process.run([tmp_path / program], what="try")
        assert caught.value.kind.code == "E114"


FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, file=open(sys.argv[1], "w"), flush=True)
time.sleep(600)
"""

DAEMON = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(child.pid, file=open(sys.argv[1], "w"), flush=True)
"""


def _gone(pid: int) -> bool:
    """Whether a process has ended; one that init has not reaped yet counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _wait_for(path: Path) -> int:
    while not (path.exists() and path.read_text().endswith("\n")):
        os.sched_yield()
    return int(path.read_text())


def test_a_time_limit_ends_the_whole_family_E113(tmp_path: Path) -> None:
    for limit_s in (1, 5, 25, 125):  # a busy machine may need longer to start the family
        with pytest.raises(EdgebuildError) as caught:
            process.run([*PYTHON, FAMILY, tmp_path / "pid"], what="try", timeout_s=limit_s)
        assert caught.value.kind.code == "E113"
        if (tmp_path / "pid").exists():
            break
    pid = _wait_for(tmp_path / "pid")
    while not _gone(pid):
        os.sched_yield()


def test_an_interrupt_ends_the_whole_family(tmp_path: Path) -> None:
    def interrupt() -> None:
        _wait_for(tmp_path / "pid")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        process.run([*PYTHON, FAMILY, tmp_path / "pid"], what="try")
    thread.join()
    pid = _wait_for(tmp_path / "pid")
    while not _gone(pid):
        os.sched_yield()


def test_a_daemon_that_a_program_leaves_is_ended(tmp_path: Path) -> None:
    process.run([*PYTHON, DAEMON, tmp_path / "pid"], what="try")
    pid = _wait_for(tmp_path / "pid")
    while not _gone(pid):
        os.sched_yield()


def test_zig_is_this_environments() -> None:
    assert compiler.zig() == [sys.executable, "-m", "ziglang"]
    assert os.path.isabs(process.environment()["ZIG_LOCAL_CACHE_DIR"])
