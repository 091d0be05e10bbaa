# SPDX-License-Identifier: Apache-2.0
"""The 8-bit steps of programs: requantisation, and sums and products of 8-bit numbers.

Each gives its result in the forms that a next step may want; what nobody reads, LLVM drops. There
are three ways to compute: in fixed point (``fixed.py``), in double for dense layers, and as a line
in float32 where ``rounding.py`` proves it (with additions that round towards zero: AVX-512's).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from tvm import tirx

from edgebuild.kernels import rounding
from edgebuild.kernels.program import FUNCTIONS, Step
from edgebuild.kernels.tir import double_lines
from edgebuild.kernels.tir.constants import Array, Block, Constants
from edgebuild.kernels.tir.double_lines import DoubleLines, Numbers, Result
from edgebuild.kernels.tir.emit import (
    Expr,
    Index,
    Memory,
    Writer,
    bits,
    cast,
    const,
    dtype_of,
    llvm,
    shuffle,
)  # fmt: skip
from edgebuild.kernels.tir.fixed import Fetch, Fixed, scale
from edgebuild.kernels.tir.isa import Isa

#: The instruction's own rounding mode: towards zero, no exceptions.
_TOWARDS_ZERO = 11
_LANES = 16

#: An argument as it is stored, and what else is known of it.
Value = tuple[Expr, Result | None]


class Integers:
    """Emits the 8-bit steps of one program."""

    def __init__(
        self, writer: Writer, isa: Isa, block: Block, constants: Memory, domain: Sequence[int]
    ) -> None:
        self._w, self._isa, self._block, self._constants = writer, isa, block, constants
        self._domain = domain
        self._fixed = Fixed(writer, isa)
        self._doubles = DoubleLines(writer, block, constants, domain)

    def run(
        self, step: Step, value: Callable[[int], Expr], results: Mapping[int, Result],
        channel: Index, lanes: int, *, even: bool = True,
    ) -> Result:  # fmt: skip
        """One of STEPS at ``lanes`` neighbours; ``results`` are those of earlier steps."""
        numbers = dict(zip(FUNCTIONS[step.function][1], step.numbers, strict=True))
        if step.function == "requantise":
            return self._requantise(step, numbers, value, channel, lanes, even=even)
        if step.function == "requantise_real":
            return self._requantise_real(step, numbers, value, channel, lanes)
        arguments = [(value(number), results.get(number)) for number in step.arguments]
        return _OF_BYTES[step.function](self, numbers, arguments, lanes)

    # ---- forms of a result ----

    def _result(self, y: Expr, n: Numbers, lanes: int, *, small: bool = True) -> Result:
        """``y``: int32, before the zero and the limits. ``small``: far from the type's ends."""
        w, zero = self._w, int(n["zero"])
        low, high = (const(int(n[limit]) - zero, "int32", lanes) for limit in ("lo", "hi"))

        def centred() -> Expr:
            return w.let(tirx.Min(w.let(tirx.Max(y, low)), high))

        return Result(
            stored=self._narrow(y, n, lanes) if small else self._cut(centred(), zero, lanes),
            centred=centred, real=lambda: w.let(cast(centred(), "float32")), zero=zero,
        )  # fmt: skip

    def _cut(self, centred: Expr, zero: int, lanes: int) -> Expr:
        return self._w.let(cast(self._w.let(centred + const(zero, "int32", lanes)), "int8"))

    def _narrow(self, y: Expr, n: Numbers, lanes: int) -> Expr:
        """The zero, the limits and 8 bits; packs that saturate do most of it at 16 bits."""
        w, lo, hi = self._w, int(n["lo"]), int(n["hi"])
        packs = self._isa.arch == "aarch64" and lanes % 4 == 0
        packs = packs or (self._isa.arch == "x86_64" and lanes in (4, 8))
        kind = "int16" if packs else "int32"
        x = w.let(self._saturated(y, lanes) if packs else y)
        zero = const(int(n["zero"]), kind, lanes)
        x = w.let(llvm(kind, lanes, "llvm.sadd.sat", x, zero) if packs else x + zero)
        helium = self._isa.arch == "armv8.1-m" and self._isa.vector_bits > 0 and lanes == 4
        saturates = packs or helium or self._wide(lanes)
        if lo > -128 or not saturates:
            x = w.let(tirx.Max(x, const(lo, kind, lanes)))
        if hi < 127 or not saturates:
            x = w.let(tirx.Min(x, const(hi, kind, lanes)))
        if self._wide(lanes):
            # named, for LLVM takes the zero out of the limits and then sees no saturation
            kept = (const(0, "int8", lanes), tirx.const(-1, "int16"))
            return w.let(llvm("int8", lanes, "llvm.x86.avx512.mask.pmovs.db.512", x, *kept))
        if helium:  # needs no register for the limits
            above = const(24, "int32")
            x = w.let(llvm("int32", lanes, "llvm.arm.mve.vqshl.imm", x, above, const(0, "int32")))
            x = w.let(x >> const(24, "int32", lanes))
        return w.let(self._bytes(x, lanes) if packs else cast(x, "int8"))

    def _wide(self, lanes: int) -> bool:
        """Whether these are all lanes of AVX-512."""
        return self._isa.arch == "x86_64" and self._isa.vector_bits >= 512 and lanes == _LANES

    def _saturated(self, y: Expr, lanes: int) -> Expr:
        """32 bits to 16."""
        if self._isa.arch == "aarch64":
            parts = [
                llvm("int16", 4, "llvm.aarch64.neon.sqxtn", shuffle([y], list(range(i, i + 4))))
                for i in range(0, lanes, 4)
            ]
            return shuffle(parts, list(range(lanes))) if lanes > 4 else parts[0]
        halves = [shuffle([y], list(range(i, i + 4))) for i in range(0, lanes, 4)]
        packed = llvm("int16", 8, "llvm.x86.sse2.packssdw.128", halves[0], halves[-1])
        return packed if lanes == 8 else shuffle([packed], list(range(4)))

    def _bytes(self, x: Expr, lanes: int) -> Expr:
        """16 bits to 8."""
        neon = self._isa.arch == "aarch64"
        parts = []
        for first in range(0, lanes, 8):
            whole = shuffle([x], range(first, first + 8)) if lanes >= 8 else _repeated(x, lanes, 8)
            if neon:
                parts.append(llvm("int8", 8, "llvm.aarch64.neon.sqxtn", whole))
            else:
                parts.append(llvm("int8", 16, "llvm.x86.sse2.packsswb.128", whole, whole))
        if neon and lanes == 8:
            return parts[0]
        return shuffle(parts, list(range(lanes)))

    # ---- requantisation ----

    def _line(self, x: Expr, n: Numbers, lanes: int, get: Fetch) -> Result:
        """See ``rounding.py``. Done in whole vectors: only those can choose how they round."""
        w, lo, hi, zero = self._w, int(n["lo"]), int(n["hi"]), int(n["zero"])
        if lanes < _LANES:
            x = w.let(_repeated(x, lanes, _LANES))
        whole, half = w.let(cast(x, "float32")), get("half")
        if lo < zero:
            sign = x & const(-(1 << 31), "int32", _LANES)
            half = bits(sign | bits(half, "int32", _LANES), "float32", _LANES)
        start = w.let(llvm("float32", _LANES, "llvm.fma", whole, get("low"), w.let(half)))
        mode = tirx.const(_TOWARDS_ZERO, "int32")
        name = "llvm.x86.avx512.vfmadd.ps.512"
        z = w.let(llvm("float32", _LANES, name, whole, get("high"), start, mode))
        if lanes < _LANES:
            z = w.let(shuffle([z], list(range(lanes))))
        found = self._result(w.let(cast(z, "int32")), n, lanes)

        def real() -> Expr:
            low, high = (const(float(limit - zero), "float32", lanes) for limit in (lo, hi))
            limited = w.let(tirx.Min(w.let(tirx.Max(z, low)), high))
            return w.let(llvm("float32", lanes, "llvm.trunc", limited))

        return Result(stored=found.stored, centred=found.centred, real=real, zero=zero)

    def _has_line(self, n: Numbers, lanes: int) -> bool:
        wide = self._isa.arch == "x86_64" and self._isa.vector_bits >= 512
        return wide and n["known"] >= rounding.LINE and lanes <= _LANES

    def _fetch_line(
        self, key: str, make: Callable[[Constants], rounding.Line | None], channel: Index
    ) -> Fetch:
        """Vectors of a line's constants; lanes beyond the last channel hold zeros."""
        count = self._domain[-1] + _LANES

        def get(name: str) -> Expr:
            def values(constants: Constants) -> Array:
                found = make(constants)
                if found is None:
                    raise ValueError("a line was promised that does not exist")
                data = np.broadcast_to(getattr(found, name), (self._domain[-1],))
                return np.pad(data, (0, _LANES))

            base = self._block.reserve(f"{name}/{key}", "float32", count, values)
            return self._w.let(self._constants.load(base + channel, "float32", _LANES))

        return get

    def _requantise(
        self, step: Step, n: Numbers, value: Callable[[int], Expr], channel: Index, lanes: int,
        *, even: bool,
    ) -> Result:  # fmt: skip
        """The multipliers are per channel (or one for all, repeated per channel here)."""
        w, (accumulator, multiplier, shift) = self._w, step.arguments
        limits = [int(n[limit]) - int(n["zero"]) for limit in ("lo", "hi")]
        key = f"{multiplier}/{shift}/{limits}"
        if self._has_line(n, lanes):
            names = (f"p{multiplier}", f"p{shift}")
            get = self._fetch_line(
                key, lambda c: rounding.line(c[names[0]], c[names[1]], *limits), channel
            )
            return self._line(w.let(cast(value(accumulator), "int32")), n, lanes, get)
        if double_lines.suits(self._isa, step):
            names = (f"p{multiplier}", f"p{shift}")
            return self._doubles.line(value(accumulator), n, lanes, channel, names)
        x = w.let(cast(value(accumulator), "int32"))
        right = n["known"] >= rounding.RIGHT
        get = self._fetch(multiplier, shift, channel, lanes, even)
        y = self._fixed.multiply(x, lanes, get, right=right, limited=limits[0] >= 0)
        return self._result(y, n, lanes, small=right)

    def _fetch(self, multiplier: int, shift: int, channel: Index, lanes: int, even: bool) -> Fetch:
        """Vectors of a scale's constants; 64-bit ones in two halves where the core wants that.

        ``even``: ``channel`` is. Zeros follow the last channel, up to a multiple of the lanes.
        """
        channels = self._domain[-1]

        def get(name: str) -> Expr:
            plain, _, half = name.partition(".")
            if half and not even:
                return self._w.let(shuffle([get(plain)], range(half == "odd", lanes, 2)))
            group = max(lanes, _LANES)

            def make(constants: Constants) -> Array:
                m, s = (
                    np.broadcast_to(constants[f"p{n}"].reshape(-1), (channels,)).astype(np.int64)
                    for n in (multiplier, shift)
                )
                values = np.pad(_field(m, s, plain), (0, -channels % group))
                return values[int(half == "odd") :: 2] if half else values

            count = -(-channels // group) * group // (2 if half else 1)
            base = self._block.reserve(f"{name}/{multiplier}/{shift}", _kind(plain), count, make)
            at, width = (channel >> 1, lanes // 2) if half else (channel, lanes)
            return self._w.let(self._constants.load(base + at, _kind(plain), width))

        return get

    def _requantise_real(
        self, step: Step, n: Numbers, value: Callable[[int], Expr], channel: Index, lanes: int
    ) -> Result:
        """In double, as LiteRT's dense kernel: the limits are whole, so they may come first."""
        w, zero, scale_at = self._w, int(n["zero"]), step.arguments[1]
        lo, hi = int(n["lo"]) - zero, int(n["hi"]) - zero
        if double_lines.suits(self._isa, step):
            return self._doubles.real(value(step.arguments[0]), value(scale_at), n, lanes)
        whole = w.let(cast(value(step.arguments[0]), "int32"))
        if self._has_line(n, lanes):
            get = self._fetch_line(
                f"real/{scale_at}/{lo}/{hi}",
                lambda c: rounding.line_of_real(c[f"p{scale_at}"], lo, hi), channel,
            )  # fmt: skip
            return self._line(whole, n, lanes, get)
        x = w.let(cast(whole, "float64") * value(scale_at))
        if n["known"] < rounding.RIGHT:
            x = w.let(tirx.Max(x, const(float(lo), "float64", lanes)))
            x = w.let(tirx.Min(x, const(float(hi), "float64", lanes)))
        return self._result(self._away(x, lanes), n, lanes)

    def _away(self, x: Expr, lanes: int) -> Expr:
        """int32: the nearest whole number, halves away from zero."""
        w, (dtype, _) = self._w, dtype_of(x)
        double = dtype == "float64"
        step, kind = (2, "int64") if double else (4, "int32")
        if self._isa.arch == "aarch64" and lanes % step == 0:
            order = [list(range(i, i + step)) for i in range(0, lanes, step)]
            name = "llvm.aarch64.neon.fcvtas"
            parts = [w.let(llvm(kind, step, name, shuffle([x], part))) for part in order]
            joined = shuffle(parts, range(lanes)) if len(parts) > 1 else parts[0]
            return w.let(cast(w.let(joined), "int32"))
        if not double and self._isa.arch != "x86_64":
            return w.let(cast(w.let(llvm(dtype, lanes, "llvm.round", x)), "int32"))
        # the largest number below 1/2: adding 1/2 itself would round the one after it up
        half = const(0.49999999999999994 if double else 0.49999997, dtype, lanes)
        if double:
            minus = const(-0.49999999999999994, dtype, lanes)
            moved = x + tirx.Select(x < const(0.0, dtype, lanes), minus, half)
            return w.let(cast(w.let(moved), "int32"))
        sign = bits(x, "int32", lanes) & const(-(1 << 31), "int32", lanes)
        moved = x + bits(sign | bits(half, "int32", lanes), dtype, lanes)
        return w.let(cast(w.let(moved), "int32"))

    # ---- functions of 8-bit numbers ----

    def _number(self, v: Value, zero: int, lanes: int) -> Expr:
        """int32, without its zero."""
        x, known = v
        if known is not None and known.zero == zero:
            return known.centred()
        return self._w.let(self._w.let(cast(x, "int32")) - const(zero, "int32", lanes))

    def _multiplied(self, x: Expr, multiplier: int, shift: int, lanes: int) -> Expr:
        """MultiplyByQuantizedMultiplier by numbers."""
        m, s = (np.array([number], np.int64) for number in (multiplier, shift))

        def get(name: str) -> Expr:
            plain = name.split(".", maxsplit=1)[0]
            half = lanes // 2 if "." in name else lanes
            return const(int(_field(m, s, plain)[0]), _kind(plain), half)

        right = rounding.is_right(m, s)
        return self._fixed.multiply(x, lanes, get, right=right)

    def rescale(self, n: Numbers, v: list[Value], lanes: int) -> Result:
        x = self._number(v[0], int(n["input_zero"]), lanes)
        y = self._multiplied(x, int(n["multiplier"]), int(n["shift"]), lanes)
        return self._result(y, n, lanes, small=False)

    def product(self, n: Numbers, v: list[Value], lanes: int) -> Result:
        a, b = (
            self._number(x, int(n[f"{side}_zero"]), lanes) for side, x in zip("ab", v, strict=True)
        )
        y = self._multiplied(self._w.let(a * b), int(n["multiplier"]), int(n["shift"]), lanes)
        return self._result(y, n, lanes, small=False)

    def sum(self, n: Numbers, v: list[Value], lanes: int, sign: int, square: int = 0) -> Result:
        """In float32 where that is proved for all pairs of numbers."""
        sides = ["a", "b"]
        if sign > 0 and v[0][1] is None and v[1][1] is not None:
            sides, v = ["b", "a"], v[::-1]
        scalings = [
            (int(n[f"{s}_zero"]), int(n[f"{s}_multiplier"]), int(n[f"{s}_shift"])) for s in sides
        ]
        result = (int(n["zero"]), int(n["multiplier"]), int(n["shift"]))
        left, limits = int(n["left_shift"]), (int(n["lo"]), int(n["hi"]))
        found = None
        if self._fuses() and not square:
            found = rounding.sum_of_two(scalings[0], scalings[1], result, left, limits, sign)
        if found is not None:
            return self._result(self._real_sum(found, v, scalings[0][0], lanes), n, lanes)
        w = self._w
        parts = [self._scaled(scaling, left, x, lanes)
                 for scaling, x in zip(scalings, v, strict=True)]  # fmt: skip
        total = w.let(parts[0] + parts[1] if sign > 0 else parts[0] - parts[1])
        if square:
            total = w.let(total * total)
        y = self._multiplied(total, result[1], result[2], lanes)
        return self._result(y, n, lanes, small=False)

    def _fuses(self) -> bool:
        """Whether a fused multiply-add of float32 is as cheap as an integer instruction."""
        helium = self._isa.arch == "armv8.1-m" and self._isa.float_lanes > 1
        return self._isa.fma and (helium or self._isa.arch in ("x86_64", "aarch64", "riscv64"))

    def _real_sum(self, found: rounding.Sum, v: list[Value], zero: int, lanes: int) -> Expr:
        w = self._w
        (_, known), (y, _) = v
        if known is not None and known.zero == zero:
            first = known.real()
        else:
            first = w.let(cast(self._number(v[0], zero, lanes), "float32"))
        second = w.let(cast(y, "float32"))
        a, b, start = (const(c, "float32", lanes) for c in (found.a, found.b, found.start))
        start = w.let(llvm("float32", lanes, "llvm.fma", second, b, start))
        total = w.let(llvm("float32", lanes, "llvm.fma", first, a, start))
        return self._away(w.let(total), lanes)

    def _scaled(self, scaling: rounding.Scaling, left: int, v: Value, lanes: int) -> Expr:
        """One addend of a sum at the common scale."""
        zero, multiplier, shift = scaling
        # 2**29 bounds (x - zero) << left; NEON does it in as many steps with its own instructions
        if self._isa.arch != "aarch64" and 15 <= left <= 20 and -31 < shift <= 0:
            x = self._w.let(cast(v[0], "int32"))
            return self._fixed.multiply_small(x, multiplier, -shift, left, zero, lanes)
        x = self._number(v, zero, lanes)
        x = self._w.let(x << const(left, "int32", lanes))
        return self._multiplied(x, multiplier, shift, lanes)


def _repeated(x: Expr, lanes: int, count: int) -> Expr:
    """``count`` lanes whose first are those of ``x``; what the others hold does not matter."""
    if lanes == 1:
        return tirx.Broadcast(x, count)
    return shuffle([x] * -(-count // lanes), range(count))


def _field(multiplier: Array, shift: Array, name: str) -> Array:
    """A part of a scale, per channel."""
    known = scale(multiplier, shift)
    field: Array = -known.right if name == "minus_right" else getattr(known, name)
    return field


def _kind(name: str) -> str:
    wide = name in ("addend", "biased", "negative", "shift", "image")
    return "int64" if wide else "int32"


_OF_BYTES: dict[str, Callable[[Integers, Numbers, list[Value], int], Result]] = {
    "rescale": Integers.rescale,
    "mul_int8": Integers.product,
    "add_int8": lambda p, n, v, lanes: p.sum(n, v, lanes, 1),
    "sub_int8": lambda p, n, v, lanes: p.sum(n, v, lanes, -1),
    "squared_difference_int8": lambda p, n, v, lanes: p.sum(n, v, lanes, -1, 1),
}

STEPS = frozenset({"requantise", "requantise_real", *_OF_BYTES})
