# SPDX-License-Identifier: Apache-2.0
"""QEMU's arguments: loopback only, nothing written to the image, the right firmware."""

import dataclasses
import struct
from pathlib import Path

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.images import fat, gpt, uki
from edgebuild.images.identity import identifier
from edgebuild.lab import boards, machine
from edgebuild.model.profile import Profile
from tests.unit.image_helpers import profile, stub, write
from tests.unit.test_lab_media import TREE

SIZE = 264 << 20


def desk(tmp_path: Path, files: dict[str, bytes], accelerator: str = "tcg") -> machine.Desk:
    part = gpt.Partition(
        name="boot", kind=gpt.ESP, unique=identifier("c", "p"), first=2048, sectors=SIZE // 512
    )
    head, _ = gpt.tables([part], identifier("c", "d"), 4096 + SIZE // 512, hybrid=True)
    raw = tmp_path / "raw"
    raw.write_bytes(head.ljust(1 << 20, b"\0") + fat.image(files, SIZE, 1, "X"))
    firmware = {f"usr/share/OVMF/OVMF_{part}_4M.fd": b"fd" for part in ("CODE", "VARS")}
    return machine.Desk(
        folder=tmp_path,
        raw=raw,
        tools=write(tmp_path / "tools", firmware),
        port=1234,
        guest_port=8080,
        memory_mb=300,
        accelerator=accelerator,
    )


PI = {
    "kernel8.img": b"kernel",
    "initrd.img": b"initrd",
    "cmdline.txt": b"edge.root=r console=ttyS1,115200\n",
    "bcm2711-rpi-4-b.dtb": TREE,
}


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_the_raspberry_pis_root_boots_on_the_generic_machine(tmp_path: Path) -> None:
    words = machine.arguments(profile("rpi4"), desk(tmp_path, PI))
    assert value(words, "-machine") == "virt,accel=tcg"
    assert Path(value(words, "-kernel")).read_bytes() == b"kernel"
    assert Path(value(words, "-initrd")).read_bytes() == b"initrd"
    assert value(words, "-append") == "edge.root=r console=ttyS1,115200 console=ttyAMA0"
    assert value(words, "-m") == "300"


def test_only_loopback_is_forwarded_and_the_image_is_not_written(tmp_path: Path) -> None:
    words = machine.arguments(profile("rpi4"), desk(tmp_path, PI))
    assert "user,id=net,hostfwd=tcp:127.0.0.1:1234-:8080" in words
    assert value(words, "-drive").endswith("snapshot=on")
    assert "-nodefaults" in words


def test_the_board_gets_a_tree_without_what_qemu_lacks(tmp_path: Path) -> None:
    place = desk(tmp_path, PI)
    words = machine.board_arguments(profile("rpi4"), place)
    assert value(words, "-machine") == "raspi4b,accel=tcg"
    assert value(words, "-append").endswith(" module_blacklist=bcm2835_wdt")
    assert "if=sd" in value(words, "-drive")
    size = place.raw.stat().st_size
    assert size & (size - 1) == 0
    assert Path(value(words, "-dtb")).read_bytes() != TREE
    assert "vmmc-supply" in boards.BOARDS["raspi4b"].drop


def test_a_target_without_a_model_of_its_board_says_so_E455(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError) as error:
        machine.board_arguments(profile("riscv64"), desk(tmp_path, PI))
    assert error.value.kind.code == "E455"


def test_a_board_image_without_a_device_tree_is_refused_E454(tmp_path: Path) -> None:
    files = {name: PI[name] for name in ("kernel8.img", "initrd.img", "cmdline.txt")}
    with pytest.raises(EdgebuildError) as error:
        machine.board_arguments(profile("rpi4"), desk(tmp_path, files))
    assert error.value.kind.code == "E454"


def test_a_pc_starts_through_its_own_firmware(tmp_path: Path) -> None:
    words = machine.arguments(profile("x86_64"), desk(tmp_path, {}))
    drives = [words[i + 1] for i, word in enumerate(words) if word == "-drive"]
    assert any("OVMF_CODE_4M.fd" in drive and "readonly=on" in drive for drive in drives)
    assert any(str(tmp_path / "variables.fd") in drive for drive in drives)
    assert "-kernel" not in words
    assert value(words, "-cpu") == profile("x86_64").emulator.cpu


def test_with_kvm_the_guest_has_the_hosts_cpu(tmp_path: Path) -> None:
    words = machine.arguments(profile("x86_64"), desk(tmp_path, {}, "kvm"))
    assert value(words, "-cpu") == "host"
    assert value(words, "-machine") == "q35,accel=kvm"


def test_risc_v_starts_through_u_boot(tmp_path: Path) -> None:
    words = machine.arguments(profile("riscv64"), desk(tmp_path, {}))
    assert value(words, "-kernel").endswith("qemu-riscv64_smode/u-boot.bin")


def arm_uefi() -> Profile:
    pi = profile("rpi4")
    return dataclasses.replace(pi, boot=dataclasses.replace(pi.boot, method="uefi"))


def test_a_unified_image_is_taken_apart_where_no_firmware_is_locked(tmp_path: Path) -> None:
    parts = {".cmdline": b"edge.root=r", ".linux": b"kernel", ".initrd": b"initrd"}
    program = uki.assemble(stub(), parts)
    words = machine.arguments(arm_uefi(), desk(tmp_path, {"EFI/BOOT/BOOTAA64.EFI": program}))
    assert Path(value(words, "-kernel")).read_bytes() == b"kernel"
    assert value(words, "-append") == "edge.root=r console=ttyAMA0"


def test_a_boot_partition_without_a_program_is_refused_E454(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError) as error:
        machine.arguments(arm_uefi(), desk(tmp_path, {"a": b""}))
    assert error.value.kind.code == "E454"


def test_a_missing_boot_file_is_named_E454(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError) as error:
        machine.arguments(profile("rpi4"), desk(tmp_path, {}))
    assert error.value.kind.code == "E454"
    assert "cmdline.txt" in error.value.message


def test_damaged_boot_tables_are_an_error_E454(tmp_path: Path) -> None:
    place = desk(tmp_path, PI)
    with place.raw.open("r+b") as file:
        file.seek((1 << 20) + 44)
        file.write(struct.pack("<I", 0x0FFFFF00))  # the root directory's first cluster
        file.truncate((1 << 20) + 4096)
    with pytest.raises(EdgebuildError) as error:
        machine.arguments(profile("rpi4"), place)
    assert error.value.kind.code == "E454"
