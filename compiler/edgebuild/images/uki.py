# SPDX-License-Identifier: Apache-2.0
"""Joins EFI stub, kernel, initramfs and command line into one EFI program.

The format is the UAPI group's Unified Kernel Image: the parts are sections of a PE file whose
code is systemd's stub, which finds them by name. One file means one signature, later.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from edgebuild.errors.images import BINARY_MALFORMED

_READ_DATA = 0x40000040  # initialised data, readable


def assemble(stub: bytes, sections: Mapping[str, bytes]) -> bytes:
    """The stub with ``sections`` (name with its dot → content) added in order. Raises E406."""
    try:
        return _assemble(bytearray(stub), sections)
    except struct.error as error:
        raise BINARY_MALFORMED("the EFI stub is truncated", where="systemd-boot-efi") from error


def _assemble(out: bytearray, sections: Mapping[str, bytes]) -> bytes:
    (pe,) = struct.unpack_from("<I", out, 0x3C)
    if out[:2] != b"MZ" or out[pe : pe + 4] != b"PE\0\0":
        raise BINARY_MALFORMED("the EFI stub is not a PE file", where="systemd-boot-efi")
    (count,) = struct.unpack_from("<H", out, pe + 6)
    (optional_bytes,) = struct.unpack_from("<H", out, pe + 20)
    optional = pe + 24
    section_align, file_align = struct.unpack_from("<II", out, optional + 32)
    (header_bytes,) = struct.unpack_from("<I", out, optional + 60)
    heads = optional + optional_bytes
    if heads + 40 * (count + len(sections)) > header_bytes:
        raise BINARY_MALFORMED("the EFI stub has no room for more sections")
    end = _memory_end(out, heads, count)
    for name, content in sections.items():
        out += bytes(-len(out) % file_align)
        address, raw_bytes = -(-end // section_align) * section_align, len(content)
        raw_bytes += -raw_bytes % file_align
        head = struct.pack(
            "<8sIIIIIIHHI",
            name.encode(), len(content), address, raw_bytes, len(out), 0, 0, 0, 0, _READ_DATA,
        )  # fmt: skip
        out[heads + 40 * count : heads + 40 * (count + 1)] = head
        out += content.ljust(raw_bytes, b"\0")
        end = address + len(content)
        count += 1
    struct.pack_into("<H", out, pe + 6, count)
    struct.pack_into("<I", out, optional + 56, -(-end // section_align) * section_align)
    # The checksum is optional for EFI, and wrong now: zero says that there is none.
    struct.pack_into("<I", out, optional + 64, 0)
    return bytes(out)


def _memory_end(out: bytearray, heads: int, count: int) -> int:
    sizes = [struct.unpack_from("<II", out, heads + 40 * index + 8) for index in range(count)]
    return max((address + size for size, address in sizes), default=0)
