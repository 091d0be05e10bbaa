# SPDX-License-Identifier: Apache-2.0
"""Sizes of the sections of a 64-bit little-endian ELF file. Source: System V gABI, chapter 4."""

from __future__ import annotations

import struct
from pathlib import Path

_HEAD_BYTES = 64
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NO_BITS = 8  # sh_type of sections that take memory and no room in the file


def sections(path: Path) -> dict[str, int]:
    """Bytes that each named section takes in the file; empty if it is no such file."""
    return parse(path.read_bytes())


def parse(data: bytes) -> dict[str, int]:
    """The same from a file's bytes; any bytes have an answer."""
    if len(data) < _HEAD_BYTES or data[:6] != b"\x7fELF\x02\x01":
        return {}
    (table,) = struct.unpack_from("<Q", data, 40)
    entry_bytes, count, names_at = struct.unpack_from("<HHH", data, 58)
    rows = data[table : table + entry_bytes * count]
    if entry_bytes != _SECTION.size or names_at >= count or len(rows) < entry_bytes * count:
        return {}
    entries = list(_SECTION.iter_unpack(rows))
    start, size = entries[names_at][4:6]
    names = data[start : start + size]
    sizes: dict[str, int] = {}
    for entry in entries:
        name = names[entry[0] :].partition(b"\0")[0].decode("ascii", "replace")
        if name and entry[1] != _NO_BITS:
            sizes[name] = sizes.get(name, 0) + entry[5]
    return sizes
