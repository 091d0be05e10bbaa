# SPDX-License-Identifier: Apache-2.0
"""Reading images back: damaged ones end in an error, never in a traceback."""

import struct
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.lab import devicetree, media
from tests.unit.image_helpers import stub


def test_an_image_is_unpacked_sparse(tmp_path: Path) -> None:
    content = b"a" * 4096 + bytes(8 << 20) + b"b" + bytes(1 << 20)
    (tmp_path / "i.zst").write_bytes(zstandard.compress(content))
    media.unpack(tmp_path / "i.zst", tmp_path / "raw")
    assert (tmp_path / "raw").read_bytes() == content
    assert (tmp_path / "raw").stat().st_blocks * 512 < 4 << 20


def test_a_missing_image_is_an_error_E454(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError) as error:
        media.unpack(tmp_path / "none.zst", tmp_path / "raw")
    assert error.value.kind.code == "E454"


def test_a_damaged_image_is_an_error_E454(tmp_path: Path) -> None:
    (tmp_path / "i.zst").write_bytes(b"not zstd at all")
    with pytest.raises(EdgebuildError) as error:
        media.unpack(tmp_path / "i.zst", tmp_path / "raw")
    assert error.value.kind.code == "E454"


def test_a_disk_without_a_table_is_an_error_E454(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(4096))
    with pytest.raises(EdgebuildError) as error:
        media.partitions(tmp_path / "raw")
    assert error.value.kind.code == "E454"


def test_a_boot_partition_that_is_not_fat_is_an_error_E454(tmp_path: Path) -> None:
    header = b"EFI PART".ljust(72, b"\0") + struct.pack("<QII", 2, 1, 128)
    entry = b"k" * 32 + struct.pack("<QQQ", 3, 10, 0) + "boot".encode("utf-16-le").ljust(72, b"\0")
    disk = bytes(512) + header.ljust(512, b"\0") + entry.ljust(512, b"\0")
    (tmp_path / "raw").write_bytes(disk.ljust(8192, b"\0"))
    with pytest.raises(EdgebuildError) as error:
        media.BootFiles(tmp_path / "raw")
    assert error.value.kind.code == "E454"


@given(st.integers(0, 300))
def test_a_truncated_program_is_an_error_or_read_E454(length: int) -> None:
    try:
        media.sections(stub()[:length])
    except EdgebuildError as error:
        assert error.kind.code == "E454"


def tree(*nodes: tuple[str, dict[str, bytes]]) -> bytes:
    """A flattened device tree with these nodes below its root."""
    strings, body = b"", struct.pack(">I4x", 1)
    for name, properties in nodes:
        label = name.encode() + b"\0"
        body += struct.pack(">I", 1) + label + bytes(-len(label) % 4)
        for key, value in properties.items():
            body += struct.pack(">III", 3, len(value), len(strings)) + value
            body += bytes(-len(value) % 4)
            strings += key.encode() + b"\0"
        body += struct.pack(">II", 4, 2)
    body += struct.pack(">II", 2, 9)
    front = 40 + 16
    head = (0xD00DFEED, front + len(body) + len(strings), front, front + len(body), 40, 17, 16, 0)
    return struct.pack(">10I", *head, len(strings), len(body)) + bytes(16) + body + strings


def properties(blob: bytes) -> dict[str, dict[str, bytes]]:
    """The nodes of a tree and their properties; a small reader of its own."""
    head = struct.unpack_from(">10I", blob)
    body, strings = blob[head[2] :][: head[9]], blob[head[3] :][: head[8]]
    assert len(blob) == head[1]
    found: dict[str, dict[str, bytes]] = {}
    path: list[str] = []
    at = 0
    while True:
        (token,) = struct.unpack_from(">I", body, at)
        at += 4
        if token == 1:
            end = body.index(b"\0", at)
            path.append(body[at:end].decode())
            found["/".join(path)] = {}
            at = end + 1 + -(end + 1) % 4
        elif token == 2:
            path.pop()
        elif token == 3:
            size, name = struct.unpack_from(">II", body, at)
            key = strings[name : strings.index(b"\0", name)].decode()
            assert key not in found["/".join(path)]
            found["/".join(path)][key] = body[at + 8 : at + 8 + size]
            at += 8 + size + -size % 4
        elif token == 9:
            return found


TREE = tree(
    ("mmc@1", {"compatible": b"brcm,mmc\0", "vmmc-supply": b"1234", "reg": b"12345"}),
    ("i2c@2", {"status": b"okay\0", "compatible": b"brcm,new-i2c\0brcm,i2c\0"}),
    ("uart@3", {"compatible": b"arm,pl011\0", "status": b"okay\0"}),
)


def test_nodes_are_disabled_by_what_they_are_compatible_with() -> None:
    edited = properties(devicetree.edit(TREE, disable=["brcm,i2c"], drop=["vmmc-supply"]))
    assert edited["/i2c@2"]["status"] == b"disabled\0"
    assert edited["/uart@3"] == {"compatible": b"arm,pl011\0", "status": b"okay\0"}
    assert edited["/mmc@1"] == {"compatible": b"brcm,mmc\0", "reg": b"12345"}


@given(st.integers(0, len(TREE) - 1))
def test_a_truncated_tree_is_an_error_E454(length: int) -> None:
    with pytest.raises(EdgebuildError) as error:
        devicetree.edit(TREE[:length], disable=["brcm,i2c"], drop=[])
    assert error.value.kind.code == "E454"


def test_what_is_no_tree_is_an_error_E454() -> None:
    with pytest.raises(EdgebuildError) as error:
        devicetree.edit(bytes(64), disable=[], drop=[])
    assert error.value.kind.code == "E454"
