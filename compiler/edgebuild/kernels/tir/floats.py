# SPDX-License-Identifier: Apache-2.0
"""Float functions as vector code: no libm, NaN stays NaN, infinities go where they belong.

Errors against exact results are a few units in the last place, except ``pow``, whose relative
error grows to about 1e-5 for results near the ends of the range.
"""

from __future__ import annotations

from collections.abc import Callable

from tvm import tirx

from edgebuild.kernels.tir.emit import Expr, Writer, bits, cast, const, dtype_of, llvm
from edgebuild.kernels.tir.isa import Isa

_F = "float32"
LEAST_NORMAL = -87.0  # its exponential is a normal number, not much below it are no more


class Floats:
    """Float arithmetic on vectors of any width; each intermediate value is named once."""

    def __init__(self, writer: Writer, isa: Isa) -> None:
        self._w, self._fma = writer, isa.fma
        # fmin and fmax of AArch64 keep a NaN by themselves
        self._extremes = isa.arch == "aarch64"

    def number(self, value: float, like: Expr) -> Expr:
        return const(value, _F, dtype_of(like)[1])

    def multiply_add(self, a: Expr, b: Expr, c: Expr) -> Expr:
        """a * b + c, rounded once where the core can (elsewhere a call of libm would appear)."""
        if not self._fma:
            return self._w.let(a * b + c)
        return self._w.let(llvm(_F, dtype_of(a)[1], "llvm.fma", a, b, c))

    def select(self, condition: Expr, a: Expr, b: Expr) -> Expr:
        return self._w.let(tirx.Select(condition, a, b))

    def polynomial(self, x: Expr, coefficients: tuple[float, ...]) -> Expr:
        """Horner's rule, highest power first."""
        result = self.number(coefficients[0], x)
        for c in coefficients[1:]:
            result = self.multiply_add(result, x, self.number(c, x))
        return result

    def clamp(self, x: Expr, lo: float, hi: float) -> Expr:
        """A NaN fails both comparisons and stays."""
        low, high = self.number(lo, x), self.number(hi, x)
        if self._extremes:
            x = x if lo == -float("inf") else self.maximum(x, low)
            return x if hi == float("inf") else self.minimum(x, high)
        x = x if lo == -float("inf") else self.select(x < low, low, x)
        return x if hi == float("inf") else self.select(x > high, high, x)

    def maximum(self, a: Expr, b: Expr) -> Expr:
        if self._extremes:
            return self._w.let(llvm(_F, dtype_of(a)[1], "llvm.maximum", a, b))
        return self._keep_nan(a, self.select(a > b, a, b))

    def minimum(self, a: Expr, b: Expr) -> Expr:
        if self._extremes:
            return self._w.let(llvm(_F, dtype_of(a)[1], "llvm.minimum", a, b))
        return self._keep_nan(a, self.select(a < b, a, b))

    def _keep_nan(self, x: Expr, result: Expr) -> Expr:
        """TVM's ``!=`` on floats is false for a NaN, so the question is put the other way."""
        return self.select(tirx.EQ(x, x), result, x)

    def exp(self, x: Expr) -> Expr:
        """2**n * e**r, |r| <= ln 2 / 2; n is applied in two halves to reach the subnormals."""
        w, lanes = self._w, dtype_of(x)[1]
        p, whole = self._exp_parts(x, self.clamp(x, -104.0, 89.0))
        half = w.let(whole >> const(1, "int32", lanes))
        result = w.let(p * self._power_of_two(half) * self._power_of_two(w.let(whole - half)))
        return self._keep_nan(x, result)

    def exp_of_negative(self, x: Expr) -> Expr:
        """exp of x <= 0, and 0 instead of a subnormal: those cost a core tens of cycles."""
        p, whole = self._exp_parts(x, self.clamp(x, LEAST_NORMAL, float("inf")))
        result = self._w.let(p * self._power_of_two(whole))
        result = self.select(x < self.number(LEAST_NORMAL, x), self.number(0.0, x), result)
        return self._keep_nan(x, result)

    def _exp_parts(self, x: Expr, limited: Expr) -> tuple[Expr, Expr]:
        """e**r and n as an integer."""
        w, lanes = self._w, dtype_of(x)[1]
        # adding 1.5 * 2**23 rounds to an integer that stands in the low bits
        magic = self.number(12582912.0, x)
        shifted = self.multiply_add(limited, self.number(1.4426950408889634, x), magic)
        n = w.let(shifted - magic)
        r = self.multiply_add(n, self.number(-0.693145751953125, x), limited)
        r = self.multiply_add(n, self.number(-1.428606765330187e-06, x), r)
        p = self.polynomial(r, (
            1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2,
            1.6666665459e-1, 5.0000001201e-1,
        ))  # fmt: skip
        p = self.multiply_add(p, w.let(r * r), w.let(r + self.number(1.0, x)))
        whole = w.let(bits(shifted, "int32", lanes) - const(0x4B400000, "int32", lanes))
        return p, whole

    def _power_of_two(self, n: Expr) -> Expr:
        lanes = dtype_of(n)[1]
        biased = (n + const(127, "int32", lanes)) << const(23, "int32", lanes)
        return self._w.let(bits(biased, _F, lanes))

    def log(self, x: Expr) -> Expr:
        """Cephes logf: a polynomial of the mantissa, and the exponent times ln 2."""
        w, lanes = self._w, dtype_of(x)[1]
        tiny = w.let(x < self.number(1.17549435e-38, x))
        scaled = self.select(tiny, x * self.number(8388608.0, x), x)
        raw = w.let(bits(scaled, "int32", lanes))
        exponent = w.let((raw - const(0x3F3504F3, "int32", lanes)) >> const(23, "int32", lanes))
        m = w.let(bits(raw - (exponent << const(23, "int32", lanes)), _F, lanes))
        e = w.let(cast(exponent, _F))
        e = self.select(tiny, e - self.number(23.0, x), e)
        r = w.let(m - self.number(1.0, x))
        p = self.polynomial(r, (
            7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1,
            1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
        ))  # fmt: skip
        square = w.let(r * r)
        p = w.let(p * r * square)
        p = self.multiply_add(e, self.number(-2.12194440e-4, x), p)
        p = self.multiply_add(square, self.number(-0.5, x), p)
        result = self.multiply_add(e, self.number(0.693359375, x), w.let(p + r))
        zero, infinity = self.number(0.0, x), self.number(float("inf"), x)
        result = self.select(x >= infinity, x, result)
        result = self.select(tirx.EQ(x, zero), self.number(-float("inf"), x), result)
        result = self.select(x < zero, self.number(float("nan"), x), result)
        return self._keep_nan(x, result)

    def tanh(self, x: Expr) -> Expr:
        """A rational approximation (as in Eigen) on [-7.9, 7.9], where the result reaches 1."""
        return self._rational(
            x, 7.90531110763549805,
            (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11,
             5.12229709037114e-08, 1.48572235717979e-05, 6.37261928875436e-04,
             4.89352455891786e-03),
            (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03,
             4.89352518554385e-03),
        )  # fmt: skip

    def erf(self, x: Expr) -> Expr:
        """A rational approximation (as in Eigen) on [-4, 4]."""
        return self._rational(
            x, 4.0,
            (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06,
             -5.69250639462346e-05, -7.34990630326855e-04, -2.95459980854025e-03,
             -1.60960333262415e-02),
            (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03,
             -7.37332916720468e-03, -1.42647390514189e-02),
        )  # fmt: skip

    def _rational(
        self, x: Expr, limit: float, top: tuple[float, ...], bottom: tuple[float, ...]
    ) -> Expr:
        x = self.clamp(x, -limit, limit)
        square = self._w.let(x * x)
        upper = self._w.let(x * self.polynomial(square, top))
        return self._w.let(tirx.Div(upper, self.polynomial(square, bottom)))

    def logistic(self, x: Expr) -> Expr:
        one = self.number(1.0, x)
        return self._w.let(tirx.Div(one, one + self.exp(self._w.let(self.number(0.0, x) - x))))

    def sqrt(self, x: Expr) -> Expr:
        return self._w.let(llvm(_F, dtype_of(x)[1], "llvm.sqrt", x))

    def rsqrt(self, x: Expr) -> Expr:
        return self._w.let(tirx.Div(self.number(1.0, x), self.sqrt(x)))

    def absolute(self, x: Expr) -> Expr:
        return self._w.let(llvm(_F, dtype_of(x)[1], "llvm.fabs", x))

    def truncate(self, x: Expr) -> Expr:
        """Toward zero. From 2**23 on every float is whole, and an int32 could not hold it."""
        small = self._w.let(self.absolute(x) < self.number(8388608.0, x))
        inside = self.select(small, x, self.number(0.0, x))
        whole = self._w.let(cast(cast(inside, "int32"), _F))
        return self.select(small, whole, x)

    def floor(self, x: Expr) -> Expr:
        whole = self.truncate(x)
        return self.select(whole > x, whole - self.number(1.0, x), whole)

    def round_away(self, x: Expr) -> Expr:
        """Halves away from zero; adding one half first would round 0.49999997 up."""
        whole = self.truncate(x)
        far = self._w.let(self.absolute(x - whole) >= self.number(0.5, x))
        step = self.select(x < self.number(0.0, x), self.number(-1.0, x), self.number(1.0, x))
        return self.select(far, whole + step, whole)

    def power(self, a: Expr, b: Expr) -> Expr:
        """|a|**b by logarithms, then the sign and the special cases of IEEE 754."""
        w, zero, one = self._w, self.number(0.0, a), self.number(1.0, a)
        size = self.exp(w.let(b * self.log(self.absolute(a))))
        whole = w.let(tirx.EQ(self.truncate(b), b))
        half = w.let(b * self.number(0.5, b))
        odd = tirx.And(whole, tirx.Not(tirx.EQ(self.truncate(half), half)))
        signed = self.select(odd, zero - size, size)
        infinite = w.let(tirx.EQ(self.absolute(a), self.number(float("inf"), a)))
        nan = self.number(float("nan"), a)
        bad = w.let(tirx.And(tirx.Not(whole), tirx.Not(infinite)))
        result = self.select(a < zero, self.select(bad, nan, signed), size)
        result = self._keep_nan(a, self._keep_nan(b, result))
        return self.select(tirx.Or(tirx.EQ(b, zero), tirx.EQ(a, one)), one, result)


#: Functions of one value, by the program's names.
UNARY: dict[str, Callable[[Floats, Expr], Expr]] = {
    "exp": Floats.exp, "log": Floats.log, "tanh": Floats.tanh, "erf": Floats.erf,
    "logistic": Floats.logistic, "sqrt": Floats.sqrt, "rsqrt": Floats.rsqrt,
    "floor": Floats.floor,
}  # fmt: skip
