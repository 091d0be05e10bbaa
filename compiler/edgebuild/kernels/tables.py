# SPDX-License-Identifier: Apache-2.0
"""8-bit functions of one 8-bit number, as tables of 256 entries.

logistic, tanh, hard_swish and leaky_relu are what TFLite's reference kernels compute in fixed
point (kernels/internal/reference/integer_ops); the others are its float tables (LUTPopulate).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels.fixedpoint import (
    Int,
    doubling_high_mul,
    exp_on_negative,
    multiply,
    one_over_one_plus,
    quantise_multiplier,
    round_half_away,
    rounding_shift,
    wrap,
)
from edgebuild.model.graph import Operator

Affine = tuple[float, int]
_STORED = np.arange(-128, 128, dtype=np.int64)
_Q0 = (1 << 31) - 1
#: the one output quantisation that the fixed-point form of a function has
_ONLY: dict[str, Affine] = {"logistic": (1 / 256, -128), "tanh": (1 / 128, 0)}


def table(operator: Operator, x: Affine, y: Affine) -> NDArray[np.int8]:
    """Output for every int8 input, from -128 up."""
    special = _FIXED.get(operator.kind)
    if y != _ONLY.get(operator.kind, y):
        special = None  # TFLite has no such output; ONNX may ask for one
    values = special(operator, x, y) if special else _float_table(operator, x, y)
    return np.clip(values, -128, 127).astype(np.int8)


def _float_table(operator: Operator, x: Affine, y: Affine) -> Int:
    """LUTPopulate: float32 throughout."""
    from edgebuild.kernels.calls import Scalars
    from edgebuild.kernels.rules_scalar import _float_unary
    from edgebuild.kernels.scalars import run_program

    scalars = Scalars()
    node = scalars.operand("accumulator", (256,), "float32")
    program, _, _ = scalars.program(_float_unary(scalars, node, operator))
    real = np.float32(x[0]) * (_STORED - x[1]).astype(np.float32)
    with np.errstate(all="ignore"):
        transformed = run_program(program, real, {}, (256,))
        scaled = round_half_away(transformed * (np.float32(1) / np.float32(y[0])))
    limited = np.clip(np.nan_to_num(scaled), -(1 << 20), 1 << 20)
    return np.asarray(limited + y[1], np.int64)


def _sigmoid_input(x: Affine, bits: int) -> tuple[Int, int]:
    """Inputs as Q(bits), and the radius beyond which the function is flat."""
    multiplier, shift = quantise_multiplier(x[0] * 2.0 ** (31 - bits))
    radius = math.floor(((1 << bits) - 1) * 2.0 ** (31 - bits) / 2.0**shift)
    return multiply(np.clip(_STORED - x[1], -radius, radius), multiplier, shift), radius


def _logistic(operator: Operator, x: Affine, y: Affine) -> Int:
    value, radius = _sigmoid_input(x, 4)
    magnitude = np.abs(value)
    positive = one_over_one_plus(exp_on_negative(-magnitude, 4))
    signed = np.where(value > 0, positive, np.where(value < 0, _Q0 - positive, 1 << 30))
    result = np.minimum(rounding_shift(signed, 23), 255) - 128
    centred = _STORED - x[1]
    return np.where(centred <= -radius, -128, np.where(centred >= radius, 127, result))


def _tanh(operator: Operator, x: Affine, y: Affine) -> Int:
    value, radius = _sigmoid_input(x, 4)
    magnitude = np.abs(value)
    # the same bits with one more integer bit are twice the value
    positive = _one_minus_over_one_plus(exp_on_negative(-magnitude, 5))
    signed = np.where(value == 0, 0, np.where(value > 0, positive, -positive))
    result = np.minimum(rounding_shift(signed, 24), 127)
    centred = _STORED - x[1]
    return np.where(centred <= -radius, -128, np.where(centred >= radius, 127, result))


def _one_minus_over_one_plus(a: Int) -> Int:
    """gemmlowp one_minus_x_over_one_plus_x_for_x_in_0_1, Q0."""
    total = a + _Q0
    half = np.where(total >= 0, (total + 1) >> 1, -((1 - total) >> 1))
    x = 1515870810 + doubling_high_mul(half, -1010580540)
    for _ in range(3):
        product = doubling_high_mul(half, x)
        correction = doubling_high_mul(x, (1 << 29) - product) << 2
        x = wrap(x + np.clip(correction, -(1 << 31), _Q0))
    return np.asarray(np.clip((x - (1 << 29)) << 2, -(1 << 31), _Q0), np.int64)


def _int16(value: Int) -> Int:
    return np.clip(value, -(1 << 15), (1 << 15) - 1)


def _high_mul_16(a: Int, b: int) -> Int:
    """SaturatingDoublingHighRoundingMul for int16 (gemmlowp)."""
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return np.minimum(np.where(nudged >= 0, nudged >> 15, -((-nudged) >> 15)), (1 << 15) - 1)


def _hard_swish(operator: Operator, x: Affine, y: Affine) -> Int:
    """HardSwish of hard_swish.h: int16 fixed point at 1/128 of the input's scale."""
    hires = np.float32(1.0 / 128.0) * np.float32(x[0])
    reluish_scale = np.float32(3.0 / 32768.0)
    output = _multiplier_16(float(hires) / float(np.float32(y[0])))
    reluish = _multiplier_16(float(hires) / float(reluish_scale))
    value = (_STORED - x[1]) * 128
    preshift = _high_mul_16(value, output[0])
    gate = value
    if reluish[1] > 0:
        gate = _int16(gate << (reluish[1] - 1))
    gate = _high_mul_16(gate, reluish[0])
    if reluish[1] > 0:
        gate = _int16(gate << 1)
    if reluish[1] < 0:
        gate = rounding_shift(gate, -reluish[1])
    gate = (gate + (1 << 15)) >> 1
    product = np.sign(preshift * gate) * (np.abs(preshift * gate) >> 15)
    if output[1] < 0:
        product = rounding_shift(product, -output[1])
    else:
        product = _int16(product << output[1])
    return product + y[1]


def _multiplier_16(real: float) -> tuple[int, int]:
    multiplier, shift = quantise_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, (1 << 15) - 1), shift


def _leaky_relu(operator: Operator, x: Affine, y: Affine) -> Int:
    """QuantizeLeakyRelu: one multiplier for each side of zero, made in float32."""
    value = _STORED - x[1]
    scale_in, scale_out = np.float32(x[0]), np.float32(y[0])
    alpha = np.float32(operator.attributes["alpha"])
    identity = quantise_multiplier(float(scale_in / scale_out))
    multiplier, shift = quantise_multiplier(float(scale_in * abs(alpha) / scale_out))
    below = multiply(value, multiplier if alpha >= 0 else -multiplier, shift)
    return np.where(value >= 0, multiply(value, *identity), below) + y[1]


_FIXED: dict[str, Callable[[Operator, Affine, Affine], Int]] = {
    "logistic": _logistic,
    "tanh": _tanh,
    "hard_swish": _hard_swish,
    "leaky_relu": _leaky_relu,
}
