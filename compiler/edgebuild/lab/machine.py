# SPDX-License-Identifier: Apache-2.0
"""Turns a profile and an unpacked image into a QEMU command. Pure but for the files it writes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from edgebuild.errors.images import IMAGE_UNREADABLE, NOT_MODELLED
from edgebuild.lab import boards, devicetree, media
from edgebuild.model.profile import Profile

_KERNEL, _INITRAMFS = "kernel", "initramfs"
# Firmware that starts EFI programs, in the tree of the emulator's tools.
_OVMF = ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd")
_UBOOT = "usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where a machine is run: its folder, what it boots, and how one reaches it."""

    folder: Path  # for files of this run only
    raw: Path  # the unpacked image
    tools: Path  # the tree that the emulator and its firmware lie in
    port: int  # on the host's loopback interface
    guest_port: int
    memory_mb: int
    accelerator: str  # tcg or kvm

    @property
    def control(self) -> Path:
        """QEMU's control socket."""
        return self.folder / "qmp"


def arguments(profile: Profile, desk: Desk) -> list[str]:
    """QEMU's arguments, without the program, for the machine that boots the release."""
    emulator = profile.emulator
    cpu = "host" if desk.accelerator == "kvm" else emulator.cpu
    return [
        *_common(emulator.machine, cpu, desk),
        "-smp", str(min(profile.cpu.cores, 2)),
        *_devices(desk),
        *(["-device", "i6300esb"] if profile.cpu.arch == "x86_64" else []),
        *_boot(profile, desk),
    ]  # fmt: skip


def board_arguments(profile: Profile, desk: Desk) -> list[str]:
    """QEMU's arguments for a model of the board itself. Raises E455 when there is none."""
    board = boards.BOARDS.get(profile.emulator.board)
    if board is None:
        raise NOT_MODELLED(
            f"there is no emulated model of {profile.title}",
            where=f"targets/{profile.name}.toml, [emulator] board",
            hint="run it without --board, on the generic machine",
        )
    boot = media.BootFiles(desk.raw)
    line = boot.read("cmdline.txt").decode().strip()
    tree = next((name for name in boot.names() if name.endswith(".dtb")), None)
    if tree is None:
        raise IMAGE_UNREADABLE("the boot partition has no device tree")
    edited = devicetree.edit(boot.read(tree), disable=board.disable, drop=board.drop)
    return [
        *_common(profile.emulator.board, None, desk),
        "-drive", f"file={_card(desk)},if=sd,format=raw,snapshot=on",
        *_direct(desk, boot, "kernel8.img", "initrd.img"),
        "-dtb", _write(desk, "board.dtb", edited),
        "-append", f"{line} {board.words}",
    ]  # fmt: skip


def _card(desk: Desk) -> Path:
    """An SD card has a size that is a power of two; QEMU insists on it."""
    size = desk.raw.stat().st_size
    with desk.raw.open("ab") as file:
        file.truncate(1 << (size - 1).bit_length())
    return desk.raw


def _common(machine: str, cpu: str | None, desk: Desk) -> list[str]:
    return [
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",  # a restart on a desk is a failure to look at, not to repeat
        "-machine", f"{machine},accel={desk.accelerator}",
        *(["-cpu", cpu, "-m", str(desk.memory_mb)] if cpu else []),
        "-display", "none",
        "-chardev", "stdio,id=console,signal=off",
        "-serial", "chardev:console",
        "-qmp", f"unix:{desk.control},server=on,wait=off",
    ]  # fmt: skip


def _devices(desk: Desk) -> list[str]:
    forward = f"hostfwd=tcp:127.0.0.1:{desk.port}-:{desk.guest_port}"
    return [
        "-drive", f"file={desk.raw},if=none,id=disk,format=raw,snapshot=on",
        "-device", "virtio-blk-pci,drive=disk",
        "-netdev", f"user,id=net,{forward}",
        "-device", "virtio-net-pci,netdev=net,romfile=",
        "-device", "virtio-rng-pci",
    ]  # fmt: skip


def _boot(profile: Profile, desk: Desk) -> list[str]:
    if profile.boot.method == "raspberrypi":
        boot = media.BootFiles(desk.raw)
        line = boot.read("cmdline.txt").decode().strip()
        return [*_direct(desk, boot, "kernel8.img", "initrd.img"),
                "-append", f"{line} console={profile.emulator.console}"]  # fmt: skip
    if profile.cpu.arch == "x86_64":
        code, variables = (desk.tools / path for path in _OVMF)
        own = desk.folder / "variables.fd"
        shutil.copyfile(variables, own)
        return [
            "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
            "-drive", f"if=pflash,unit=1,format=raw,file={own}",
        ]  # fmt: skip
    if profile.cpu.arch == "riscv64":
        return ["-kernel", str(desk.tools / _UBOOT)]
    return _unified(profile, desk)


def _unified(profile: Profile, desk: Desk) -> list[str]:
    """Start what is in a unified kernel image, without firmware, where none is locked."""
    boot = media.BootFiles(desk.raw)
    programs = [name for name in boot.names() if name.lower().startswith("efi/boot/boot")]
    parts = media.sections(boot.read(programs[0])) if programs else {}
    if ".linux" not in parts:
        raise IMAGE_UNREADABLE("the boot partition has no unified kernel image")
    line = parts[".cmdline"].decode()
    console = profile.emulator.console or profile.boot.console
    return [
        "-kernel", _write(desk, _KERNEL, parts[".linux"]),
        "-initrd", _write(desk, _INITRAMFS, parts[".initrd"]),
        "-append", f"{line} console={console}",
    ]  # fmt: skip


def _direct(desk: Desk, boot: media.BootFiles, kernel: str, initramfs: str) -> list[str]:
    return [
        "-kernel", _write(desk, _KERNEL, boot.read(kernel)),
        "-initrd", _write(desk, _INITRAMFS, boot.read(initramfs)),
    ]  # fmt: skip


def _write(desk: Desk, name: str, content: bytes) -> str:
    path = desk.folder / name
    path.write_bytes(content)
    return str(path)
