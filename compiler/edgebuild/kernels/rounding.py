# SPDX-License-Identifier: Apache-2.0
"""Requantisation in float32, where it is proved to give the reference's result for every input.

TFLite's two roundings give a staircase: never falling, one step per output value. So is a line
that is cut off: trunc(x * high + f32(x * low + copysign(half, x))). Two staircases are equal if
they step at the same places; an 8-bit output has at most 255 steps, and each is looked at here,
at the last input before it and the first one on it. Where the inputs themselves are 8-bit numbers,
every one of them (or every pair) is tried. What is not proved keeps its integer form.

No line is found where a channel's multiplier gives exact halves of both signs (a power of two):
the reference is not symmetric there.

Everything is evaluated in float64, in which each product and sum below is exact: slopes are in
[2**-15, 1/2], so that steps lie below 2**24 and no operand has a bit below 2**-51.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels.fixedpoint import multiply, round_half_away

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

#: What a requantisation may say of its constants: nothing; every shift is to the right, at least
#: by one (a real scale: below 1/2); besides, lines are found for every channel; and these need not
#: look at the sign, as nothing below 0 counts.
NOTHING, RIGHT, LINE, FLOOR = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Per channel, float32."""

    high: NDArray[np.float32]
    low: NDArray[np.float32]
    half: NDArray[np.float32]


def known(multiplier: Any, shift: Any, lo: int, hi: int) -> int:
    """What is so for all channels; results are clamped to [lo, hi] before the zero is added."""
    if not is_right(multiplier, shift):
        return NOTHING
    found = line(multiplier, shift, lo, hi), double_line(multiplier, shift, lo, hi)
    if None in found:
        return RIGHT
    return LINE if floor_starts(multiplier, shift, lo, hi) is None else FLOOR


def is_right(multiplier: Any, shift: Any) -> bool:
    """Whether all multipliers are Q31 numbers of at least 1/2 and all shifts are to the right."""
    multiplier, shift = _whole(multiplier), _whole(shift)
    return bool(shift.size and shift.max() < 0 and multiplier.min() >= 1 << 30)


def known_real(scale: Any, lo: int, hi: int) -> int:
    """The same for a product with a real number."""
    slope = np.asarray(scale, np.float64)
    if slope.size == 0 or not slope.max() < 0.5:
        return NOTHING
    return RIGHT if line_of_real(slope, lo, hi) is None else LINE


