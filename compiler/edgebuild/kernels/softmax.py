# SPDX-License-Identifier: Apache-2.0
"""The 8-bit softmax of TensorFlow Lite's reference kernels.

Source: tensorflow/lite/kernels/internal/reference/softmax.h, kernels/internal/quantization_util.cc.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels.fixedpoint import (
    doubling_high_mul,
    exp_on_negative,
    one_over_one_plus,
    quantise_multiplier,
    rounding_shift,
)

SCALED_DIFF_BITS = 5
ACCUMULATION_BITS = 12


def parameters(beta: float, scale: float) -> tuple[int, int, int]:
    """(multiplier, left shift, smallest difference that counts), as PreprocessSoftmaxScaling."""
    real = min(beta * scale * (1 << (31 - SCALED_DIFF_BITS)), (1 << 31) - 1.0)
    multiplier, shift = quantise_multiplier(real)
    radius = ((1 << SCALED_DIFF_BITS) - 1) * 2.0 ** (31 - SCALED_DIFF_BITS) / 2.0**shift
    return multiplier, shift, -math.floor(radius)


def softmax_int8(
    x: NDArray[Any], multiplier: int, left_shift: int, diff_min: int
) -> NDArray[np.int8]:
    """Rows of int8 to rows of int8 with zero point -128 and scale 1/256."""
    wide = x.astype(np.int64)
    difference = wide - wide.max(axis=1, keepdims=True)
    counted = difference >= diff_min
    rescaled = doubling_high_mul(np.where(counted, difference, 0) << left_shift, multiplier)
    exponentials = exp_on_negative(rescaled, SCALED_DIFF_BITS)
    addends = np.where(counted, rounding_shift(exponentials, ACCUMULATION_BITS), 0)
    total = addends.sum(axis=1, keepdims=True)
    headroom = 32 - np.floor(np.log2(total)).astype(np.int64) - 1
    reciprocal = one_over_one_plus((total << headroom) - (1 << 31))
    shift = ACCUMULATION_BITS - headroom + 31 - 8
    output = rounding_shift(doubling_high_mul(reciprocal, exponentials), shift) - 128
    return np.where(counted, np.clip(output, -128, 127), -128).astype(np.int8)
