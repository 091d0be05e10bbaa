# SPDX-License-Identifier: Apache-2.0
"""Weights that are found to be small numbers times a scale: exact, or left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.kernels import stored

RNG = np.random.default_rng


def numbers(channels: int, depth: int, seed: int, low: int = -127, high: int = 127) -> np.ndarray:
    return RNG(seed).integers(low, high + 1, (channels, depth)).astype(np.int8)


def restored(found: stored.Stored, axis: int) -> np.ndarray:
    if found.scale is None:
        return found.data.astype(np.float32)
    shape = [1] * found.data.ndim
    shape[axis] = -1
    return found.data.astype(np.float32) * found.scale.reshape(shape)


@given(
    st.integers(1, 70), st.integers(4, 70), st.integers(0, 2**32 - 1), st.booleans(),
    st.integers(-20, 6),
)  # fmt: skip
def test_bytes_times_a_scale_are_found(
    channels: int, depth: int, seed: int, per_channel: bool, exponent: int
) -> None:
    q = numbers(channels, depth, seed)
    drawn = RNG(seed + 1).uniform(0.1, 10.0, channels if per_channel else 1) * 10.0**exponent
    scale = np.broadcast_to(drawn.astype(np.float32), (channels,))
    weights = q.astype(np.float32) * scale[:, None]
    found = stored.smaller(weights, 0)
    if weights.size < stored.LEAST:
        assert found is None
        return
    assert found is not None
    assert found.data.dtype == np.int8
    assert found.data.shape == q.shape
    np.testing.assert_allclose(restored(found, 0), weights, rtol=2.0**-21, atol=0)


@given(st.integers(0, 2**32 - 1))
def test_a_normalisation_s_factors_may_have_been_multiplied_in(seed: int) -> None:
    q = numbers(33, 20, seed)
    factors = RNG(seed).uniform(-3, 3, 33).astype(np.float32)
    weights = q.astype(np.float32) * np.float32(0.0173) * factors[:, None]
    found = stored.smaller(weights, 0)
    assert found is not None
    assert found.data.dtype == np.int8
    assert (found.scale > 0).all()  # a factor's sign is in the numbers
    np.testing.assert_allclose(restored(found, 0), weights, rtol=2.0**-20, atol=0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_channels_may_lie_along_any_axis(axis: int) -> None:
    shape = (12, 13, 14)
    q = RNG(3).integers(-127, 128, shape).astype(np.int8)
    scale = RNG(4).uniform(0.01, 1, shape[axis]).astype(np.float32)
    wide = scale.reshape([-1 if n == axis else 1 for n in range(3)])
    found = stored.smaller(q.astype(np.float32) * wide, axis)
    assert found is not None
    assert found.data.shape == shape
    assert len(found.scale) == shape[axis]
    np.testing.assert_allclose(restored(found, axis), q * wide, rtol=2.0**-21)


def test_the_least_byte_and_channels_of_zeros_are_kept() -> None:
    q = numbers(20, 30, 0, -128)
    q[3], q[5, 0], q[7] = 0, -128, -128
    found = stored.smaller(q.astype(np.float32) * np.float32(0.3), 0)
    assert found is not None
    assert found.data.min() == -128
    np.testing.assert_allclose(restored(found, 0), q * np.float32(0.3), rtol=2.0**-21)


def test_numbers_wider_than_a_byte_are_not_bytes() -> None:
    wide = RNG(1).integers(-255, 256, (20, 30))
    wide[:, :2] = (255, 254)
    assert stored.smaller((wide * np.float32(0.37)).astype(np.float32), 0) is None


@given(st.integers(0, 2**32 - 1))
def test_half_floats_are_found(seed: int) -> None:
    weights = RNG(seed).standard_normal((20, 31)).astype(np.float16).astype(np.float32)
    found = stored.smaller(weights, 0)
    assert found is not None
    assert found.data.dtype == np.float16
    assert found.scale is None
    assert np.array_equal(found.data.astype(np.float32), weights)


@given(st.integers(0, 2**32 - 1))
def test_real_floats_stay(seed: int) -> None:
    assert stored.smaller(RNG(seed).standard_normal((20, 31)).astype(np.float32), 0) is None


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e6, 1e-9])
def test_one_weight_decides(odd: float) -> None:
    weights = numbers(20, 30, 0).astype(np.float32) * np.float32(0.01)
    weights[19, 29] = odd
    assert stored.smaller(weights, 0) is None


def test_what_is_not_worth_it_stays() -> None:
    assert stored.smaller(np.ones((5, 5), np.float32), 0) is None
    assert stored.smaller(np.float32(np.pi) * np.ones((300, 2), np.float32), 0) is None
    assert stored.smaller(np.ones((0, 5), np.float32), 0) is None
    assert stored.smaller(np.ones((), np.float32), 0) is None
    assert stored.smaller(np.ones((300, 5), np.float64), 0) is None
