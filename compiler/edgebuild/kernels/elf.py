# SPDX-License-Identifier: Apache-2.0
"""The size of the machine code in a 64-bit little-endian ELF object (System V ABI, chapter 4)."""

from __future__ import annotations

import struct

_EXECUTABLE = 0x4


def code_bytes(data: bytes) -> int:
    """Bytes in executable sections."""
    (offset,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    total = 0
    for number in range(count):
        at = offset + number * size
        (flags,) = struct.unpack_from("<Q", data, at + 8)
        if flags & _EXECUTABLE:
            total += int(struct.unpack_from("<Q", data, at + 32)[0])
    return total
