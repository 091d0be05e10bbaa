# SPDX-License-Identifier: Apache-2.0
"""A program whose lines are read while it runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 20


def lines(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that a program writes; return when it ends.

    The program shares the terminal's process group, so that Ctrl-C reaches it and what it
    started; this process then waits for it to clean up.
    """
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            yield line.rstrip("\n")
    finally:
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
