# SPDX-License-Identifier: Apache-2.0
"""Float weights that are whole numbers times a scale, or half floats, kept as what they are.

Converters store weights in 8 or 16 bits and let the runtime widen them (TFLite's dynamic range and
float16 weights, ONNX's DequantizeLinear of an initializer). Widened while reading, they have passed
every rewrite of the graph as floats: transposed, permuted, multiplied by a normalisation's factors.
Here they are found again, by value and not by where they came from. Decision 0214.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Weights fewer than these gain nothing that a file would show.
LEAST = 256
#: Of each output, without which a scale takes as much as was saved.
LEAST_PRODUCTS = 4
#: A product with a scale rounds once, one with a normalisation's factor once more.
TOLERANCE = 2.0**-22
#: Weights of a channel on which a divisor is tried before it is tried on all.
SAMPLE = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """``data`` times ``scale``, of one number per channel, is what was given; None: it is itself.

    ``data`` has the type it is stored in and the natural shape.
    """

    data: Array
    scale: NDArray[np.float32] | None


def smaller(weights: Array, axis: int) -> Stored | None:
    """``weights`` in fewer bytes, with channels along ``axis``; None where they are real floats."""
    channels = weights.shape[axis] if weights.ndim else 0
    if weights.dtype != np.float32 or weights.size < LEAST or not np.isfinite(weights).all():
        return None
    if weights.size >= LEAST_PRODUCTS * channels:
        rows = np.moveaxis(weights, axis, 0).reshape(channels, -1)
        found = _whole(rows)
        if found is not None:
            numbers, scale = found
            moved = np.moveaxis(weights, axis, 0).shape
            data = np.ascontiguousarray(np.moveaxis(numbers.reshape(moved), 0, axis))
            return Stored(data=data, scale=scale)
    with np.errstate(over="ignore"):
        half = weights.astype(np.float16)
    if np.array_equal(half.astype(np.float32), weights):
        return Stored(data=half, scale=None)
    return None


def _whole(rows: Array) -> tuple[NDArray[np.int8], NDArray[np.float32]] | None:
    """Each row as 8-bit numbers and a scale, if that is what every row is."""
    numbers = np.zeros(rows.shape, np.int8)
    scale = np.ones(len(rows), np.float32)
    for i, row in enumerate(rows):
        if not row.any():
            continue
        found = _row(row.astype(np.float64))
        if found is None:
            return None
        numbers[i], scale[i] = found
    return numbers, scale


def _row(row: NDArray[np.float64]) -> tuple[Array, float] | None:
    """The largest weight is one of 128 numbers; with the right one all others are whole."""
    top = row[np.argmax(np.abs(row))]
    few = row[row != 0][:SAMPLE]
    divisors = np.arange(128, 0, -1) * np.sign(top)
    steps = few[None, :] * (divisors / top)[:, None]
    near = np.abs(steps - np.rint(steps)) <= TOLERANCE * 2 * np.maximum(np.abs(steps), 1)
    for divisor in divisors[near.all(axis=1)]:
        numbers = np.rint(row * (divisor / top))
        if numbers.max() > 127:
            continue
        scale = np.float32(np.dot(row, numbers) / np.dot(numbers, numbers))
        if (np.abs(numbers * float(scale) - row) <= TOLERANCE * np.abs(row)).all() and scale > 0:
            return numbers.astype(np.int8), float(scale)
    return None
