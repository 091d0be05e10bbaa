# SPDX-License-Identifier: Apache-2.0
"""The cross compiler and linker for one CPU: zig's clang and lld on Debian's headers and archives.

Law: an object's bytes depend on its source, the sysroot's headers and the flags; no path of this
machine enters them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgebuild.errors.runtimes import INCOMPLETE_SYSROOT, UNSUPPORTED_CPU
from edgebuild.host import compiler, process
from edgebuild.model.profile import Cpu

GCC_VERSION = "14"  # trixie's, in the name of its folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What one Debian architecture is called by the tools."""

    triplet: str  # Debian's multiarch folder
    target: str  # zig's
    emulation: str  # the linker's


MACHINES = {
    "amd64": Machine(triplet="x86_64-linux-gnu", target="x86_64-linux-gnu", emulation="elf_x86_64"),
    "arm64": Machine(
        triplet="aarch64-linux-gnu", target="aarch64-linux-gnu", emulation="aarch64linux"
    ),
    "riscv64": Machine(
        triplet="riscv64-linux-gnu", target="riscv64-linux-gnu", emulation="elf64lriscv"
    ),
}

# Debian's own hardening, and sections as small as the linker can drop.
FLAGS = (
    "-Os", "-g0", "-DNDEBUG", "-fwrapv", "-fno-strict-aliasing",
    "-ffunction-sections", "-fdata-sections", "-fPIE",
    "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2",
    "-fno-sanitize=all",  # zig turns undefined-behaviour traps on by itself
    "-Werror=implicit-function-declaration",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One C file to compile. ``name`` is unique in a build and names the object."""

    name: str
    source: Path
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """Compiles and links for one CPU against one sysroot."""

    deb_arch: str
    machine: Machine
    mcpu: str
    sysroot: Path

    def compile(self, units: Sequence[Unit], out: Path, *, jobs: int) -> list[Path]:
        """Compile every unit to ``out/NAME.o``; the objects in the units' order. Raises E112."""
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(lambda unit: self._compile(unit, out), units))

    def _compile(self, unit: Unit, out: Path) -> Path:
        target = out / f"{unit.name}.o"
        triplet, include = self.machine.triplet, self.sysroot / "usr/include"
        argv: list[str | Path] = [
            *compiler.zig(), "cc", "-target", self.machine.target, f"-mcpu={self.mcpu}", *FLAGS,
            f"-ffile-prefix-map={self.sysroot}=", f"-ffile-prefix-map={unit.source.parent}=.",
            "-nostdinc", "-isystem", _zig_headers(),
            "-isystem", include / triplet, "-isystem", include,
            f"-I{include / 'python3.13'}", f"-I{include / 'python3.13/internal'}",
            *unit.flags, "-c", unit.source, "-o", target,
        ]  # fmt: skip
        process.run(argv, what=f"compile {unit.source.name} for {self.deb_arch}", cwd=out)
        return target

    def combine(
        self,
        objects: Sequence[Path],
        archives: Sequence[Path],
        out: Path,
        *,
        roots: Sequence[str] = ("main",),
    ) -> None:
        """Link objects, and what they need of archives, into one that is linked again later.

        Sections that the symbols ``roots`` do not reach go already here, with the unwind tables: C
        code has no use for them, and they are a tenth of the executable. Raises E112.
        """
        argv: list[str | Path] = [
            *compiler.zig(), "ld.lld", "-m", self.machine.emulation, "-r", "--gc-sections",
            *(f"--undefined={root}" for root in roots), "-o", out, *objects,
            "--start-group", *archives, "--end-group",
        ]  # fmt: skip
        process.run(argv, what=f"combine objects for {self.deb_arch}")

    def find(self, relative: str) -> Path:
        """A file of the sysroot. Raises E305."""
        path = self.sysroot / relative
        if not path.is_file():
            raise INCOMPLETE_SYSROOT(f"there is no {relative} for {self.deb_arch}", where=relative)
        return path


def machine(deb_arch: str) -> Machine:
    """The names of this architecture. Raises E301."""
    if deb_arch not in MACHINES:
        raise UNSUPPORTED_CPU(
            f"there is no runtime for architecture '{deb_arch}'",
            hint=f"debian_arch can be {', '.join(MACHINES)}",
        )
    return MACHINES[deb_arch]


def zig_cpu(cpu: Cpu) -> str:
    """LLVM's name of a core in zig's spelling: ``generic-rv64``, ``+m`` → ``generic_rv64+m``."""
    features = "".join(sign[:1] + sign[1:].replace("-", "_") for sign in cpu.features)
    return cpu.model.replace("-", "_") + features


def _zig_headers() -> Path:
    """clang's own headers (stddef.h and the like), which -nostdinc leaves out."""
    found = importlib.util.find_spec("ziglang")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "lib/include"
