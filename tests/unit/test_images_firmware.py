# SPDX-License-Identifier: Apache-2.0
"""From packages and a program to a whole image: what is in it, where, and that it is all."""

import dataclasses
import hashlib
import json
import tarfile
import uuid
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import process, tools
from edgebuild.images import base, boot, cpio, filesystems, firmware, programs
from edgebuild.lab import media
from edgebuild.model.profile import Profile
from tests.unit import image_helpers as help_

TARGETS = ("rpi4", "x86_64", "riscv64")
MODULES = ("erofs", "virtio_blk")


def small(target: str, **boot_facts: Any) -> Profile:
    """A shipped profile, with modules that the test's kernel has."""
    profile = help_.profile(target)
    facts = {"modules": MODULES} | boot_facts
    return dataclasses.replace(
        profile,
        boot=dataclasses.replace(profile.boot, **facts),
        emulator=dataclasses.replace(profile.emulator, modules=()),
    )


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Packages; compilers and mkfs programs are replaced, everything of ours runs."""
    monkeypatch.setattr(tools, "tool", lambda *_: help_.GZIP)
    monkeypatch.setattr(base, "_LEVEL", 1)
    monkeypatch.setattr(programs, "init", lambda *_: b"PID 1")
    monkeypatch.setattr(programs, "dhcpcd", lambda *_: b"DHCP client")
    monkeypatch.setattr(filesystems, "erofs", lambda _mkfs, tar, _unique: b"EROFS" + tar)
    monkeypatch.setattr(
        filesystems, "ext4", lambda _mkfs, size, _unique: b"EXT4".ljust(size, b"\0")
    )
    monkeypatch.setattr(filesystems, "ext4_used", lambda _image: [(0, 4096), (8192, 16384)])
    return help_.store(tmp_path / "packages")


def build(
    store: Any, profile: Profile, out: Path, config: str = "{}", *, allow_shell: bool = False
) -> dict[str, Any]:
    out.mkdir()
    base.build(store, help_.lock(), profile, out / "base", allow_shell=allow_shell)
    executable = out / "mcp-gateway"
    executable.write_bytes(help_.program(profile.debian_arch))
    (out / "config.json").write_text(config)
    return firmware.build(
        store,
        help_.lock(),
        profile,
        out / "base",
        executable,
        config=out / "config.json",
        image=out / "image.zst",
        block_map=out / "image.bmap",
    )


def unpacked(out: Path) -> Path:
    media.unpack(out / "image.zst", out / "raw")
    return out / "raw"


def root_files(out: Path) -> dict[str, bytes]:
    """The files of the root partition, which is a tar behind five bytes in these tests."""
    raw = unpacked(out)
    place = media.partitions(raw)[1]
    with raw.open("rb") as file:
        file.seek(place.offset)
        data = file.read(place.size)
    assert data.startswith(b"EROFS")
    with tarfile.open(fileobj=BytesIO(data[5:])) as archive:
        return {
            f"/{one.name}": archive.extractfile(one).read()  # type: ignore[union-attr]
            for one in archive
            if one.isreg()
        }


@pytest.mark.parametrize("target", TARGETS)
def test_two_builds_give_the_same_bytes(store: Any, tmp_path: Path, target: str) -> None:
    first = build(store, small(target), tmp_path / "one")
    second = build(store, small(target), tmp_path / "elsewhere")
    assert first == second
    for name in ("image.zst", "image.bmap", "base/base.json", "base/root.tar"):
        assert (tmp_path / "one" / name).read_bytes() == (
            tmp_path / "elsewhere" / name
        ).read_bytes()


@pytest.mark.parametrize("target", TARGETS)
def test_the_block_map_covers_all_that_is_not_zero(store: Any, tmp_path: Path, target: str) -> None:
    built = build(store, small(target), tmp_path / "out")
    raw = unpacked(tmp_path / "out")
    assert raw.stat().st_size == built["image_bytes"]
    assert raw.stat().st_size % (1 << 20) == 0
    content = bytearray(raw.read_bytes())  # zeroed where it is mapped
    for one in ET.fromstring((tmp_path / "out/image.bmap").read_text()).iter("Range"):
        first, _, last = (one.text or "").strip().partition("-")
        begin, end = int(first) * 4096, (int(last or first) + 1) * 4096
        assert hashlib.sha256(content[begin:end]).hexdigest() == one.get("chksum")
        content[begin:end] = bytes(end - begin)
    assert content.count(0) == len(content)


def test_partitions_are_where_the_listing_says(store: Any, tmp_path: Path) -> None:
    built = build(store, small("rpi4"), tmp_path / "out")
    found = media.partitions(unpacked(tmp_path / "out"))
    assert [(p.name, p.offset, p.size) for p in found] == [
        (p["name"], p["offset"], p["bytes"]) for p in built["partitions"]
    ]
    facts = json.loads((tmp_path / "out/base/base.json").read_text())
    assert [p.name for p in found] == ["edge-boot", facts["root_name"], "edge-data"]


def test_a_raspberry_pi_finds_what_its_firmware_looks_for(store: Any, tmp_path: Path) -> None:
    build(store, small("rpi4"), tmp_path / "out")
    files = media.BootFiles(unpacked(tmp_path / "out"))
    assert files.names() == [
        "bcm2711-rpi-4-b.dtb", "cmdline.txt", "config.txt", "fixup4.dat", "initrd.img",
        "kernel8.img", "start4.elf",
    ]  # fmt: skip
    assert help_.unzip(files.read("kernel8.img")) == b"MZ kernel" * 100
    config = files.read("config.txt").decode()
    assert "device_tree=bcm2711-rpi-4-b.dtb\n" in config
    assert "initramfs initrd.img followkernel\n" in config
    facts = json.loads((tmp_path / "out/base/base.json").read_text())
    assert (
        f"edge.root={facts['root_name']} console=ttyS1,115200" in files.read("cmdline.txt").decode()
    )


@pytest.mark.parametrize(
    ("target", "place"),
    [("x86_64", "EFI/BOOT/BOOTX64.EFI"), ("riscv64", "EFI/BOOT/BOOTRISCV64.EFI")],
)
def test_efi_firmware_finds_one_program_with_everything_in_it(
    store: Any, tmp_path: Path, target: str, place: str
) -> None:
    build(store, small(target), tmp_path / "out")
    files = media.BootFiles(unpacked(tmp_path / "out"))
    assert files.names() == [place]
    sections = media.sections(files.read(place))
    assert sections[".linux"] == b"MZ kernel" * 100
    assert sections[".uname"] == b"6.12.1-test"
    assert b"VARIANT_ID=" + target.encode() in sections[".osrel"]
    assert b"console=ttyS0,115200" in sections[".cmdline"]


def test_device_trees_lie_where_u_boot_looks(store: Any, tmp_path: Path) -> None:
    trees = ("broadcom/bcm2711-rpi-4-b.dtb",)
    build(store, small("riscv64", device_trees=trees), tmp_path / "out")
    files = media.BootFiles(unpacked(tmp_path / "out"))
    assert files.read("dtb/broadcom/bcm2711-rpi-4-b.dtb") == b"device tree"


def test_the_root_file_system_has_what_runs_and_no_shell(store: Any, tmp_path: Path) -> None:
    built = build(store, small("rpi4"), tmp_path / "out")
    files = root_files(tmp_path / "out")
    assert files["/usr/bin/mcp-gateway"] == help_.program("arm64")
    assert files["/sbin/init"] == b"PID 1"
    assert "/usr/lib/edge/modules/virtio_blk.ko" in files
    assert not any("busybox" in path or path.endswith("/sh") for path in files)
    settings = files["/etc/edge/init.conf"].decode().splitlines()
    assert "hostname rpi4" in settings
    assert "clock-floor 1789199741" in settings
    assert settings[-2:] == ["gateway --http", "gateway 0.0.0.0:8080"]
    listed = {one["path"]: one for one in built["files"]}
    for path, content in files.items():
        assert listed[path]["sha256"] == hashlib.sha256(content).hexdigest()
    assert listed["/sbin/dhcpcd"]["package"].startswith("pkg:deb/debian/dhcpcd@")
    assert listed["/boot/kernel8.img"]["package"].startswith("pkg:deb/debian/linux-image")
    assert listed["/boot/#initramfs"]["package"] == "edgebuild"


def test_the_configured_address_is_left_to_the_gateway(store: Any, tmp_path: Path) -> None:
    config = json.dumps({"gateway": {"listen": "0.0.0.0:9000"}})
    build(store, small("rpi4"), tmp_path / "out", config)
    assert b"--http" not in root_files(tmp_path / "out")["/etc/edge/init.conf"]


def test_a_shell_is_there_only_if_asked_for(store: Any, tmp_path: Path) -> None:
    built = build(store, small("rpi4"), tmp_path / "out", allow_shell=True)
    files = root_files(tmp_path / "out")
    assert "/usr/bin/busybox" in files
    assert b"insecure-debug-shell /usr/bin/busybox\n" in files["/etc/edge/init.conf"]
    listed = {one["path"]: one for one in built["files"]}
    assert listed["/usr/bin/sh"]["target"] == "busybox"
    assert "busybox-static" in listed["/usr/bin/busybox"]["package"]


def test_another_program_changes_the_root_and_not_the_base(store: Any, tmp_path: Path) -> None:
    one = build(store, small("rpi4"), tmp_path / "one")
    two = build(store, small("rpi4"), tmp_path / "two", '{"gateway": {"listen": "[::]:1"}}')
    assert (tmp_path / "one/base/boot.zst").read_bytes() == (
        tmp_path / "two/base/boot.zst"
    ).read_bytes()
    assert one["partitions"][1]["uuid"] != two["partitions"][1]["uuid"]


def test_an_image_larger_than_the_medium_is_refused_E403(store: Any, tmp_path: Path) -> None:
    profile = small("rpi4")
    storage = dataclasses.replace(profile.storage, size_bytes=100 << 20)
    with pytest.raises(EdgebuildError) as error:
        build(store, dataclasses.replace(profile, storage=storage), tmp_path / "out")
    assert error.value.kind.code == "E403"
    assert str(100 << 20) in error.value.message


def test_an_unknown_boot_method_is_refused_E405(store: Any, tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError) as error:
        build(store, small("rpi4", method="openfirmware"), tmp_path / "out")
    assert error.value.kind.code == "E405"
    assert "uefi" in str(error.value.hint)


def test_a_device_tree_that_is_not_in_the_package_is_refused_E402(
    store: Any, tmp_path: Path
) -> None:
    with pytest.raises(EdgebuildError) as error:
        build(store, small("rpi4", device_trees=("broadcom/none.dtb",)), tmp_path / "out")
    assert error.value.kind.code == "E402"


def test_a_group_without_its_package_is_refused_E402(store: Any, tmp_path: Path) -> None:
    lock = help_.lock()
    groups = {name: () if name == "linux-arm64" else lock.groups[name] for name in lock.groups}
    with pytest.raises(EdgebuildError) as error:
        base.build(store, dataclasses.replace(lock, groups=groups), small("rpi4"), tmp_path / "out")
    assert error.value.kind.code == "E402"


def test_the_initramfs_is_zstd_of_cpio_with_init_and_modules(store: Any, tmp_path: Path) -> None:
    import zstandard

    build(store, small("rpi4"), tmp_path / "out")
    packed = media.BootFiles(unpacked(tmp_path / "out")).read("initrd.img")
    content = zstandard.ZstdDecompressor().decompress(packed)
    for name in (b"init", b"modules/manifest", b"modules/erofs.ko", b"dev/console", b"sysroot"):
        assert b"\0" + name + b"\0" in content or content.find(name + b"\0") > 0
    assert content.startswith(cpio.archive([])[:6])


def test_words_of_the_profile_are_added_to_the_command_line() -> None:
    line = base.command_line(small("rpi4", command_line="mitigations=off"), "edge-root-1")
    assert line.endswith(" mitigations=off")
    assert line.startswith("edge.root=edge-root-1 ")


def test_programs_are_compiled_for_the_cpu_by_zig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def run(argv: Sequence[str | Path], *, what: str, cwd: Path | None = None) -> None:
        calls.append([str(word) for word in argv])
        made = next((str(word)[2:] for word in argv if str(word).startswith("-I/")), None)
        if made:
            header = Path(made, "dhcpcd-embedded.h").read_text()
            table = Path(made, "dhcpcd-embedded.c").read_text()
            assert header == "1 1 1\n"
            assert '"define 1 x\\n"\n"definend 2 y\\n"' in table
        Path(argv[-1]).write_bytes(what.encode())

    monkeypatch.setattr(process, "run", run)
    folder = help_.write(tmp_path / "init", {"b.c": b"", "a.c": b"", "edge-init.h": b""})
    assert programs.init(folder, "riscv64") == b"compile PID 1"
    store = help_.store(tmp_path / "packages")
    assert programs.dhcpcd(store.trees["dhcpcd"], "arm64") == b"compile the DHCP client"
    assert "riscv64-linux-musl" in calls[0]
    assert calls[0][calls[0].index("a.c") + 1] == "b.c"
    assert "-DPRIVSEP" in calls[1]


def test_mkfs_is_told_everything_that_it_could_take_from_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[list[str], Any]] = []

    def run(argv: Sequence[str | Path], *, what: str, env: Any = None) -> None:
        words = [str(word) for word in argv]
        calls.append((words, env))
        out = Path(words[-2] if "--tar=f" in words else words[-1])
        out.write_bytes(b"made")

    monkeypatch.setattr(process, "run", run)
    unique = uuid.UUID(int=5)
    assert filesystems.erofs(["mkfs.erofs"], b"tar", unique) == b"made"
    assert filesystems.ext4(["mke2fs"], 1 << 20, unique) == b"made"
    assert f"-U{unique}" in calls[0][0]
    assert "-T315532800" in calls[0][0]
    assert "MKE2FS_CONFIG" in calls[1][1]
    assert any(f"hash_seed={unique}" in word for word in calls[1][0])


def test_the_kernel_must_be_one_file_E402(tmp_path: Path) -> None:
    help_.write(tmp_path, {"boot/vmlinuz-1": b"", "boot/vmlinuz-2": b""})
    with pytest.raises(EdgebuildError) as error:
        boot.kernel_image(tmp_path)
    assert error.value.kind.code == "E402"
