# SPDX-License-Identifier: Apache-2.0
"""Bare machines of QEMU: how a program is linked for one of them, and how it is started.

Sources: QEMU's documentation of its machines; Arm's application notes AN386, AN500 and AN547 for
the memory maps of the MPS boards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgebuild.host import paths

SOURCES = Path("runtime/native/bench")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metal:
    """How one architecture's bare machine is linked and started.

    ``place`` are the linker's options that put a program into the machine's memory, or ``script``
    does; ``start`` is assembly; ``machine`` and ``program`` are QEMU's options, the last of which
    ends in the program's path and ``suffix``. ``boards``: the machine for a core, where no machine
    has all. An instruction takes 2**``shift`` ns.
    """

    triple: str
    place: tuple[str, ...] = ()
    script: str = ""
    start: str
    flags: tuple[str, ...] = ()
    machine: tuple[str, ...]
    program: tuple[str, str] = ("-device", "loader,file=")
    suffix: str = ",cpu-num=0"
    boards: Mapping[str, str] = field(default_factory=dict)
    shift: int = 0

    def linked(self) -> list[str | Path]:
        """What a linker is told besides the program's own objects."""
        folder = paths.data_dir() / SOURCES
        script = [f"-Wl,-T,{folder / self.script}"] if self.script else []
        return [*self.place, *script, folder / self.start]


_SEMIHOSTING = ("-semihosting-config", "enable=on,target=native")

MACHINES: Mapping[str, Metal] = {
    "aarch64": Metal(
        triple="aarch64-linux-musl",
        place=("-Wl,--image-base=0x40200000",),
        start="metal_aarch64.S",
        machine=("-M", "virt", "-m", "1G"),
    ),
    "riscv64": Metal(
        triple="riscv64-linux-musl",
        place=("-Wl,--image-base=0x80000000",),
        start="metal_riscv64.S",
        flags=("-mcmodel=medany",),  # code lies beyond what lui reaches
        machine=("-M", "virt", "-bios", "none", "-m", "1G"),
    ),
    "x86_64": Metal(
        triple="x86_64-linux-musl",
        place=("-Wl,--image-base=0x200000",),
        start="metal_x86_64.S",
        machine=("-M", "q35", "-no-reboot", "-m", "1G"),
        program=("-kernel", ""),
        suffix="",
    ),
    "armv7e-m": Metal(
        triple="thumb-freestanding-eabihf",
        script="metal_mps2.ld",
        start="metal_thumb.S",
        flags=("-mcpu=cortex_m4",),
        machine=_SEMIHOSTING,
        program=("-kernel", ""),
        suffix="",
        boards={"cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"},
        shift=7,
    ),
    "armv8.1-m": Metal(
        triple="thumb-freestanding-eabihf",
        script="metal_mps3.ld",
        start="metal_thumb.S",
        flags=("-mcpu=cortex_m55",),
        machine=_SEMIHOSTING,
        program=("-kernel", ""),
        suffix="",
        boards={"cortex-m55": "mps3-an547"},
        shift=7,
    ),
}
