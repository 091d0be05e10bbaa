# SPDX-License-Identifier: Apache-2.0
"""Finds out whether KVM works here, by running a program of nine bytes with it.

The device may be there and openable and still fail at the first guest instruction, as nested
virtualisation does on some hosts. So only a guest that has run counts.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgebuild.errors import EdgebuildError
from edgebuild.host import process

# x86 boot sector: mov $0x4b,%al; mov $0xf4,%dx; out %al,(%dx); hlt. Port 0xf4 is QEMU's
# isa-debug-exit, which ends QEMU with status value * 2 + 1.
_SECTOR = bytes.fromhex("b04b baf400 ee f4".replace(" ", "")).ljust(510, b"\0") + b"\x55\xaa"
_DISK_BYTES = 1 << 20  # the BIOS does not read a disk that is smaller than a cylinder
_STATUS = 0x4B * 2 + 1
_TIMEOUT_S = 10.0


def best(command: Sequence[str], arch: str) -> str:
    """``kvm`` when this machine runs guests of ``arch`` with it, else ``tcg``."""
    if arch != "x86_64" or platform.machine() != "x86_64":
        return "tcg"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    return "kvm" if runs(command, "kvm", "host") else "tcg"


def runs(command: Sequence[str], accelerator: str, cpu: str) -> bool:
    """Whether QEMU runs a guest so."""
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder, "disk")
        disk.write_bytes(_SECTOR.ljust(_DISK_BYTES, b"\0"))
        argv = [
            *command, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", f"q35,accel={accelerator}", "-cpu", cpu, "-m", "64",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
            "-drive", f"file={disk},format=raw,if=none,id=disk,snapshot=on",
            "-device", "ide-hd,drive=disk",
        ]  # fmt: skip
        try:
            process.run(argv, what=f"try {accelerator}", timeout_s=_TIMEOUT_S)
        except EdgebuildError as error:
            return f"status {_STATUS}" in str(error)
    return False
