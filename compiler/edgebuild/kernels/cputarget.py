# SPDX-License-Identifier: Apache-2.0
"""One table from a profile's processor to what LLVM and zig call it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgebuild.errors.kernels import CPU_UNSUPPORTED
from edgebuild.model.profile import Cpu


@dataclass(frozen=True, slots=True, kw_only=True)
class Triple:
    """``llvm``: the code generator's triple; ``abi``: its float ABI where it must be said.

    ``zig`` and ``zig_cpu`` compile the C driver: the architecture's baseline, as nothing there
    gains from a newer one. ``linker`` joins objects. ``pic``: code that may be loaded anywhere.
    """

    llvm: str
    abi: str
    zig: str
    zig_cpu: str
    linker: str = "ld.lld"
    pic: bool = True
    pointer_bytes: int = 8


_TRIPLES = {
    "x86_64": Triple(llvm="x86_64-linux-gnu", abi="", zig="x86_64-linux-musl", zig_cpu="x86_64"),
    "aarch64": Triple(
        llvm="aarch64-linux-gnu", abi="", zig="aarch64-linux-musl", zig_cpu="generic"
    ),
    "riscv64": Triple(
        llvm="riscv64-linux-gnu", abi="lp64d", zig="riscv64-linux-musl", zig_cpu="baseline_rv64"
    ),
    "armv7e-m": Triple(
        llvm="thumbv7em-unknown-none-eabihf",
        abi="",
        zig="thumb-freestanding-eabihf",
        zig_cpu="cortex_m4",
        pic=False,
        pointer_bytes=4,
    ),
    "armv8.1-m": Triple(
        llvm="thumbv8.1m.main-none-unknown-eabihf",
        abi="",
        zig="thumb-freestanding-eabihf",
        zig_cpu="cortex_m55",
        pic=False,
        pointer_bytes=4,
    ),
    "wasm32": Triple(
        llvm="wasm32-unknown-unknown",
        abi="",
        zig="wasm32-freestanding",
        zig_cpu="generic",
        linker="wasm-ld",
        pic=False,
        pointer_bytes=4,
    ),
}


#: Arm's M profile: single boards without an operating system.
MICRO = ("armv7e-m", "armv8.1-m")


def triple(cpu: Cpu) -> Triple:
    """Raises CPU_UNSUPPORTED for an architecture without an entry."""
    found = _TRIPLES.get(cpu.arch)
    if found is None:
        raise CPU_UNSUPPORTED(
            f"there is no code generator for {cpu.arch!r}",
            where="cpu.arch",
            hint=f"one of {', '.join(sorted(_TRIPLES))}",
        )
    if found.llvm.endswith("eabihf") and not _floats(cpu):
        return replace(found, llvm=found.llvm.removesuffix("hf"), zig=found.zig.removesuffix("hf"))
    return found


#: What LLVM calls units of Arm's M profile that have the registers of floats.
_UNITS = ("vfp", "fp-armv8", "mve", "fullfp16", "fp64")


def _floats(cpu: Cpu) -> bool:
    """Whether the profile's additions give an M-profile core floating-point registers."""
    return any(each.startswith("+") and each[1:].startswith(_UNITS) for each in cpu.features)
