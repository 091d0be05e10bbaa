# SPDX-License-Identifier: Apache-2.0
"""Scalar programs: what an epilogue or an element-wise kernel does to each element.

One mechanism serves bias, activation, requantisation, residual additions and chains of
element-wise operators, so that each schedule family needs to emit programs once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Shape: TypeAlias = tuple[int, ...]
Source: TypeAlias = Literal["accumulator", "input", "constant"]
Role: TypeAlias = Literal["input", "constant", "output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One pointer of a kernel. ``shape`` is the natural (unpacked) shape."""

    name: str
    role: Role
    shape: Shape
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A value that a program starts from; its shape broadcasts (NumPy's rule) to the domain."""

    source: Source
    shape: Shape
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One scalar operation. ``arguments`` number values: the operands first, then the steps.

    ``function`` is one of FUNCTIONS; ``numbers`` are its compile-time parameters, in the order
    given there; ``dtype`` is the result's.
    """

    function: str
    arguments: tuple[int, ...]
    numbers: tuple[float, ...] = ()
    dtype: str


#: function -> (number of values, names of the numbers). Float steps are float32 unless said.
#: Integer steps follow the TFLite 8-bit specification; ``reference.py`` is their definition.
FUNCTIONS: dict[str, tuple[int, tuple[str, ...]]] = {
    "add": (2, ()), "sub": (2, ()), "mul": (2, ()), "div": (2, ()), "pow": (2, ()),
    "maximum": (2, ()), "minimum": (2, ()),
    "neg": (1, ()), "abs": (1, ()), "sqrt": (1, ()), "rsqrt": (1, ()), "exp": (1, ()),
    "log": (1, ()), "erf": (1, ()), "tanh": (1, ()), "logistic": (1, ()), "floor": (1, ()),
    # min(max(x, lo), hi); a NaN stays a NaN
    "clamp": (1, ("lo", "hi")),
    # comparisons give bool; select(condition, a, b)
    "equal": (2, ()), "less": (2, ()), "greater": (2, ()), "not": (1, ()), "select": (3, ()),
    # a conversion to ``dtype`` (from bool: 0 or 1); float to integer: towards zero, what is out of
    # range becomes the nearest there is, NaN becomes 0
    "cast": (1, ()),
    # a number without a value: numbers[0] as ``dtype``
    "number": (0, ("value",)),
    # float32 -> int8: clamp(round_half_away(x / scale) + zero, lo, hi), division in float32
    "quantise": (1, ("scale", "zero", "lo", "hi")),
    # int8 -> float32: scale * (x - zero), in float32
    "dequantise": (1, ("scale", "zero")),
    # int32 accumulator, multiplier, shift (constant operands) -> int8:
    # clamp(multiply(acc, multiplier, shift) + zero, lo, hi)
    # known: what rounding.py proved of the constants; it changes how, never what is computed
    "requantise": (3, ("zero", "lo", "hi", "known")),
    # int32 accumulator, float64 scale (a constant operand) -> int8:
    # clamp(round_half_away(float64(acc) * scale) + zero, lo, hi); TFLite's FULLY_CONNECTED
    "requantise_real": (2, ("zero", "lo", "hi", "known")),
    # int8 -> int8: clamp(multiply(x - input_zero, multiplier, shift) + zero, lo, hi)
    "rescale": (1, ("input_zero", "multiplier", "shift", "zero", "lo", "hi")),
    # int8, int8 -> int8: t(v) = multiply((v - v_zero) << left_shift, v_multiplier, v_shift);
    # clamp(multiply(t(a) +/- t(b), multiplier, shift) + zero, lo, hi)
    "add_int8": (2, ("a_zero", "a_multiplier", "a_shift", "b_zero", "b_multiplier", "b_shift",
                     "left_shift", "multiplier", "shift", "zero", "lo", "hi")),
    "sub_int8": (2, ("a_zero", "a_multiplier", "a_shift", "b_zero", "b_multiplier", "b_shift",
                     "left_shift", "multiplier", "shift", "zero", "lo", "hi")),
    # as sub_int8, but of (t(a) - t(b)) squared
    "squared_difference_int8": (2, ("a_zero", "a_multiplier", "a_shift", "b_zero", "b_multiplier",
                                    "b_shift", "left_shift", "multiplier", "shift", "zero", "lo",
                                    "hi")),
    # int8, int8 -> int8: clamp(multiply((a - a_zero) * (b - b_zero), multiplier, shift) + zero)
    "mul_int8": (2, ("a_zero", "b_zero", "multiplier", "shift", "zero", "lo", "hi")),
    # int8 x, int8 table[256] (an operand read by index, not by position) -> table[x + 128]
    "lookup": (2, ()),
    # int32 -> int32: round-half-away-from-zero division by a positive count
    "divide_rounded": (1, ("count",)),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Scalar code run once per element of a domain; its result is its last value.

    In the epilogue of a contraction, pooling or reduction, operand 0 is the accumulator. In
    ``Elementwise`` there is none.
    """

    operands: tuple[Operand, ...]
    steps: tuple[Step, ...]

    @property
    def dtype(self) -> str:
        return self.steps[-1].dtype if self.steps else self.operands[0].dtype

    def arguments(self) -> tuple[Argument, ...]:
        """Its pointers: inputs, then constants, each in operand order (``p<operand number>``)."""
        roles: tuple[Role, ...] = ("input", "constant")
        return tuple(
            Argument(name=f"p{number}", role=role, shape=o.shape, dtype=o.dtype)
            for role in roles
            for number, o in enumerate(self.operands)
            if o.source == role
        )
