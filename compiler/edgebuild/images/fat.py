# SPDX-License-Identifier: Apache-2.0
"""Writes a FAT32 boot partition (Microsoft's FAT specification 1.03), bytes from content alone.

mtools would do it too, but takes the clock, and no flag stops all of that. Files are laid one
after the other, so everything used is at the front of the partition.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgebuild.errors.images import NAME_UNFIT, PARTITION_FULL

_SECTOR = 512
_CLUSTER = 8 * _SECTOR
_RESERVED = 32
_END = 0x0FFFFFFF
_DATE = 0x0021  # 1980-01-01
_MIN_CLUSTERS = 65525  # fewer, and readers take it for FAT16
_DIRECTORY, _ARCHIVE, _LABEL, _LONG = 0x10, 0x20, 0x08, 0x0F
_SHORT = set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-~!#$%&'()@^`{}")


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    data: bytes | None = None  # None for a directory
    first: int = 0
    clusters: int = 0


def image(files: Mapping[str, bytes], size_bytes: int, volume: int, label: str) -> bytes:
    """The used front of a FAT32 file system of ``size_bytes``; the rest of it is free space.

    ``files`` maps a path with slashes to content, ``volume`` is the 32-bit serial number. Raises
    E404 when the files do not fit and E407 for a name that FAT cannot store.
    """
    sectors = size_bytes // _SECTOR
    fat_sectors, clusters = _geometry(sectors)
    root = _tree(files)
    table = [0x0FFFFFF8, _END]
    order = _allocate(root, table)
    if len(table) - 2 > clusters:
        needed = (len(table) - 2) * _CLUSTER
        raise PARTITION_FULL(
            f"the boot files need {needed} bytes, and the boot partition holds "
            f"{clusters * _CLUSTER}",
            hint="leave out device trees or kernel modules that this board does not need",
        )
    fat = struct.pack(f"<{len(table)}I", *table).ljust(fat_sectors * _SECTOR, b"\0")
    out = bytearray(_boot_sectors(sectors, fat_sectors, volume, label, clusters - len(table) + 2))
    out += fat + fat
    for node, parent in order:
        content = node.data if node.data is not None else _directory(node, parent, root, label)
        out += content.ljust(node.clusters * _CLUSTER, b"\0")
    return bytes(out)


def _geometry(sectors: int) -> tuple[int, int]:
    """Sectors of one table, and data clusters, such that both together fit."""
    fat_sectors = -(-(sectors // 8 + 2) * 4 // _SECTOR)
    clusters = (sectors - _RESERVED - 2 * fat_sectors) // 8
    if clusters < _MIN_CLUSTERS:
        raise PARTITION_FULL(f"{sectors * _SECTOR} bytes are too few for FAT32")
    return fat_sectors, clusters


def _tree(files: Mapping[str, bytes]) -> _Node:
    root = _Node()
    for path in sorted(files):
        at = root
        *parents, name = path.strip("/").split("/")
        for parent in parents:
            at = at.children.setdefault(parent, _Node())
        at.children[name] = _Node(data=files[path])
    return root


def _allocate(root: _Node, table: list[int]) -> list[tuple[_Node, _Node]]:
    """Give clusters to every node, parents first. Returns (node, parent) in disk order."""
    order, waiting = [], [(root, root)]
    while waiting:
        node, parent = waiting.pop(0)
        size = _directory_bytes(node, node is root) if node.data is None else len(node.data)
        node.clusters = -(-size // _CLUSTER)
        if node.clusters:
            node.first = len(table)
            table.extend(range(node.first + 1, node.first + node.clusters))
            table.append(_END)
        order.append((node, parent))
        waiting += [(node.children[name], node) for name in sorted(node.children)]
    return order


def _directory_bytes(node: _Node, is_root: bool) -> int:
    entries = 1 if is_root else 2  # the label, or "." and ".."
    shorts: set[bytes] = set()
    for name in sorted(node.children):
        entries += 1 + _long_count(name, _short_name(name, shorts))
    return (entries + 1) * 32


def _directory(node: _Node, parent: _Node, root: _Node, label: str) -> bytes:
    if node is root:
        out = _entry(label.upper().encode().ljust(11), _LABEL, 0, 0)
    else:
        # ".." of a directory in the root names cluster 0 by rule.
        up = 0 if parent is root else parent.first
        out = _entry(b".".ljust(11), _DIRECTORY, node.first, 0)
        out += _entry(b"..".ljust(11), _DIRECTORY, up, 0)
    shorts: set[bytes] = set()
    for name in sorted(node.children):
        child, short = node.children[name], _short_name(name, shorts)
        kind = _DIRECTORY if child.data is None else _ARCHIVE
        out += _long_entries(name, short) + _entry(short, kind, child.first, len(child.data or b""))
    return out


def _entry(short: bytes, kind: int, first: int, size: int) -> bytes:
    high, low = first >> 16, first & 0xFFFF
    return struct.pack(
        "<11sBBBHHHHHHHI", short, kind, 0, 0, 0, _DATE, _DATE, high, 0, _DATE, low, size
    )


def _split(name: str) -> tuple[str, str]:
    base, dot, extension = name.rpartition(".")
    return (base, extension) if dot else (name, "")


def _short_name(name: str, taken: set[bytes]) -> bytes:
    """The 8.3 name of ``name``, unique among ``taken``, to which it is added."""
    if not name or len(name) > 255 or any(c in '\\/:*?"<>|' or ord(c) < 32 for c in name):
        raise NAME_UNFIT(f"the name {name!r} cannot be stored on a FAT partition")
    base, extension = ("".join(c for c in part.upper() if c in _SHORT) for part in _split(name))
    short = base[:8].ljust(8).encode() + extension[:3].ljust(3).encode()
    number = 0
    while short in taken or (number == 0 and not _fits(name)):
        number += 1
        stem = base[: 7 - len(str(number))] + f"~{number}"
        short = stem.ljust(8).encode() + extension[:3].ljust(3).encode()
        if short not in taken:
            break
    taken.add(short)
    return short


def _fits(name: str) -> bool:
    """Whether the name is an 8.3 name, apart from the case of its letters."""
    base, extension = _split(name)
    plain = all(c in _SHORT for c in (base + extension).upper())
    return plain and 0 < len(base) <= 8 and len(extension) <= 3


def _plain(short: bytes) -> str:
    base, extension = short[:8].decode().rstrip(), short[8:].decode().rstrip()
    return f"{base}.{extension}" if extension else base


def _long_count(name: str, short: bytes) -> int:
    return 0 if name == _plain(short) else -(-len(name) // 13)


def _long_entries(name: str, short: bytes) -> bytes:
    count = _long_count(name, short)
    checksum = 0
    for byte in short:
        checksum = ((checksum & 1) << 7 | checksum >> 1) + byte & 0xFF
    # A name that does not fill its last entry ends in one zero, then in ones.
    units = (name.encode("utf-16-le") + b"\0\0").ljust(count * 26, b"\xff")[: count * 26]
    out = b""
    for index in range(count, 0, -1):
        part = units[(index - 1) * 26 : index * 26]
        mark = index | (0x40 if index == count else 0)
        out += struct.pack(
            "<B10sBBB12sH4s", mark, part[:10], _LONG, 0, checksum, part[10:22], 0, part[22:]
        )
    return out


def _boot_sectors(sectors: int, fat_sectors: int, volume: int, label: str, free: int) -> bytes:
    """The reserved sectors: boot sector and information sector, with their copies."""
    boot = struct.pack(
        "<3s8sHBHBHHBHHHIIIHHIHH12sBBBI11s8s",
        b"\xeb\x58\x90", b"EDGEBOOT", _SECTOR, 8, _RESERVED, 2, 0, 0, 0xF8, 0, 32, 64, 0, sectors,
        fat_sectors, 0, 0, 2, 1, 6, bytes(12), 0x80, 0, 0x29, volume,
        label.upper().encode().ljust(11), b"FAT32   ",
    ).ljust(510, b"\0") + b"\x55\xaa"  # fmt: skip
    information = (b"RRaA".ljust(484, b"\0") + b"rrAa" + struct.pack("<II", free, 2)).ljust(
        508, b"\0"
    ) + b"\x00\x00\x55\xaa"
    first = boot + information
    return (first.ljust(6 * _SECTOR, b"\0") + first).ljust(_RESERVED * _SECTOR, b"\0")