def line(multiplier: Any, shift: Any, lo: int, hi: int) -> Line | None:
    """The line that steps where clamp(multiply(x, multiplier, shift), lo, hi) does."""
    multiplier, shift = _whole(multiplier), _whole(shift)
    if shift.size == 0 or shift.max() >= 0 or shift.min() < -16:
        return None
    slope = multiplier * 2.0 ** (shift - 31)
    if not _usable(slope):
        return None
    values = np.arange(lo + 1, hi + 1)
    first = steps(multiplier[:, None], shift[:, None], values)
    # the second rounding sees a number that the first has moved up by up to 1/2
    return _fit(slope, 0.5 + 2.0 ** (shift - 1), first, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleLine:
    """Per channel, float64: trunc(x * slope + copysign(half, x)), fused."""

    slope: Doubles
    half: Doubles


def double_line(multiplier: Any, shift: Any, lo: int, hi: int) -> DoubleLine | None:
    """The line in double that steps where clamp(multiply(x, multiplier, shift), lo, hi) does.

    With ``half`` as it is every positive result is right, and every negative one with half of the
    last place less: they differ at exact halves only. A channel that has a ``line`` has none of
    these on both sides within the limits, so that the longer side decides.
    """
    multiplier, shift = _whole(multiplier), _whole(shift)
    slope = multiplier * 2.0 ** (shift - 31)
    if shift.size == 0 or shift.max() >= 0 or not _usable(slope):
        return None
    half = 0.5 + 2.0 ** (shift - 1)
    half = half if hi >= -lo else half - 2.0 ** (shift - 32)
    values = np.arange(lo + 1, hi + 1)
    first = steps(multiplier[:, None], shift[:, None], values)
    scale = 2.0 ** (32 - shift)[:, None]
    moved = (half[:, None] * scale).astype(np.int64)

    def at(x: Integers) -> Doubles:
        # whole numbers of ``scale`` below 2**57: making a double of them rounds as the fused sum
        exact = 2 * x * multiplier[:, None] + np.where(x < 0, -moved, moved)
        return np.asarray(np.trunc(exact.astype(np.float64) / scale))

    proved = bool(((at(first) >= values) & (at(first - 1) < values)).all())
    return DoubleLine(slope=slope, half=half) if proved else None


#: How far a start is from being wrong, at least. The roundings of a double, with a zero of 8 bits
#: added and results below 512, come to less than 2**-43.
_MARGIN = 2.0**-40


def floor_starts(multiplier: Any, shift: Any, lo: int, hi: int) -> Doubles | None:
    """Per channel a start such that floor(x * slope + start) steps where it should, for lo >= 0.

    A step wants the start in an interval; where all of them overlap the middle is taken, so that
    whole numbers may be added to it.
    """
    multiplier, shift = _whole(multiplier), _whole(shift)
    if lo < 0 or lo >= hi or shift.size == 0 or shift.max() >= 0:
        return None
    if not _usable(multiplier * 2.0 ** (shift - 31)):
        return None
    values = np.arange(lo + 1, hi + 1)
    first = steps(multiplier[:, None], shift[:, None], values)
    scale = np.int64(1) << (32 - shift)
    due = values * scale[:, None]
    least = (due - 2 * first * multiplier[:, None]).max(axis=1)
    most = (due - 2 * (first - 1) * multiplier[:, None]).min(axis=1)
    if ((most - least) < 2 * _MARGIN * scale).any():
        return None
    return np.asarray((least + most) / 2 / scale)


def line_of_real(scale: Any, lo: int, hi: int) -> Line | None:
    """The line that steps where clamp(round_half_away(float64(x) * scale), lo, hi) does."""
    slope = np.asarray(scale, np.float64).reshape(-1)
    if not _usable(slope):
        return None
    values = np.arange(lo + 1, hi + 1)
    near = np.ceil((values - 0.5) / slope[:, None])
    # the quotient is off by less than one
    there = [round_half_away((near + d) * slope[:, None]) >= values for d in (-1, 0, 1)]
    first = near + 2 - np.sum(there, axis=0)
    return _fit(slope, np.full(slope.shape, 0.5), first.astype(np.int64), values)


def steps(multiplier: Integers, shift: Integers, values: Integers) -> Integers:
    """The least x with multiply(x, multiplier, shift) >= value; shifts < 0 (see tir/fixed.py)."""
    one, total = np.int64(1), 31 - shift
    least = (values << total) - (one << 30) - (one << (total - 1))
    least = np.where(values <= 0, least + (one << 31), least)
    first = -((-least) // multiplier)
    return np.where(values <= 0, np.minimum(first, 0), first)


def _whole(numbers: Any) -> Integers:
    return np.asarray(numbers, np.int64).reshape(-1)


def _usable(slope: Doubles) -> bool:
    return bool(slope.size and slope.min() >= 2.0**-15 and slope.max() < 0.5)


def _fit(slope: Doubles, half: Doubles, first: Integers, values: Integers) -> Line | None:
    """Constants that prove right, looked for among the neighbours of the ideal ones."""
    high = slope.astype(np.float32).astype(np.float64)
    low, half = _grid(slope - high), half.astype(np.float32).astype(np.float64)
    open_ = np.flatnonzero(~_proved(high, low, half, first, values))
    for nudge, turn in _neighbours():
        if open_.size == 0:
            break
        tried_low = _grid(low[open_] + turn * 2.0**-33 * slope[open_])
        tried_half = half[open_] + nudge * 2.0**-24
        good = _proved(high[open_], tried_low, tried_half, first[open_], values)
        low[open_[good]], half[open_[good]] = tried_low[good], tried_half[good]
        open_ = open_[~good]
    if open_.size:
        return None
    return Line(high=_single(high), low=_single(low), half=_single(half))


def _neighbours() -> Iterator[tuple[int, int]]:
    near = sorted(product(range(-4, 5), range(-4, 5)), key=lambda p: (abs(p[0]) + abs(p[1]), p))
    return iter(near[1:])


def _grid(low: Doubles) -> Doubles:
    """To float32 without bits below 2**-51."""
    return _rounded(np.rint(low * 2.0**51) * 2.0**-51)


def _single(x: Doubles) -> NDArray[np.float32]:
    return x.astype(np.float32)


def _rounded(x: Doubles) -> Doubles:
    """To the nearest float32."""
    return x.astype(np.float32).astype(np.float64)


def evaluate(high: Any, low: Any, half: Any, x: Any) -> Doubles:
    """The line at integers below 2**24."""
    exact = np.asarray(x, np.float64)
    start = _rounded(exact * low + np.copysign(half, exact))
    return np.asarray(np.trunc(exact * high + start), np.float64)


def _proved(
    high: Doubles, low: Doubles, half: Doubles, first: Integers, values: Integers
) -> NDArray[np.bool_]:
    """Whether all steps of a channel are where they should be."""
    high, low, half = high[:, None], low[:, None], half[:, None]
    here = evaluate(high, low, half, first) >= values
    return np.asarray((here & (evaluate(high, low, half, first - 1) < values)).all(axis=1))


# ---- functions of one or two 8-bit numbers ----

_STORED = np.arange(-128, 128, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """round_half_away(f32((x - x_zero) * a + f32(y * b + start))), fused, before the clamp."""

    a: float
    b: float
    start: float


#: zero, multiplier and shift of an addend, or of the sum.
Scaling = tuple[int, int, int]


@lru_cache(maxsize=256)
def sum_of_two(
    x: Scaling, y: Scaling, result: Scaling, left_shift: int, limits: tuple[int, int], sign: int
) -> Sum | None:
    """The sum (sign 1) or difference (-1) of two 8-bit numbers, proved for all 65,536 pairs."""
    zero, multiplier, shift = result
    parts = [multiply((_STORED - z) << left_shift, m, s) for z, m, s in (x, y)]
    exact = multiply(parts[0][:, None] + sign * parts[1], multiplier, shift)
    lo, hi = limits[0] - zero, limits[1] - zero
    want = np.clip(exact, lo, hi)
    scale = multiplier * 2.0 ** (shift - 31)
    a, b = (m * 2.0 ** (s - 31 + left_shift) * scale for _, m, s in (x, y))
    if not all(2.0**-10 <= slope <= 16.0 for slope in (a, b)):
        return None
    for tried in _sums(a, sign * b, y[0]):
        values = (_STORED - x[0]).astype(np.float64)[:, None] * tried.a
        start = _rounded(_STORED.astype(np.float64) * tried.b + tried.start)
        got = round_half_away(_rounded(values + start))
        if np.array_equal(np.clip(got, lo, hi), want):
            return tried
    return None


def _sums(a: float, b: float, zero: int) -> Iterator[Sum]:
    """Candidates, the ideal one first."""
    turns = sorted(product(range(-2, 3), repeat=2), key=lambda p: (abs(p[0]) + abs(p[1]), p))
    for first, second in turns:
        one, two = (
            float(np.float32(slope) + turn * np.spacing(np.float32(slope)))
            for slope, turn in ((a, first), (b, second))
        )
        yield Sum(a=one, b=two, start=float(np.float32(-zero * two)))
