# SPDX-License-Identifier: Apache-2.0
"""Running programs: never through a shell, in a known environment, never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebuild.errors import EdgebuildError
from edgebuild.errors.inputs import TOOL_FAILED, TOOL_MISSING, TOOL_TIMED_OUT
from edgebuild.host.paths import cache_dir

# 1980-01-01: the first moment that every archive and file system format can store.
EPOCH = "315532800"
_LAST_LINES = 20
_PASSED_ON = ("PATH", "TMPDIR", "EDGEBUILD_CACHE", "XDG_CACHE_HOME", "HOME")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a program wrote before it ended well."""

    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode("utf-8", "replace")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every child: nothing of the user's that could change an output byte."""
    zig = cache_dir() / "zig"
    clean = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    clean |= {
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": EPOCH,
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        # zig has no flags for these in its `cc` mode.
        "ZIG_GLOBAL_CACHE_DIR": str(zig),
        "ZIG_LOCAL_CACHE_DIR": str(zig),
    }
    return clean | dict(extra or {})


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout_s: float | None = None,
) -> Completed:
    """Run a program to its end.

    ``what`` says in words what it does ("link the gateway") for the error. ``env`` is added to
    the clean environment. The program gets a process group of its own, which is killed when the
    time is up and when this process is interrupted. Raises E112, E113 or E114.
    """
    arguments = [str(argument) for argument in argv]
    process = _start(arguments, what, cwd, env)
    try:
        stdout, stderr = process.communicate(stdin or b"", timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise TOOL_TIMED_OUT(
            f"could not {what}: no end after {timeout_s:g} s", where=arguments[0]
        ) from error
    finally:
        kill_group(process)
    if process.returncode != 0:
        raise _failure(what, arguments, process.returncode, stdout, stderr)
    return Completed(stdout=stdout, stderr=stderr)


def _start(
    arguments: list[str], what: str, cwd: Path | None, env: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            arguments,
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise TOOL_MISSING(f"could not {what}: {error.strerror}", where=arguments[0]) from error


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a program that ``run`` or the lab started, with everything that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _failure(
    what: str, arguments: list[str], status: int, stdout: bytes, stderr: bytes
) -> EdgebuildError:
    said = (stderr if stderr.strip() else stdout).decode("utf-8", "replace")
    last = [line.rstrip()[:500] for line in said.splitlines() if line.strip()][-_LAST_LINES:]
    ended = f"signal {-status}" if status < 0 else f"exit status {status}"
    message = f"could not {what} ({ended})"
    return TOOL_FAILED("\n    ".join([message, *last]), where=" ".join(arguments)[:400])
