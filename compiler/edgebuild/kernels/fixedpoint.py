# SPDX-License-Identifier: Apache-2.0
"""The fixed-point arithmetic of TensorFlow Lite's reference kernels, exactly, on NumPy arrays.

Source: tensorflow/lite/kernels/internal/common.h (double rounding, the default build) and
gemmlowp fixedpoint.h; the tests compare every tensor with LiteRT's BUILTIN_REF kernels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
_MIN, _MAX = -(1 << 31), (1 << 31) - 1


def quantise_multiplier(real: float) -> tuple[int, int]:
    """``real`` as (multiplier, shift): multiplier * 2**(shift - 31), multiplier a Q31 number."""
    if real == 0.0 or not math.isfinite(real):
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def doubling_high_mul(a: Any, b: Any) -> Int:
    """SaturatingRoundingDoublingHighMul: a * b / 2**31, nudged, then truncated as C++ does."""
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    quotient = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))
    return np.minimum(quotient, _MAX)


def rounding_shift(x: Any, exponent: Any) -> Int:
    """RoundingDivideByPOT: x / 2**exponent, halves away from zero."""
    value, power = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    mask = (np.int64(1) << power) - 1
    remainder = value & mask
    threshold = (mask >> 1) + (value < 0)
    return np.asarray((value >> power) + (remainder > threshold), np.int64)


def multiply(x: Any, multiplier: Any, shift: Any) -> Int:
    """MultiplyByQuantizedMultiplier: x * multiplier * 2**(shift - 31); 32-bit wrap as in C."""
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    shifted = wrap(np.asarray(x, np.int64) << left)
    return rounding_shift(doubling_high_mul(shifted, multiplier), right)


def wrap(x: Int) -> Int:
    """To 32 bits, two's complement."""
    return x.astype(np.int32).astype(np.int64)


def round_half_away(x: Any) -> NDArray[Any]:
    """TfLiteRound / std::round, in the dtype given."""
    value = np.asarray(x)
    whole = np.trunc(value)
    # adding 0.5 first would round 0.49999997 up
    return np.asarray(whole + np.copysign(np.abs(value - whole) >= 0.5, value), value.dtype)


def _saturating_left(x: Int, exponent: int) -> Int:
    return np.asarray(np.clip(x << exponent, _MIN, _MAX), np.int64)


def exp_on_negative(a: Int, integer_bits: int) -> Int:
    """gemmlowp exp_on_negative_values: Q(integer_bits) <= 0 in, Q0 out."""
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    mask = quarter - 1
    reduced = (a & mask) - quarter
    result = _exp_interval(reduced << integer_bits)
    remainder = reduced - a
    for exponent, multiplier in (
        (-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308),
        (2, 39332535), (3, 720401), (4, 242),
    ):  # fmt: skip
        if integer_bits > exponent:
            bit = 1 << (fraction_bits + exponent)
            result = np.where(remainder & bit, doubling_high_mul(result, multiplier), result)
    if integer_bits > 5:
        result = np.where(a < -(1 << (fraction_bits + 5)), 0, result)
    return np.where(a == 0, _MAX, result)


def _exp_interval(a: Int) -> Int:
    """gemmlowp: exp on [-1/4, 0), Q0 in and out."""
    term, third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = doubling_high_mul(x, x)
    x3 = doubling_high_mul(x2, x)
    x4 = doubling_high_mul(x2, x2)
    x4_over_4 = rounding_shift(x4, 2)
    tail = rounding_shift(doubling_high_mul(x4_over_4 + x3, third) + x2, 1)
    return np.minimum(term + doubling_high_mul(term, x + tail), _MAX)


def one_over_one_plus(a: Int) -> Int:
    """gemmlowp one_over_one_plus_x_for_x_in_0_1: Q0 in and out."""
    total = a + _MAX
    half = np.where(total >= 0, (total + 1) >> 1, -((1 - total) >> 1))
    x = 1515870810 + doubling_high_mul(half, -1010580540)
    one = 1 << 29
    for _ in range(3):
        product = doubling_high_mul(half, x)
        x = wrap(x + _saturating_left(doubling_high_mul(x, one - product), 2))
    return _saturating_left(x, 1)
