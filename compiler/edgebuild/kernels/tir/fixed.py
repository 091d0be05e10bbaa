# SPDX-License-Identifier: Apache-2.0
"""TFLite's fixed-point multiplication as vector code, exact for every input.

The reference computes RoundingDivideByPOT(SaturatingRoundingDoublingHighMul(x, m), e). Its first
part equals y = floor((x*m + 2**30) / 2**31) for either sign, its second
floor((y + 2**(e-1) + s) / 2**e) with s = -1 for negative y and e > 0. Two floors in a row are one:

    (x*m + 2**30 + half*2**31 - (x*m < 0 ? 2**31 : 0)) >> (31 + e),  half = 2**(e-1), 0 for e = 0

in 64 bits (where x*m is negative but y is 0, the extra -1 changes nothing). Before AVX-512, x86 has
no arithmetic shift of 64-bit lanes: there 2**62 is added first and its image taken off after.

TVM marks signed additions as never overflowing, so every sum here must fit its type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from edgebuild.kernels.tir.emit import Expr, Writer, bits, cast, const, llvm, shuffle
from edgebuild.kernels.tir.isa import Isa

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A multiplier in the form above, per channel or for all: what the vector code reads."""

    multiplier: Integers
    zero: int
    left: Integers  # NEON shifts left by this first
    right: Integers  # exponent of the rounding division
    addend: Integers  # 64 bits
    biased: Integers  # the same + 2**62
    negative: Integers  # taken off where the product is negative
    shift: Integers
    offset: Integers  # added after a logical shift of the biased sum


def scale(multiplier: Integers, shift: Integers, zero: int) -> Scale:
    """The constants for MultiplyByQuantizedMultiplier, then + zero."""
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    one = np.int64(1)
    # a shift to the left is so much less of one to the right: the same unless x << left overflows
    total = 31 - shift
    nudge = one << np.maximum(30 - left, 0)
    half = np.where(right > 0, one << (30 + right), 0)
    bias = np.int64(1 << 62)
    return Scale(
        multiplier=multiplier, zero=zero, left=left, right=right,
        addend=nudge + half, biased=nudge + half + bias,
        negative=np.where(right > 0, one << 31, 0),
        shift=total,
        offset=zero - (bias >> total),
    )  # fmt: skip


#: Vectors of one ``Scale`` for the lanes at hand: name -> value.
Fetch = Callable[[str], Expr]


class Fixed:
    """Emits the multiplication for a core."""

    def __init__(self, writer: Writer, isa: Isa) -> None:
        self._w, self._isa = writer, isa

    def split(self, lanes: int) -> bool:
        """Whether 64-bit constants come as even lanes, then odd lanes."""
        # a tail starts at a multiple of any power of two that it contains, and of nothing else
        return self._isa.arch == "x86_64" and lanes > 1 and lanes & (lanes - 1) == 0

    def multiply(self, x: Expr, lanes: int, get: Fetch) -> Expr:
        """int32 lanes -> int32 lanes, the zero point added."""
        w = self._w
        if self._isa.arch == "aarch64" and lanes % 4 == 0:
            return self._neon(x, lanes, get)
        if self.split(lanes):
            return self._even_odd(x, lanes, get)
        product = w.let(cast(x, "int64") * cast(get("multiplier"), "int64"))
        done = w.let(cast(self._shifted(product, lanes, get, ""), "int32"))
        return w.let(done + get("zero"))

    def multiply_small(
        self, x: Expr, multiplier: int, right: int, left: int, zero: int, lanes: int
    ) -> Expr:
        """The same for ((x - zero) << left) by numbers, |x - zero| < 256: 32 bits are enough.

        With m = h * 2**16 + l, (x*m + 2**(30-left)) >> (31-left) is
        (x*h << (left-15)) + ((x*l + 2**(30-left)) >> (31-left)): the first part has no fraction.
        """
        w, drop = self._w, 31 - left
        high, low = (multiplier >> 16) << (16 - drop), multiplier & 0xFFFF

        def number(value: int) -> Expr:
            return const(value, "int32", lanes)

        fraction = w.let((x * number(low) + number((1 << (drop - 1)) - zero * low)) >> number(drop))
        y = w.let(w.let(x * number(high) + number(-zero * high)) + fraction)
        if right == 0:
            return y
        sign = w.let(y >> number(31))
        return w.let(w.let(y + sign + number(1 << (right - 1))) >> number(right))

    def _shifted(self, product: Expr, lanes: int, get: Fetch, half: str) -> Expr:
        w, zero, shift = self._w, const(0, "int64", lanes), get("shift" + half)
        logical = half != "" and self._isa.vector_bits < 512
        total = w.let(product + get(("biased" if logical else "addend") + half))
        reduced = w.let(total - get("negative" + half))
        total = w.let(tirx.Select(product < zero, reduced, total))
        if not logical:
            return w.let(total >> shift)
        unsigned = w.let(cast(total, "uint64") >> cast(shift, "uint64"))
        return w.let(cast(unsigned, "int64") + get("offset" + half))

    def _even_odd(self, x: Expr, lanes: int, get: Fetch) -> Expr:
        """x86 multiplies 32-bit lanes into 64 bits only in even places (pmuldq)."""
        w, halves = self._w, []
        amount = const(32, "int64", lanes // 2)
        wide_x = w.let(bits(x, "int64", lanes // 2))
        wide_m = w.let(bits(get("multiplier"), "int64", lanes // 2))
        for half in ("even", "odd"):
            a, b = (
                w.let((v << amount if half == "even" else v) >> amount) for v in (wide_x, wide_m)
            )
            done = self._shifted(w.let(a * b), lanes // 2, get, f".{half}")
            halves.append(w.let(bits(done, "int32", lanes)))
        order = [i + side * lanes for i in range(0, lanes, 2) for side in (0, 1)]
        joined = w.let(shuffle(halves, order))
        return joined if self._isa.vector_bits < 512 else w.let(joined + get("zero"))

    def _neon(self, x: Expr, lanes: int, get: Fetch) -> Expr:
        """sqrdmulh is the first part; srshl rounds halves up, so negatives are moved by -1."""
        w, parts = self._w, []
        x = w.let(x << get("left"))
        multiplier, right, zero = get("multiplier"), get("minus_right"), get("zero")
        for at in range(0, lanes, 4):
            window = list(range(at, at + 4))
            y, m, r = (w.let(shuffle([v], window)) for v in (x, multiplier, right))
            y = w.let(llvm("int32", 4, "llvm.aarch64.neon.sqrdmulh", y, m))
            y = w.let(y + ((y & r) >> const(31, "int32", 4)))
            parts.append(w.let(llvm("int32", 4, "llvm.aarch64.neon.srshl", y, r)))
        joined = w.let(shuffle(parts, list(range(lanes)))) if lanes > 4 else parts[0]
        return w.let(joined + zero)
