# SPDX-License-Identifier: Apache-2.0
"""Target profiles: data in ``targets/*.toml``, or a TOML file of the user's own."""

from __future__ import annotations

from pathlib import Path

from edgebuild.config.decode import decode, nearest, read_toml
from edgebuild.errors.general import INVALID_VALUE, UNKNOWN_TARGET
from edgebuild.model.profile import Profile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
BOOT_METHODS = ("uefi", "raspberrypi")
OUTPUTS = ("binary", "oci", "firmware")


def names(folder: Path) -> list[str]:
    """The targets that ``folder`` describes, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load(target: str, folder: Path) -> Profile:
    """The profile of ``target``: a name in ``folder``, or the path of a TOML file.

    Raises E001 for an unknown name, E002 to E006 for a bad file.
    """
    own = target.endswith(".toml")
    path = Path(target) if own else folder / f"{target}.toml"
    if not own and target not in names(folder):
        raise UNKNOWN_TARGET(
            f"unknown target '{target}'",
            where=str(folder),
            hint=nearest(target, names(folder)) + "; or give the path of your own profile (.toml)",
        )
    table = read_toml(path)
    if "name" not in table:
        table["name"] = path.stem
    profile = decode(Profile, table, where=str(path))
    _check(profile, path)
    return profile


def _check(profile: Profile, path: Path) -> None:
    choices = {
        "name": (profile.name, (path.stem,)),
        "cpu.arch": (profile.cpu.arch, tuple(ARCHITECTURES)),
        "debian_arch": (profile.debian_arch, (ARCHITECTURES.get(profile.cpu.arch, ""),)),
        "boot.method": (profile.boot.method, BOOT_METHODS),
    }
    for output in profile.outputs:
        choices[f"outputs ({output})"] = (output, OUTPUTS)
    for key, (value, allowed) in choices.items():
        if value not in allowed:
            raise INVALID_VALUE(
                f"'{key}' is '{value}'", where=str(path), hint=f"allowed: {', '.join(allowed)}"
            )
    for key, number in {
        "cpu.cores": profile.cpu.cores,
        "cpu.clock_mhz": profile.cpu.clock_mhz,
        "cpu.macs_per_cycle_f32": profile.cpu.macs_per_cycle_f32,
        "cpu.macs_per_cycle_int8": profile.cpu.macs_per_cycle_int8,
        "memory.size_bytes": profile.memory.size_bytes,
        "memory.bandwidth_bytes_per_s": profile.memory.bandwidth_bytes_per_s,
    }.items():
        if number <= 0:
            raise INVALID_VALUE(f"'{key}' must be more than zero", where=str(path))
    bits = profile.cpu.vector_bits
    if bits and (bits < 64 or bits > 65536 or bits & (bits - 1)):
        raise INVALID_VALUE(
            f"'cpu.vector_bits' is {bits}", where=str(path),
            hint="a power of two from 64 on, or 0 without vectors",
        )  # fmt: skip
