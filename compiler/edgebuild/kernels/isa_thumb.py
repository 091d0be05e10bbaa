# SPDX-License-Identifier: Apache-2.0
"""Which extension an instruction of Thumb needs, for cores of the M profile.

Rows are (mask, value, feature) of the two halfwords of a long instruction, the first one upper;
the first row with ``word & mask == value`` decides. Features have LLVM's names; "" is Armv7-M.
Sources: Armv7-M Architecture Reference Manual, A5.3 (long encodings), A6 (floating point);
Armv8-M Architecture Reference Manual for what came later (C2.4: Helium).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

Found = tuple[int, bytes, Sequence[str]]

_FP, _DOUBLE, _V8, _MVE_FP = "vfp2sp", "fp64", "has_v8m_main", "mve_fp"

LONG: tuple[tuple[int, int, str], ...] = (
    # Floating point: loads, stores and moves of registers of either width
    (0xFF900F5F, 0xEE800B10, "mve"),  # VDUP
    (0xEE000E00, 0xEC000A00, "fpregs"),
    (0xFF000E10, 0xEE000A10, "fpregs"),
    (0xFFBF0ED0, 0xEEB00A40, "fpregs"),
    # VRINTR, VRINTZ, VRINTX; then FPv5's other additions
    (0xFFBE0F50, 0xEEB60A40, "fp_armv8d16sp"),
    (0xFFBE0F50, 0xEEB60B40, "fp_armv8d16"),
    (0xFF000F00, 0xFE000A00, "fp_armv8d16sp"),
    (0xFF000F00, 0xFE000B00, "fp_armv8d16"),
    # VFNMA, VFNMS, VFMA, VFMS
    (0xFFB00F10, 0xEE900A00, "vfp4d16sp"),
    (0xFFB00F10, 0xEEA00A00, "vfp4d16sp"),
    # Arithmetic in double precision, then in single
    (0xFF000F10, 0xEE000B00, _DOUBLE),
    (0xFF000F10, 0xEE000A00, _FP),
    # Helium's floats: of three registers; fixed point; conversions, roundings, signs
    (0xEF800E50, 0xEF000C50, _MVE_FP),
    (0xEF800F50, 0xEF000D40, _MVE_FP),
    (0xEF800F50, 0xEF000F50, _MVE_FP),
    (0xEFA00CD0, 0xEFA00C50, _MVE_FP),
    (0xFFB30C40, 0xFFB30040, _MVE_FP),
    (0xFFB30C40, 0xFFB20440, _MVE_FP),
    (0xFFB30E40, 0xFFB30640, _MVE_FP),
    (0xFFB30F40, 0xFFB10740, _MVE_FP),
    # with a scalar; comparisons; complex numbers; largest and smallest; halves
    (0xEFB10F60, 0xEE300F40, _MVE_FP),
    (0xEFB11F70, 0xEE311E60, "mve"),  # shifts by a general register
    (0xEFB10F40, 0xEE310E40, _MVE_FP),
    (0xFFB11F51, 0xFE310F01, "mve"),  # VPSEL
    (0xFFBF1FFF, 0xFE310F4D, "mve"),  # VPST, VPNOT
    (0xEFB10F10, 0xEE310F00, _MVE_FP),
    (0xEFB10F50, 0xEE300E00, _MVE_FP),
    (0xFE000F50, 0xFC000840, _MVE_FP),
    (0xEFBF0ED1, 0xEE3F0E81, _MVE_FP),
    (0xEFFD0F50, 0xEEEC0F00, _MVE_FP),
    (0xEFBF0FD1, 0xEE3F0E01, _MVE_FP),
    # What is left of the coprocessors' space is the rest of Helium, or NEON
    (0xEC000000, 0xEC000000, "mve"),
    # Loops over whole vectors and what is left of them; then other loops
    (0xFFDFF001, 0xF00FC001, "lob"),
    (0xFFC0D001, 0xF000C001, "mve"),
    (0xF800D001, 0xF000C001, "lob"),
    # Conditional selection, loads that acquire, secure gateways
    (0xFFF08000, 0xEA508000, "has_v8_1m_main"),
    (0xFFE000E0, 0xE8C00080, "acquire_release"),
    (0xFFE000F0, 0xE8C000A0, "acquire_release"),
    (0xFFE000C0, 0xE8C000C0, "acquire_release"),
    (0xFFFFFFFF, 0xE97FE97F, "8msecext"),
    (0xFFF0F03F, 0xE840F000, _V8),
    # DSP: extensions of half-words with an addition; of pairs of bytes
    (0xFFEFF080, 0xFA0FF080, ""),
    (0xFFEFF080, 0xFA4FF080, ""),
    (0xFF80F080, 0xFA00F080, "dsp"),
    # bytes turned over, leading zeros; then sums that saturate or are parallel
    (0xFFF0F0C0, 0xFA90F080, ""),
    (0xFFF0F0F0, 0xFAB0F080, ""),
    (0xFF80F000, 0xFA80F000, "dsp"),
    (0xFFF0D020, 0xEAC00000, "dsp"),
    (0xFFF0F0F0, 0xF3200000, "dsp"),
    (0xFFF0F0F0, 0xF3A00000, "dsp"),
    # multiplications: of whole words, then of halves and with rounding
    (0xFFF000E0, 0xFB000000, ""),
    (0xFF800000, 0xFB000000, "dsp"),
    (0xFFF000F0, 0xFB9000F0, "hwdiv"),
    (0xFFF000F0, 0xFBB000F0, "hwdiv"),
    (0xFFD000F0, 0xFB800000, ""),
    (0xFFD000F0, 0xFBC00000, ""),
    (0xFF800000, 0xFB800000, "dsp"),
)

_SHORT = (
    (0xFF04, 0x4704, "8msecext"),  # BXNS, BLXNS
    (0xFFC0, 0xBA80, _V8),  # HLT
)


def scan(code: bytes) -> Iterator[Found]:
    """Offset, bytes and needed features of each instruction."""
    offset = 0
    while offset + 2 <= len(code):
        (half,) = struct.unpack_from("<H", code, offset)
        size = 4 if half >= 0xE800 and offset + 4 <= len(code) else 2
        if size == 4:
            (second,) = struct.unpack_from("<H", code, offset + 2)
            needed = _needed(half << 16 | second, LONG)
        else:
            needed = _needed(half, _SHORT)
        yield offset, code[offset : offset + size], needed
        offset += size


def _needed(word: int, rows: Sequence[tuple[int, int, str]]) -> Sequence[str]:
    for mask, value, feature in rows:
        if word & mask == value:
            return (feature,) if feature else ()
    return ()
