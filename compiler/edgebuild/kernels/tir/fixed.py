# SPDX-License-Identifier: Apache-2.0
"""TFLite's fixed-point multiplication as vector code, exact for every input.

The reference computes RoundingDivideByPOT(SaturatingRoundingDoublingHighMul(x, m), e). Its first
part equals y = floor((x*m + 2**30) / 2**31) for either sign, its second
floor((y + 2**(e-1) + s) / 2**e) with s = -1 for negative y and e > 0. Two floors in a row are one:

    (x*m + 2**30 + half*2**31 - (x*m < 0 ? 2**31 : 0)) >> (31 + e),  half = 2**(e-1), 0 for e = 0

in 64 bits (where x*m is negative but y is 0, the extra -1 changes nothing). Before AVX-512, x86 has
no arithmetic shift of 64-bit lanes: there 2**62 is added first and its image taken off after.

Where every shift is to the right and every multiplier is normalised (``rounding.RIGHT``), 32 bits
are enough after the product. The first part is the upper half of x * 2m + 2**31, and 2m = n + 2**32
with n a signed number: upper(x*n + 2**31) + x. The second part halves last:
(((y + s) >> (e-1)) + 1) >> 1.

TVM marks signed additions as never overflowing, so every sum here must fit its type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    doubled: Integers  # 2 * multiplier - 2**32
    left: Integers  # NEON shifts left by this first
    right: Integers  # exponent of the rounding division
    addend: Integers  # 64 bits
    biased: Integers  # the same + 2**62
    negative: Integers  # taken off where the product is negative
    shift: Integers
    image: Integers  # taken off after a logical shift of the biased sum
    before: Integers  # right - 1
    power: Integers  # 2**(30 - before)


def scale(multiplier: Integers, shift: Integers) -> Scale:
    """The constants for MultiplyByQuantizedMultiplier."""
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    one = np.int64(1)
    # a shift to the left is so much less of one to the right: the same unless x << left overflows
    total = 31 - shift
    nudge = one << np.maximum(30 - left, 0)
    half = np.where(right > 0, one << (30 + right), 0)
    bias = np.int64(1 << 62)
    return Scale(
        multiplier=multiplier, doubled=2 * multiplier - (one << 32), left=left, right=right,
        addend=nudge + half, biased=nudge + half + bias,
        negative=np.where(right > 0, one << 31, 0),
        shift=total,
        image=bias >> total,
        before=right - 1,
        power=one << np.minimum(31 - right, 30),
    )  # fmt: skip


#: The instructions that double, multiply, round and take the upper half, and that shift by a
#: vector's numbers; the latter's flags: without saturation, rounding, signed.
_ROUND_AND_DOUBLE: dict[str, tuple[Any, ...]] = {
    "aarch64": ("llvm.aarch64.neon.sqrdmulh", "llvm.aarch64.neon.srshl"),
    "armv8.1-m": ("llvm.arm.mve.vqrdmulh", "llvm.arm.mve.vshl.vector", 0, 1, 0),
}

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

    def multiply(
        self, x: Expr, lanes: int, get: Fetch, *, right: bool = False, limited: bool = False
    ) -> Expr:
        """int32 lanes -> int32 lanes. ``right``: the promise of ``rounding.RIGHT``.

        ``limited``: 0 or more is the least that counts. A number below it gives 0 or less without
        being moved by -1 as well.
        """
        w = self._w
        if self._isa.arch in _ROUND_AND_DOUBLE and self._isa.vector_bits and lanes % 4 == 0:
            return self._neon(x, lanes, get, right=right, limited=limited)
        if self.split(lanes):
            if right:
                return self._upper(x, lanes, get, limited=limited)
            return self._even_odd(x, lanes, get)
        if right and (self._isa.narrow or self._isa.vector_bits):
            return self._in_words(x, lanes, get, limited=limited)
        product = w.let(cast(x, "int64") * cast(get("multiplier"), "int64"))
        return w.let(cast(self._shifted(product, lanes, get, ""), "int32"))

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
        return w.let(cast(unsigned, "int64") - get("image" + half))

    def _products(self, x: Expr, m: Expr, lanes: int) -> list[Expr]:
        """x86 multiplies 32-bit lanes into 64 bits only in even places (pmuldq)."""
        w, result = self._w, []
        amount = const(32, "int64", lanes // 2)
        for place in (0, 1):
            # moved to even places: LLVM knows no odd ones, and AVX2 no shift that would extend them
            order = [i + place for i in range(0, lanes, 2) for _ in (0, 1)]
            moved = [w.let(shuffle([v], order)) if place else v for v in (x, m)]
            wide = [w.let(bits(v, "int64", lanes // 2)) for v in moved]
            a, b = (w.let((v << amount) >> amount) for v in wide)
            result.append(w.let(a * b))
        return result

    def _upper(self, x: Expr, lanes: int, get: Fetch, *, limited: bool) -> Expr:
        """The form for shifts to the right."""
        w, nudge = self._w, const(1 << 31, "int64", lanes // 2)
        products = [w.let(p + nudge) for p in self._products(x, get("doubled"), lanes)]
        halves = [w.let(bits(p, "int32", lanes)) for p in products]
        order = [i + 1 + side * lanes for i in range(0, lanes, 2) for side in (0, 1)]
        y = w.let(w.let(shuffle(halves, order)) + x)
        y = y if limited else w.let(y + (y >> const(31, "int32", lanes)))
        y = w.let(w.let(y >> get("before")) + const(1, "int32", lanes))
        return w.let(y >> const(1, "int32", lanes))

    def _in_words(self, x: Expr, lanes: int, get: Fetch, *, limited: bool) -> Expr:
        """The same where a product is in one piece: Thumb's smmlar is the first step."""
        w = self._w
        y = w.let(self._shifted_product(x, get("doubled"), 1 << 31, 32, lanes) + x)
        y = y if limited else w.let(y + (y >> const(31, "int32", lanes)))
        if self._isa.arch == "wasm32":
            # a vector's lanes shift by one amount only; a product with a power of two is a shift
            y = self._shifted_product(y, get("power"), 0, 30, lanes)
        else:
            y = w.let(y >> get("before"))
        return w.let(w.let(y + const(1, "int32", lanes)) >> const(1, "int32", lanes))

    def _shifted_product(self, x: Expr, m: Expr, addend: int, shift: int, lanes: int) -> Expr:
        """(x * m + addend) >> shift, which fits 32 bits."""
        product = self._w.let(cast(x, "int64") * cast(m, "int64"))
        total = self._w.let(product + const(addend, "int64", lanes)) if addend else product
        return self._w.let(cast(self._w.let(total >> const(shift, "int64", lanes)), "int32"))

    def _even_odd(self, x: Expr, lanes: int, get: Fetch) -> Expr:
        w, halves = self._w, []
        products = self._products(x, get("multiplier"), lanes)
        for half, product in zip(("even", "odd"), products, strict=True):
            done = self._shifted(product, lanes // 2, get, f".{half}")
            halves.append(w.let(bits(done, "int32", lanes)))
        order = [i + side * lanes for i in range(0, lanes, 2) for side in (0, 1)]
        return w.let(shuffle(halves, order))

    def _neon(self, x: Expr, lanes: int, get: Fetch, *, right: bool, limited: bool) -> Expr:
        """sqrdmulh is the first part; srshl rounds halves up, so negatives are moved by -1.

        Helium has both, and calls them vqrdmulh and vrshl.
        """
        double, *shifted = _ROUND_AND_DOUBLE[self._isa.arch]
        w, parts = self._w, []
        x = x if right else w.let(x << get("left"))
        multiplier, shift = get("multiplier"), get("minus_right")
        for at in range(0, lanes, 4):
            window = list(range(at, at + 4))
            y, m, r = (w.let(shuffle([v], window)) for v in (x, multiplier, shift))
            y = w.let(llvm("int32", 4, double, y, m))
            if not limited:
                moved = y if right else y & r
                y = w.let(y + (moved >> const(31, "int32", 4)))
            how = [const(flag, "int32") for flag in shifted[1:]]
            parts.append(w.let(llvm("int32", 4, shifted[0], y, r, *how)))
        return w.let(shuffle(parts, list(range(lanes)))) if lanes > 4 else parts[0]
