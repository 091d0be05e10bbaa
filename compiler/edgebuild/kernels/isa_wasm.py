# SPDX-License-Identifier: Apache-2.0
"""Which proposals the instructions of a WebAssembly module come from.

Features have LLVM's names. Source: WebAssembly core specification 3.0, 5.4 (binary instructions)
and 5.5.13 (code section). Relocatable modules have the same code section as finished ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgebuild.kernels.elf import leb128

_NONE, _ONE, _TWO, _MEMORY, _BLOCK, _TABLE, _FOUR, _EIGHT, _TYPES = range(9)

# Immediates of one-byte opcodes; those that are missing have none.
_IMMEDIATES = {
    **dict.fromkeys((0x02, 0x03, 0x04, 0x06), _BLOCK),
    **dict.fromkeys((0x07, 0x08, 0x09, 0x0C, 0x0D, 0x10, 0x12, 0x18), _ONE),
    **dict.fromkeys((0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26), _ONE),
    **dict.fromkeys((0x11, 0x13), _TWO),
    **dict.fromkeys((0x3F, 0x40, 0x41, 0x42, 0xD0, 0xD2), _ONE),
    **dict.fromkeys(range(0x28, 0x3F), _MEMORY),
    **{0x0E: _TABLE, 0x1C: _TYPES, 0x43: _FOUR, 0x44: _EIGHT},
}

_FEATURES = {
    **dict.fromkeys((0x06, 0x07, 0x08, 0x09, 0x0A, 0x18, 0x19, 0x1F), "exception_handling"),
    **dict.fromkeys((0x12, 0x13, 0x15), "tail_call"),
    **dict.fromkeys(range(0xC0, 0xC5), "sign_ext"),
    **dict.fromkeys((0x1C, 0x25, 0x26, 0xD0, 0xD1, 0xD2), "reference_types"),
    **{0xFB: "gc", 0xFE: "atomics"},
}

_MISCELLANEOUS, _VECTOR = 0xFC, 0xFD
_RELAXED = 0x100  # sub-opcodes of relaxed SIMD begin here
_KNOWN = 0xD3  # one-byte opcodes end before

Found = tuple[int, bytes, Sequence[str]]


def scan(code: bytes) -> Iterator[Found]:
    """Offset, bytes and needed features of each instruction of a code section.

    "unknown" for what has no meaning here, with which that function's scan ends. Raises E285.
    """
    count, at = leb128(code, 0)
    for _ in range(count):
        size, at = leb128(code, at)
        yield from _function(code, at, at + size)
        at += size


def _function(code: bytes, at: int, end: int) -> Iterator[Found]:
    groups, at = leb128(code, at)
    for _ in range(groups):  # locals: how many, of which type
        _, at = leb128(code, at)
        if code[at] == 0x7B:
            yield at, code[at : at + 1], ("simd128",)
        at += 1
    while at < end:
        after, feature = _instruction(code, at)
        yield at, code[at:after], (feature,) if feature else ()
        if feature in ("unknown", "gc", "atomics"):
            return  # their immediates are not known here
        at = after


def _instruction(code: bytes, at: int) -> tuple[int, str]:
    """Where the instruction at ``at`` ends, and the feature it needs."""
    opcode = code[at]
    if opcode in (_MISCELLANEOUS, _VECTOR):
        number, after = leb128(code, at + 1)
        return _miscellaneous(code, number, after) if opcode == _MISCELLANEOUS else (
            _vector(code, number, after)
        )  # fmt: skip
    after = _immediates(code, at + 1, _IMMEDIATES.get(opcode, _NONE))
    return after, _FEATURES.get(opcode, "" if opcode < _KNOWN else "unknown")


def _immediates(code: bytes, at: int, kind: int) -> int:
    """Where immediates of a kind that begin at ``at`` end."""
    if kind == _MEMORY:
        flags, at = leb128(code, at)
        kind = _TWO if flags & 0x40 else _ONE
    if kind in (_TABLE, _TYPES):
        count, at = leb128(code, at)
        for _ in range(count + (kind == _TABLE)):
            _, at = leb128(code, at)
        return at
    for _ in range({_ONE: 1, _TWO: 2, _BLOCK: 1}.get(kind, 0)):
        _, at = leb128(code, at)
    return at + {_FOUR: 4, _EIGHT: 8}.get(kind, 0)


def _miscellaneous(code: bytes, number: int, at: int) -> tuple[int, str]:
    if number < 8:
        return at, "nontrapping_fptoint"
    if number < 18:
        two = number in (8, 10, 12, 14)
        return _immediates(code, at, _TWO if two else _ONE), (
            "bulk_memory" if number < 15 else "reference_types"
        )
    return at, "unknown"


def _vector(code: bytes, number: int, at: int) -> tuple[int, str]:
    if number <= 11 or number in (92, 93):  # loads and stores
        at = _immediates(code, at, _MEMORY)
    elif number in (12, 13):  # a constant, a shuffle
        at += 16
    elif 21 <= number <= 34:  # one lane
        at += 1
    elif 84 <= number <= 91:  # one lane of memory
        at = _immediates(code, at, _MEMORY) + 1
    return at, "relaxed_simd" if number >= _RELAXED else "simd128"
