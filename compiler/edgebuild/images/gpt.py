# SPDX-License-Identifier: Apache-2.0
"""Writes a GUID partition table (UEFI 2.10, chapter 5), with a hybrid MBR where asked.

The hybrid form also lists the boot partition in the MBR, which every version of the Raspberry
Pi's boot loader reads; Linux takes the GPT, since entry two is of type 0xEE and starts at 1.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass

SECTOR = 512
ALIGN = 2048  # sectors: 1 MiB, a multiple of the erase blocks of common media
_ENTRIES = 128
_TABLE_SECTORS = _ENTRIES * 128 // SECTOR
# Sectors after the last partition: the second table and its header.
TAIL_SECTORS = _TABLE_SECTORS + 1

ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition; ``first`` and ``sectors`` are in sectors of 512 bytes."""

    name: str
    kind: uuid.UUID
    unique: uuid.UUID
    first: int
    sectors: int


def place(sizes: list[int]) -> list[int]:
    """First sectors of partitions of these sizes in bytes, one after the other, aligned."""
    firsts, at = [], ALIGN
    for size in sizes:
        firsts.append(at)
        at += -(-size // (ALIGN * SECTOR)) * ALIGN
    return firsts


def tables(
    partitions: list[Partition], disk: uuid.UUID, total_sectors: int, *, hybrid: bool
) -> tuple[bytes, bytes]:
    """The start of the disk (34 sectors) and its end (33 sectors)."""
    table = b"".join(_entry(partition) for partition in partitions).ljust(_ENTRIES * 128, b"\0")
    last = total_sectors - 1
    primary = _header(table, disk, last, places=(1, last, 2))
    secondary = _header(table, disk, last, places=(last, 1, last - _TABLE_SECTORS))
    head = _mbr(partitions[0], disk, total_sectors, hybrid) + primary + table
    return head, table + secondary


def _entry(partition: Partition) -> bytes:
    last = partition.first + partition.sectors - 1
    name = partition.name.encode("utf-16-le").ljust(72, b"\0")
    return struct.pack(
        "<16s16sQQQ72s",
        partition.kind.bytes_le,
        partition.unique.bytes_le,
        partition.first,
        last,
        0,
        name,
    )


def _header(table: bytes, disk: uuid.UUID, last: int, places: tuple[int, int, int]) -> bytes:
    """A header; ``places``: where it is, where the other one is, and where its table is."""
    here, other, start = places

    def pack(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART",
            0x00010000,
            92,
            checksum,
            0,
            here,
            other,
            2 + _TABLE_SECTORS,
            last - TAIL_SECTORS,
            disk.bytes_le,
            start,
            _ENTRIES,
            128,
            zlib.crc32(table),
        )

    return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")


def _mbr(boot: Partition, disk: uuid.UUID, total: int, hybrid: bool) -> bytes:
    cover = min(total - 1, 0xFFFFFFFF)
    entries = [_mbr_entry(0xEE, 1, cover)]
    if hybrid:
        entries = [_mbr_entry(0x0C, boot.first, boot.sectors), _mbr_entry(0xEE, 1, boot.first - 1)]
    signature = disk.bytes[:4] if hybrid else bytes(4)
    return bytes(440) + signature + bytes(2) + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"


def _mbr_entry(kind: int, first: int, sectors: int) -> bytes:
    # Cylinders, heads and sectors say "beyond CHS": every reader of today takes the LBA fields.
    return struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", first, sectors)
