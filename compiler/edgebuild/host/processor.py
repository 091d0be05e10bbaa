# SPDX-License-Identifier: Apache-2.0
"""What this machine is."""

from __future__ import annotations

import os
import platform

_DEBIAN = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}


def debian_arch() -> str:
    """Debian's name of this machine's CPU; the kernel's own name if Debian has none here."""
    machine = platform.machine()
    return _DEBIAN.get(machine, machine)


def cores() -> int:
    """Cores that this process may use (an affinity mask counts, as in a container)."""
    return len(os.sched_getaffinity(0))
