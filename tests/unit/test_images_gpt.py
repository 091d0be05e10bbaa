# SPDX-License-Identifier: Apache-2.0
"""Partition tables: checksums, both copies, and what old firmware reads."""

import struct
import uuid
import zlib

from edgebuild.images import gpt
from edgebuild.images.identity import identifier

DISK = uuid.UUID(int=7)
TOTAL = 64 * 2048


def made(*, hybrid: bool = False) -> tuple[list[gpt.Partition], bytes, bytes]:
    sizes = [10 << 20, 20 << 20]
    parts = [
        gpt.Partition(name=name, kind=kind, unique=identifier("c", name), first=first, sectors=n)
        for name, kind, first, n in zip(
            ("boot", "root"), (gpt.ESP, gpt.LINUX), gpt.place(sizes), (20480, 40960), strict=True
        )
    ]
    head, tail = gpt.tables(parts, DISK, TOTAL, hybrid=hybrid)
    return parts, head, tail


def check_header(header: bytes, table: bytes, here: int, other: int) -> None:
    (checksum,) = struct.unpack_from("<I", header, 16)
    assert zlib.crc32(header[:16] + bytes(4) + header[20:92]) == checksum
    assert struct.unpack_from("<QQ", header, 24) == (here, other)
    assert struct.unpack_from("<I", header, 88) == (zlib.crc32(table),)


def test_both_headers_agree_and_point_at_each_other() -> None:
    _, head, tail = made()
    assert len(head) == 34 * 512
    assert len(tail) == gpt.TAIL_SECTORS * 512
    assert head[1024:] == tail[: 32 * 512]
    check_header(head[512:1024], head[1024:], 1, TOTAL - 1)
    check_header(tail[32 * 512 :], tail[: 32 * 512], TOTAL - 1, 1)
    assert struct.unpack_from("<Q", tail, 32 * 512 + 72) == (TOTAL - 33,)
    assert struct.unpack_from("<QQ", head, 512 + 40) == (34, TOTAL - 34)


def test_partitions_are_aligned_named_and_inside() -> None:
    parts, head, _ = made()
    for index, part in enumerate(parts):
        entry = head[1024 + 128 * index :][:128]
        assert struct.unpack_from("<QQ", entry, 32) == (part.first, part.first + part.sectors - 1)
        assert entry[56:].decode("utf-16-le").rstrip("\0") == part.name
        assert uuid.UUID(bytes_le=entry[:16]) == part.kind
        assert part.first % 2048 == 0
    assert parts[0].first + parts[0].sectors == parts[1].first


def test_the_protective_mbr_covers_the_disk() -> None:
    _, head, _ = made()
    assert head[510:512] == b"\x55\xaa"
    assert head[446 + 4] == 0xEE
    assert struct.unpack_from("<II", head, 446 + 8) == (1, TOTAL - 1)
    assert head[462:510] == bytes(48)


def test_the_hybrid_mbr_names_the_boot_partition_and_stays_a_gpt_for_linux() -> None:
    parts, head, _ = made(hybrid=True)
    assert head[446 + 4] == 0x0C
    assert struct.unpack_from("<II", head, 446 + 8) == (parts[0].first, parts[0].sectors)
    assert head[462 + 4] == 0xEE
    assert struct.unpack_from("<I", head, 462 + 8) == (1,)


def test_identifiers_are_of_content_and_purpose_alone() -> None:
    assert identifier("a", "disk") == identifier("a", "disk")
    assert len({identifier(c, p) for c in "ab" for p in ("disk", "root")}) == 4
    assert identifier("a", "disk").version == 8
    assert identifier("a", "disk").variant == uuid.RFC_4122
