# SPDX-License-Identifier: Apache-2.0
"""The claim of ``kernels/rounding.py``: what it proves equal is equal, for every input."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebuild.kernels import rounding
from edgebuild.kernels.fixedpoint import multiply, quantise_multiplier, round_half_away

LIMITS = st.sampled_from([(-128, 127), (0, 255), (-131, 124), (-5, 250), (-255, 0), (3, 9)])
SLOPES = st.floats(2.0**-15, 0.499, allow_subnormal=False)
#: Multipliers without exact halves.
ODD = st.integers(1 << 29, (1 << 30) - 1).map(lambda n: 2 * n + 1)
SHIFTS = st.integers(-14, -1)


def line_by_fractions(found: rounding.Line, x: int) -> int:
    """The line as the machine computes it, without any float64."""
    high, low, half = (Fraction(float(c[0])) for c in (found.high, found.low, found.half))
    inner = x * low + (half if x >= 0 else -half)
    rounded = Fraction(float(nearest_single(inner)))
    return int(x * high + rounded)  # int() cuts towards zero


def nearest_single(exact: Fraction) -> np.float32:
    """Rounded once to 24 bits, ties to even."""
    if exact == 0:
        return np.float32(0)
    exponent = 0
    while abs(exact) * Fraction(2) ** -exponent >= 1 << 24:
        exponent += 1
    while abs(exact) * Fraction(2) ** -exponent < 1 << 23:
        exponent -= 1
    return np.float32(float(round(exact * Fraction(2) ** -exponent)) * 2.0**exponent)


@settings(max_examples=60, deadline=None)
@given(multiplier=ODD, shift=SHIFTS, zero=st.integers(-128, 127), lo=st.integers(0, 9))
def test_rounding_down_equals_the_reference_at_all_steps(multiplier, shift, zero, lo):
    found = rounding.floor_starts(multiplier, shift, lo, 255)
    assert found is not None
    slope, start = multiplier * 2.0 ** (shift - 31), float(found[0]) + zero
    near = (np.arange(-3, 257)[:, None] / slope + np.arange(-3, 4)).astype(np.int64).reshape(-1)
    want = np.clip(multiply(near, multiplier, shift), lo, 255) + zero
    exact = (Fraction(int(x)) * Fraction(slope) + Fraction(start) for x in near)
    got = np.floor([float(number) for number in exact])  # rounded once, as a fused sum
    assert np.array_equal(np.clip(got, lo + zero, 255 + zero), want)


@settings(max_examples=60, deadline=None)
@given(multiplier=ODD, shift=SHIFTS, limits=LIMITS, seed=st.integers(0, 2**32))
def test_line_equals_the_reference_around_and_between_all_steps(multiplier, shift, limits, seed):
    found = rounding.line(multiplier, shift, *limits)
    assert found is not None
    slope = multiplier * 2.0 ** (shift - 31)
    rng = np.random.default_rng(seed)
    reach = 300 / slope
    x = np.unique(np.concatenate([
        rng.integers(-reach, reach + 1, 4000), np.arange(-600, 600),
        (np.arange(-256, 257)[:, None] / slope + np.arange(-3, 4)).astype(np.int64).reshape(-1),
    ]))  # fmt: skip
    x = x[np.abs(x) <= 1 << 24]
    want = np.clip(multiply(x, multiplier, shift), *limits)
    got = np.clip(rounding.evaluate(found.high, found.low, found.half, x), *limits)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("slope", [0.31, 0.0473, 0.00391])
@pytest.mark.parametrize("limits", [(-128, 127), (0, 255)])
def test_line_equals_the_reference_for_every_input_that_matters(slope, limits):
    multiplier, shift = quantise_multiplier(slope)
    found = rounding.line(multiplier, shift, *limits)
    assert found is not None
    x = np.arange(-int(260 / slope), int(260 / slope))
    want = np.clip(multiply(x, multiplier, shift), *limits)
    got = np.clip(rounding.evaluate(found.high, found.low, found.half, x), *limits)
    assert np.array_equal(got, want)


@settings(max_examples=25, deadline=None)
@given(multiplier=ODD, shift=SHIFTS, part=st.floats(-1, 1))
def test_float64_computes_a_line_exactly(multiplier, shift, part):
    found = rounding.line(multiplier, shift, -128, 127)
    assert found is not None
    x = int(part * 500 / (multiplier * 2.0 ** (shift - 31)))
    got = rounding.evaluate(found.high, found.low, found.half, x)
    assert got == line_by_fractions(found, x)


@settings(max_examples=60, deadline=None)
@given(slope=SLOPES, limits=LIMITS, seed=st.integers(0, 2**32))
def test_line_of_a_real_scale_rounds_halves_away(slope, limits, seed):
    found = rounding.line_of_real(slope, *limits)
    assert found is not None
    x = np.random.default_rng(seed).integers(-300 / slope, 300 / slope, 4000)
    x = np.concatenate([x, np.rint((np.arange(-256, 256) + 0.5) / slope)])
    x = x[np.abs(x) <= 1 << 24]
    want = np.clip(round_half_away(x * np.float64(slope)), *limits)
    got = np.clip(rounding.evaluate(found.high, found.low, found.half, x), *limits)
    assert np.array_equal(got, want)


@pytest.mark.parametrize("slope", [0.25, 0.125, 2.0**-10, 3 * 2.0**-9])
def test_exact_halves(slope):
    """Away from zero in dense layers; fixed point is not symmetric there, and no line claims it."""
    found = rounding.line_of_real(slope, -128, 127)
    assert found is not None
    x = np.arange(-int(200 / slope), int(200 / slope))
    got = np.clip(rounding.evaluate(found.high, found.low, found.half, x), -128, 127)
    assert np.array_equal(got, np.clip(round_half_away(x * slope), -128, 127))
    assert rounding.line(*quantise_multiplier(slope), -128, 127) is None
    one_sided = rounding.line(*quantise_multiplier(slope), 0, 255)
    assert one_sided is not None
    got = np.clip(rounding.evaluate(one_sided.high, one_sided.low, one_sided.half, x), 0, 255)
    assert np.array_equal(got, np.clip(multiply(x, *quantise_multiplier(slope)), 0, 255))


@settings(max_examples=50, deadline=None)
@given(multiplier=st.integers(1 << 30, (1 << 31) - 1), shift=st.integers(-16, -1))
def test_steps_are_the_first_inputs_of_their_values(multiplier, shift):
    values = np.arange(-255, 256)
    first = rounding.steps(np.int64(multiplier), np.int64(shift), values)
    assert (multiply(first, multiplier, shift) >= values).all()
    assert (multiply(first - 1, multiplier, shift) < values).all()


def test_what_cannot_be_proved_is_not_claimed():
    q31 = 1 << 30
    assert rounding.known([q31], [0], -128, 127) == rounding.NOTHING
    assert rounding.known([q31, 0], [-3, -3], -128, 127) == rounding.NOTHING
    assert rounding.known([], [], -128, 127) == rounding.NOTHING
    assert rounding.known([q31], [-20], -128, 127) == rounding.RIGHT
    assert rounding.known([q31 + 12345, q31 + 1], [-3, -9], -128, 127) == rounding.LINE
    assert rounding.known([q31 + 12345, q31 + 1], [-3, -9], 0, 255) == rounding.FLOOR
    assert rounding.floor_starts([q31 + 1], [-3], -1, 255) is None
    assert rounding.floor_starts([q31 + 1], [-3], 9, 9) is None
    assert rounding.floor_starts([q31 + 1], [-20], 0, 255) is None
    assert rounding.known([q31 + 12345, q31], [-3, -9], -128, 127) == rounding.RIGHT
    assert rounding.known_real([0.7], -128, 127) == rounding.NOTHING
    assert rounding.known_real([2.0**-17], -128, 127) == rounding.RIGHT
    assert rounding.known_real([float("nan")], -128, 127) == rounding.NOTHING
    assert rounding.known_real([0.01], -128, 127) == rounding.LINE


def test_a_false_line_is_found_out():
    """The proof looks at the steps: constants a little off do not pass."""
    multiplier, shift = quantise_multiplier(0.0031234)
    values = np.arange(-127, 128)
    first = rounding.steps(np.int64(multiplier), np.int64(shift), values)[None]
    found = rounding.line(multiplier, shift, -128, 127)
    assert found is not None
    good = [constant.astype(np.float64) for constant in (found.high, found.low, found.half)]
    assert rounding._proved(*good, first, values).all()
    for number, factor in ((0, 1 + 2.0**-14), (0, 1 - 2.0**-14), (2, 1.01), (2, 0.99)):
        wrong = list(good)
        wrong[number] = wrong[number] * factor
        assert not rounding._proved(*wrong, first, values).any()


def scalings(scales: tuple[float, float, float], zeros: tuple[int, int, int]):
    """As TFLite prepares an ADD."""
    twice = 2 * max(scales[0], scales[1])
    real = (scales[0] / twice, scales[1] / twice, twice / ((1 << 20) * scales[2]))
    return [(z, *quantise_multiplier(r)) for z, r in zip(zeros, real, strict=True)]


@settings(max_examples=40, deadline=None)
@given(
    scales=st.tuples(*[st.floats(0.003, 0.2)] * 3), zeros=st.tuples(*[st.integers(-128, 127)] * 3),
    sign=st.sampled_from([1, -1]),
)  # fmt: skip
def test_a_sum_is_claimed_only_if_all_pairs_agree(scales, zeros, sign):
    x, y, result = scalings(scales, zeros)
    found = rounding.sum_of_two(x, y, result, 20, (-128, 127), sign)
    if found is None:
        return
    stored = np.arange(-128, 128)
    parts = [multiply((stored - z) << 20, m, s) for z, m, s in (x, y)]
    want = multiply(parts[0][:, None] + sign * parts[1], *result[1:]) + result[0]
    start = np.float32(stored * found.b + found.start).astype(np.float64)
    total = np.float32((stored - x[0])[:, None] * found.a + start)
    got = round_half_away(total.astype(np.float64)) + result[0]
    assert np.array_equal(np.clip(got, -128, 127), np.clip(want, -128, 127))


def test_common_sums_are_proved():
    for scales in ((0.0511, 0.0437, 0.0629), (0.1, 0.1, 0.1), (0.02, 0.02, 0.04)):
        found = rounding.sum_of_two(*scalings(scales, (3, -7, 5)), 20, (-128, 127), 1)
        assert found is not None


def test_a_sum_with_a_scale_out_of_reach_stays_in_integers():
    assert rounding.sum_of_two(*scalings((1e-6, 0.1, 0.1), (0, 0, 0)), 20, (-128, 127), 1) is None


@pytest.mark.parametrize("limits", [(-128, 127), (0, 255), (-255, 0), (-100, 27)])
def test_a_line_in_double_steps_where_the_reference_does(limits: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    multiplier = rng.integers(1 << 30, (1 << 31) - 1, 400)
    shift = rng.integers(-13, 0, 400)
    found = rounding.double_line(multiplier, shift, *limits)
    assert found is not None
    x = rng.integers(-(1 << 20), 1 << 20, (200, 400))
    want = np.clip(multiply(x, multiplier, shift), *limits)
    got = np.clip(np.trunc(x * found.slope + np.copysign(found.half, x)), *limits)
    assert np.array_equal(got, want)


def test_a_power_of_two_has_no_line_in_double_within_symmetric_limits() -> None:
    assert rounding.double_line([1 << 30], [-4], -128, 127) is None
    assert rounding.double_line([1 << 30], [-4], 0, 255) is not None
    assert rounding.double_line([1 << 30], [-4], -255, 0) is not None


def test_a_shift_to_the_left_has_no_line_in_double() -> None:
    assert rounding.double_line([1 << 30], [0], -128, 127) is None
    assert rounding.double_line([], [], -128, 127) is None
