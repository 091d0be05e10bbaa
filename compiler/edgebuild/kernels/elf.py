# SPDX-License-Identifier: Apache-2.0
"""The machine code in an object file: little-endian ELF of either width, or WebAssembly.

Sources: System V ABI, chapter 4 (ELF); WebAssembly core specification, 5.5 (binary modules).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from edgebuild.errors.kernels import NOT_AN_OBJECT

_EXECUTABLE = 0x4
_PROGBITS = 1
_SYMTAB = 2
_WASM_CODE = 10
_ARM = 40
_NOP = b"\x00\xbf"

Header: TypeAlias = tuple[Any, ...]


def code_bytes(data: bytes) -> int:
    """Bytes in executable sections. Raises E285."""
    return sum(len(code) for _, code in executable_sections(data))


def executable_sections(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each section with code.

    Raises E285 for what is neither a little-endian ELF file nor a WebAssembly module.
    """
    if data[:8] == b"\0asm\1\0\0\0":
        return _wasm(data)
    if data[:4] == b"\x7fELF" and data[4:6] in (b"\1\1", b"\2\1") and len(data) >= 64:
        return _elf(data, wide=data[4] == 2)
    raise NOT_AN_OBJECT("neither a little-endian ELF file nor a WebAssembly module")


def _elf(data: bytes, *, wide: bool) -> Iterator[tuple[str, bytes]]:
    at_table, at_size, word, header = (
        (40, 58, "<Q", "<IIQQQQI") if wide else (32, 46, "<I", "<IIIIIII")
    )
    try:
        (table,) = struct.unpack_from(word, data, at_table)
        size, count, names = struct.unpack_from("<HHH", data, at_size)
        headers = [struct.unpack_from(header, data, table + size * i) for i in range(count)]
    except (struct.error, OverflowError) as error:
        raise NOT_AN_OBJECT("the section table lies outside of the file") from error
    if count and names >= count:
        raise NOT_AN_OBJECT("the section names lie outside of the section table")
    strings = headers[names][4] if count else 0
    (machine,) = struct.unpack_from("<H", data, 18)
    for number, (name, kind, flags, _address, offset, length, *_) in enumerate(headers):
        if kind == _PROGBITS and flags & _EXECUTABLE:
            start = strings + name
            end = data.find(b"\0", start)
            code = data[offset : offset + length]
            if machine == _ARM:
                code = _without_data(data, code, number, headers)
            yield data[start:end].decode("ascii", "replace"), code


def _without_data(data: bytes, code: bytes, section: int, headers: Sequence[Header]) -> bytes:
    """Arm's constants lie between the instructions: they become NOPs.

    Mapping symbols say where they are. Source: ELF for the Arm Architecture, 5.5.5. A linked
    program without symbols is taken as it is.
    """
    marks = sorted(
        (value, name)
        for _, kind, _, _, offset, length, link in headers
        if kind == _SYMTAB
        for value, name, where in _symbols(data[offset : offset + length], data, headers[link][4])
        if where == section and name[:2] in (b"$d", b"$t", b"$a")
    )
    result = bytearray(code)
    ends = [value for value, _ in marks[1:]] + [len(code)]
    for (begin, name), end in zip(marks, ends, strict=False):
        if name.startswith(b"$d"):
            result[begin:end] = (_NOP * ((end - begin + 1) // 2))[: end - begin]
    return bytes(result)


def _symbols(table: bytes, data: bytes, strings: int) -> Iterator[tuple[int, bytes, int]]:
    """Value, name and section of each symbol of a 32-bit table."""
    for name, value, _size, _info, _other, section in struct.iter_unpack(
        "<IIIBBH", table[: len(table) // 16 * 16]
    ):
        start = strings + name
        yield value, data[start : start + 2], section


def _wasm(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 8
    while at < len(data):
        kind = data[at]
        size, at = leb128(data, at + 1)
        if kind == _WASM_CODE:
            yield "code", data[at : at + size]
        at += size


def leb128(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number at ``at``, and where it ends. Raises E285 past the end."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise NOT_AN_OBJECT("a number is cut off")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
