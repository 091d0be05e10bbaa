# SPDX-License-Identifier: Apache-2.0
"""Locked tools: programs of Debian packages, run from the cache without being installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgebuild.errors.inputs import NO_TOOL, NOT_LOCKED
from edgebuild.host import machine
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock

_LOADERS = {"amd64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}
_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
# Where QEMU's firmware, option ROMs and key maps lie in Debian's packages.
_QEMU_DATA = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tool:
    group: str
    path: str
    static: bool = False
    data: tuple[str, ...] = ()


def _in(group: str, *names: str, folder: str = "usr/bin", **more: object) -> dict[str, _Tool]:
    return {
        name: _Tool(group=group, path=f"{folder}/{name}", **more)  # type: ignore[arg-type]
        for name in names
    }


TOOLS: dict[str, _Tool] = {
    **_in("tools-image", "mkfs.erofs", "fsck.erofs", "dump.erofs", "gzip"),
    **_in("tools-image", "mke2fs", "debugfs", "e2fsck", folder="usr/sbin"),
    **_in("tools-qemu-aarch64", "qemu-aarch64", static=True),
    **_in("tools-qemu-riscv64", "qemu-riscv64", static=True),
    **_in("tools-qemu-x86", "qemu-system-x86_64", data=_QEMU_DATA),
    **_in("tools-qemu-arm", "qemu-system-aarch64", "qemu-system-arm", data=_QEMU_DATA),
    **_in("tools-qemu-riscv", "qemu-system-riscv64", data=_QEMU_DATA),
    **_in("python-host", "python3.13"),
}


def group(name: str) -> str:
    """The lock's group that holds a tool for this machine. Raises E110 or E111."""
    if name not in TOOLS:
        raise NOT_LOCKED(
            f"'{name}' is no locked tool", hint=f"there are {', '.join(sorted(TOOLS))}"
        )
    arch = machine.debian_arch()
    if arch not in _LOADERS:
        raise NO_TOOL(f"'{name}' is not to be had for {arch}", hint="build on an amd64 machine")
    return f"{TOOLS[name].group}-{arch}"


def folder(store: Store, lock: Lock, name: str) -> Path:
    """The tree that a tool lies in, for the data files that came with it."""
    where = group(name)
    if where not in lock.groups:
        raise NO_TOOL(
            f"the lock holds no '{name}' for {machine.debian_arch()}",
            hint="add the architecture to its group in locks/inputs.toml; run `edgebuild lock`",
        )
    return store.sysroot(lock, where)


def tool(store: Store, lock: Lock, name: str) -> list[str]:
    """The first arguments of a command that runs a locked tool.

    A dynamic program runs through its own loader with its own libraries, whatever this machine
    has. Its argv[0] is its place in the tree: Python and mtools find out from it who they are.
    """
    root = folder(store, lock, name)
    entry = TOOLS[name]
    program = str(root / entry.path)
    if not Path(program).is_file():
        raise NOT_LOCKED(f"the lock's group {group(name)} does not hold '{name}'")
    if entry.static:
        return [program]
    libraries = root / "usr/lib" / _TRIPLETS[machine.debian_arch()]
    data = [word for place in entry.data for word in ("-L", str(root / place))]
    return [
        str(libraries / _LOADERS[machine.debian_arch()]),
        "--inhibit-cache",
        "--library-path",
        str(libraries),
        "--argv0",
        program,
        program,
        *data,
    ]
