# SPDX-License-Identifier: Apache-2.0
"""What goes on the boot partition, for each boot method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebuild.errors.images import BOOT_METHOD_UNKNOWN, PACKAGE_INCOMPLETE
from edgebuild.host import process, tools
from edgebuild.host.store import Store
from edgebuild.images import origins, uki
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Profile

# UEFI specification 2.10, table 3-1, and the names of systemd's stubs.
_EFI_NAMES = {"amd64": "x64", "arm64": "aa64", "riscv64": "riscv64"}

OS_RELEASE = """\
ID=edgebuild
NAME="edgebuild firmware"
PRETTY_NAME="edgebuild firmware, {title}"
HOME_URL="https://www.debian.org/"
VARIANT_ID={name}
"""

_PI_CONFIG = """\
# Read by the Raspberry Pi's firmware. The kernel's own device tree is used, not the firmware's.
arm_64bit=1
upstream_kernel=1
kernel=kernel8.img
initramfs initrd.img followkernel
device_tree={device_tree}
enable_uart=1
disable_splash=1
boot_delay=0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What every boot method starts."""

    image: bytes
    initramfs: bytes
    release: str
    command_line: str
    device_trees: Mapping[str, bytes]  # by path relative to the kernel's folder of them


@dataclass(frozen=True, slots=True, kw_only=True)
class BootPartition:
    """Files by path; where each is from; whether the partition is listed in the MBR too."""

    files: Mapping[str, bytes]
    origins: Mapping[str, str]
    hybrid: bool


def partition(store: Store, lock: Lock, profile: Profile, kernel: Kernel) -> BootPartition:
    """The boot partition for the profile's boot method. Raises E402 and E405."""
    method = _METHODS.get(profile.boot.method)
    if method is None:
        raise BOOT_METHOD_UNKNOWN(
            f"boot method {profile.boot.method!r} is not known",
            where=f"targets/{profile.name}.toml, [boot] method",
            hint=f"use {' or '.join(sorted(_METHODS))}",
        )
    return method(store, lock, profile, kernel)


def kernel_image(tree: Path) -> bytes:
    """The one kernel of an unpacked kernel package."""
    return one_file(tree / "boot", "vmlinu[xz]-*").read_bytes()


def device_trees(tree: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Device trees of an unpacked kernel package, by the names that a profile gives."""
    return {name: one_file(tree, f"usr/lib/linux-image-*/{name}").read_bytes() for name in names}


def one_file(folder: Path, pattern: str) -> Path:
    """The one file that matches. Raises E402."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise PACKAGE_INCOMPLETE(
            f"{len(found)} files of the package match {pattern} instead of one",
            hint="see whether the profile's name for it is right, or renew the lock",
        )
    return found[0]


def _uefi(store: Store, lock: Lock, profile: Profile, kernel: Kernel) -> BootPartition:
    arch, group = profile.debian_arch, f"boot-{profile.debian_arch}"
    name = _EFI_NAMES[arch]
    folder = store.sysroot(lock, group) / "usr/lib/systemd/boot/efi"
    release = OS_RELEASE.format(title=profile.title, name=profile.name)
    program = uki.assemble(
        one_file(folder, f"linux{name}.efi.stub").read_bytes(),
        {
            ".osrel": release.encode(),
            ".cmdline": kernel.command_line.encode(),
            ".uname": kernel.release.encode(),
            ".initrd": kernel.initramfs,
            ".linux": kernel.image,
        },
    )
    place = f"EFI/BOOT/BOOT{name.upper()}.EFI"
    trees = {f"dtb/{path}": data for path, data in kernel.device_trees.items()}
    made = {path: origins.package(lock, profile.boot.kernel, "linux-image-6") for path in trees}
    # The stub is the start of the program; kernel and initramfs are listed on their own.
    made[place] = origins.package(lock, group, "systemd-boot-efi")
    return BootPartition(files={place: program, **trees}, origins=made, hybrid=False)


def _raspberry_pi(store: Store, lock: Lock, profile: Profile, kernel: Kernel) -> BootPartition:
    folder = store.sysroot(lock, "raspi-firmware") / "usr/lib/raspi-firmware"
    firmware = {name: (folder / name) for name in ("start4.elf", "fixup4.dat")}
    gzip = [*tools.tool(store, lock, "gzip"), "-9", "-n", "-c"]
    packed = process.run(gzip, what="compress the kernel", stdin=kernel.image).stdout
    trees = {Path(path).name: data for path, data in kernel.device_trees.items()}
    config = _PI_CONFIG.format(device_tree=next(iter(trees), ""))
    files = {
        **{name: one_file(folder, path.name).read_bytes() for name, path in firmware.items()},
        **trees,
        "config.txt": config.encode(),
        "cmdline.txt": f"{kernel.command_line}\n".encode(),
        # The firmware recognises gzip; a third of the bytes to read from a slow card.
        "kernel8.img": packed,
        "initrd.img": kernel.initramfs,
    }
    pi, linux = (
        origins.package(lock, "raspi-firmware", "raspi-firmware"),
        origins.package(lock, profile.boot.kernel, "linux-image-6"),
    )
    made = dict.fromkeys(firmware, pi) | dict.fromkeys((*trees, "kernel8.img"), linux)
    return BootPartition(files=files, origins=made, hybrid=True)


_METHODS: dict[str, Callable[[Store, Lock, Profile, Kernel], BootPartition]] = {
    "uefi": _uefi,
    "raspberrypi": _raspberry_pi,
}
