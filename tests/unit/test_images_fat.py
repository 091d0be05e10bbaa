# SPDX-License-Identifier: Apache-2.0
"""FAT32: what is written is what a reader finds, whatever the names and sizes."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.images import fat, gpt
from edgebuild.images.identity import identifier
from edgebuild.lab import media

SIZE = 264 << 20

NAME = st.text(st.sampled_from("abcXYZ019-_+ é."), min_size=1, max_size=30).filter(
    lambda name: name.strip(". ") == name
)


def on_disk(tmp_path: Path, files: dict[str, bytes], size: int = SIZE) -> media.BootFiles:
    content = fat.image(files, size, 0x1234ABCD, "EDGE-BOOT")
    part = gpt.Partition(
        name="boot", kind=gpt.ESP, unique=identifier("c", "p"), first=2048, sectors=size // 512
    )
    head, _ = gpt.tables([part], identifier("c", "d"), 4096 + size // 512, hybrid=True)
    raw = tmp_path / "disk"
    raw.write_bytes(head.ljust(1 << 20, b"\0") + content)
    return media.BootFiles(raw)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(NAME, max_size=12, unique_by=str.lower),
    folder=st.sampled_from(["", "EFI/BOOT/", "dtb/a long folder name/x/"]),
    data=st.data(),
)
def test_files_come_back(
    tmp_path: Path, names: list[str], folder: str, data: st.DataObject
) -> None:
    sizes = st.sampled_from([0, 1, 4095, 4096, 4097, 20000])
    files = {folder + name: name.encode()[:1] * data.draw(sizes) for name in names}
    read = on_disk(tmp_path, files)
    assert read.names() == sorted(files)
    for name, content in files.items():
        assert read.read(name) == content


def test_names_that_share_their_first_letters_get_their_own_short_names(tmp_path: Path) -> None:
    files = {f"bcm2711-rpi-{n}.dtb": b"%d" % n for n in range(12)} | {"kernel8.img": b"k"}
    content = fat.image(files, SIZE, 1, "X")
    root = content[(32 + 2 * struct.unpack_from("<I", content, 36)[0]) * 512 :][:4096]
    shorts = [root[at : at + 11] for at in range(0, 4096, 32) if root[at] and root[at + 11] != 15]
    assert len(shorts) == len(set(shorts)) == 14
    assert b"KERNEL8 IMG" in shorts
    assert on_disk(tmp_path, files).read("BCM2711-RPI-11.DTB") == b"11"


def test_an_upper_case_name_needs_no_long_entry() -> None:
    plain = fat.image({"BOOTX64.EFI": b"x"}, SIZE, 1, "X")
    long = fat.image({"bootx64.efi": b"x"}, SIZE, 1, "X")
    at = (32 + 2 * struct.unpack_from("<I", plain, 36)[0]) * 512
    assert plain[at + 32 : at + 43] == b"BOOTX64 EFI"
    assert long[at + 32 + 11] == 0x0F


def test_the_boot_sector_says_what_firmware_expects() -> None:
    content = fat.image({"a/b": b"1" * 5000}, SIZE, 0xCAFEBABE, "edge-boot")
    assert content[510:512] == b"\x55\xaa"
    assert content[82:90] == b"FAT32   "
    assert content[71:82] == b"EDGE-BOOT  "
    assert struct.unpack_from("<I", content, 67) == (0xCAFEBABE,)
    assert struct.unpack_from("<I", content, 32) == (SIZE // 512,)
    assert content[512:516] == b"RRaA"
    assert content[6 * 512 : 7 * 512] == content[:512]
    sectors = struct.unpack_from("<I", content, 36)[0]
    first = content[32 * 512 : (32 + sectors) * 512]
    assert content[(32 + sectors) * 512 : (32 + 2 * sectors) * 512] == first


def test_nothing_but_the_content_counts() -> None:
    files = {"b": b"2", "a": b"1"}
    again = dict(sorted(files.items()))
    assert fat.image(files, SIZE, 1, "X") == fat.image(again, SIZE, 1, "X")


def test_too_many_bytes_are_refused_E404() -> None:
    with pytest.raises(EdgebuildError) as error:
        fat.image({"a": bytes(SIZE)}, SIZE, 1, "X")
    assert error.value.kind.code == "E404"


def test_too_small_a_partition_is_refused_E404() -> None:
    with pytest.raises(EdgebuildError) as error:
        fat.image({}, 32 << 20, 1, "X")
    assert error.value.kind.code == "E404"


@pytest.mark.parametrize("name", ["a:b", "a\nb", "x" * 256, "a*"])
def test_names_that_fat_cannot_store_are_refused_E407(name: str) -> None:
    with pytest.raises(EdgebuildError) as error:
        fat.image({name: b""}, SIZE, 1, "X")
    assert error.value.kind.code == "E407"
