# SPDX-License-Identifier: Apache-2.0
"""Speaks QEMU's machine protocol over a Unix socket: one JSON object a line (QEMU's qmp-spec)."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import IO

_TIMEOUT_S = 2.0


def order(path: Path, command: str) -> bool:
    """Have QEMU execute a command without arguments. False when it did not or is gone."""
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_TIMEOUT_S)
        link.connect(str(path))
        with link.makefile("rb") as lines:
            lines.readline()  # QEMU greets first
            return all(_execute(link, lines, name) for name in ("qmp_capabilities", command))
    return False


def _execute(link: socket.socket, lines: IO[bytes], name: str) -> bool:
    link.sendall(json.dumps({"execute": name}).encode() + b"\n")
    while line := lines.readline():
        answer = json.loads(line)
        if "return" in answer or "error" in answer:  # events may come between
            return "return" in answer
    return False
