# SPDX-License-Identifier: Apache-2.0
"""Requantisation in double, on cores that have no vectors but a fused multiply-add of doubles.

A line (``rounding.double_line``) is one such instruction; a double has its limits for one more
each, where a whole number takes a comparison and a move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgebuild.kernels import rounding
from edgebuild.kernels.program import FUNCTIONS, Step
from edgebuild.kernels.tir.constants import Array, Block, Constants
from edgebuild.kernels.tir.emit import Expr, Index, Memory, Writer, cast, const, llvm
from edgebuild.kernels.tir.isa import Isa

Numbers = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A step's 8-bit result and its other forms."""

    stored: Expr  # int8
    centred: Callable[[], Expr]  # int32, without the zero
    real: Callable[[], Expr]  # float32, without the zero
    zero: int


def suits(isa: Isa, step: Step) -> bool:
    """Whether ``step`` requantises in double, and best has its input so."""
    if not isa.doubles or isa.vector_bits or "known" not in FUNCTIONS[step.function][1]:
        return False
    known = dict(zip(FUNCTIONS[step.function][1], step.numbers, strict=True))["known"]
    return known >= (rounding.LINE if step.function == "requantise" else rounding.RIGHT)


class DoubleLines:
    """Emits them."""

    def __init__(
        self, writer: Writer, block: Block, constants: Memory, domain: Sequence[int]
    ) -> None:
        self._w, self._block, self._constants, self._domain = writer, block, constants, domain

    def line(
        self, x: Expr, n: Numbers, lanes: int, channel: Index, names: tuple[str, str]
    ) -> Result:
        """trunc(x * slope + copysign(half, x)); ``names``: of multiplier and shift.

        Zeros follow the last channel.
        """
        w, limits = self._w, [int(n[limit]) - int(n["zero"]) for limit in ("lo", "hi")]
        key, count = f"{names[0]}/{names[1]}/{limits}", self._domain[-1] + lanes

        def get(field: str) -> Expr:
            def values(c: Constants) -> Array:
                found = rounding.double_line(c[names[0]], c[names[1]], *limits)
                if found is None:
                    raise ValueError("a line was promised that does not exist")
                each = np.broadcast_to(getattr(found, field), (self._domain[-1],))
                return np.pad(each, (0, lanes))

            at = self._block.reserve(f"{field}/{key}/{lanes}", "float64", count, values)
            return w.let(self._constants.load(channel + at, "float64", lanes))

        x = w.let(cast(x, "float64"))
        if n["known"] >= rounding.FLOOR:
            return self._floor(x, n, lanes, channel, names, get("slope"))
        start = w.let(llvm("float64", lanes, "llvm.copysign", get("half"), x))
        z = w.let(llvm("float64", lanes, "llvm.fma", x, get("slope"), start))
        return self._limited(z, n, lanes, lambda z: cast(z, "int32"))

    def _floor(
        self, x: Expr, n: Numbers, lanes: int, channel: Index, names: tuple[str, str], slope: Expr
    ) -> Result:  # fmt: skip
        """The zero is in the start, and the conversion itself rounds down."""
        w, zero, lo, hi = self._w, int(n["zero"]), int(n["lo"]), int(n["hi"])

        def values(c: Constants) -> Array:
            found = rounding.floor_starts(c[names[0]], c[names[1]], lo - zero, hi - zero)
            if found is None:
                raise ValueError("a line was promised that does not exist")
            return np.pad(np.broadcast_to(found + zero, (self._domain[-1],)), (0, lanes))

        key = f"floor/{names[0]}/{names[1]}/{zero}/{lo}/{hi}/{lanes}"
        at = self._block.reserve(key, "float64", self._domain[-1] + lanes, values)
        start = w.let(self._constants.load(channel + at, "float64", lanes))
        z = w.let(llvm("float64", lanes, "llvm.fma", x, slope, start))
        z = self._between(z, lo, hi, lanes)
        y = w.let(cast(llvm("float64", lanes, "llvm.floor", z), "int32"))
        centred = y - const(zero, "int32", lanes)
        return Result(
            stored=w.let(cast(y, "int8")), centred=lambda: w.let(centred),
            real=lambda: w.let(cast(w.let(centred), "float32")), zero=zero,
        )  # fmt: skip

    def _between(self, z: Expr, lo: int, hi: int, lanes: int) -> Expr:
        """The limits are whole numbers, so they may come before rounding."""
        for limit, name in ((lo, "llvm.maxnum"), (hi, "llvm.minnum")):
            z = self._w.let(llvm("float64", lanes, name, z, const(float(limit), "float64", lanes)))
        return z

    def real(self, x: Expr, scale: Expr, n: Numbers, lanes: int) -> Result:
        """The nearest whole number of x * scale, halves away from zero."""
        x = self._w.let(self._w.let(cast(x, "float64")) * scale)
        return self._limited(x, n, lanes, lambda x: llvm("int64", lanes, "llvm.lround", x))

    def _limited(self, z: Expr, n: Numbers, lanes: int, whole: Callable[[Expr], Expr]) -> Result:
        """``z``: doubles that ``whole`` makes integers of."""
        w, zero = self._w, int(n["zero"])
        z = self._between(z, int(n["lo"]) - zero, int(n["hi"]) - zero, lanes)
        y = w.let(cast(whole(z), "int32"))
        return Result(
            stored=w.let(cast(w.let(y + const(zero, "int32", lanes)), "int8")),
            centred=lambda: y, real=lambda: w.let(cast(y, "float32")), zero=zero,
        )  # fmt: skip
