# SPDX-License-Identifier: Apache-2.0
"""What the system says of this machine's processor, unparsed: ``kernels.hostcpu`` reads it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from edgebuild.host import machine

CPUINFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """Facts of one processor, as text."""

    arch: str  # as uname has it
    cpuinfo: str  # /proc/cpuinfo; "" where there is none
    caches: tuple[tuple[str, str, str], ...]  # (level, type, size) of each cache of CPU 0
    cores: int  # that this process may use


def this_processor() -> Processor:
    """Read the facts; what cannot be read is left empty."""
    return Processor(
        arch=platform.machine(),
        cpuinfo=_text(CPUINFO),
        caches=tuple(
            (_text(each / "level"), _text(each / "type"), _text(each / "size"))
            for each in sorted(CACHES.glob("index*"))
        ),
        cores=machine.cores(),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
