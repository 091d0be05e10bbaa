# SPDX-License-Identifier: Apache-2.0
"""Scales chosen so that 8-bit results lie on a half, or a hair beside it: the sharpest test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tools.one_operator import Case
from tests.unit.test_kernels_int8 import compare, weights


@pytest.mark.parametrize("sign", [-1, 1])
def test_dense_scales_a_hair_beside_a_half(tmp_path: Path, sign: int) -> None:
    """The product of the scales is 1/2 but for 2**-35: only the real number tells the side."""
    hair = 64 * 2.0**-23
    case = Case()
    x = case.int8((24, 24), 1 + hair, 5)
    w = case.constant(weights((24, 24)) // 16, scale=[1 + sign * hair], zero_point=[0])
    y = case.out((24, 24), 2.0 if sign < 0 else 2 * (1 + 2 * hair), -3)
    assert compare(
        case.file("FULLY_CONNECTED", [x, w], y, version=4, options="FullyConnectedOptions"),
        tmp_path,
    )


@pytest.mark.parametrize(
    "name", ["ADD", "SUB", "MUL", "BATCH_MATMUL", "FULLY_CONNECTED", "MEAN", "LEAKY_RELU", "RELU6"]
)
def test_scales_that_end_in_halves(tmp_path: Path, name: str) -> None:
    """Round scales make ties, where the precision of a multiplier decides."""
    random = np.random.default_rng(7)
    for _ in range(25):
        a, b, y = random.choice([0.05, 0.1, 0.25, 0.3, 0.2, 0.125, 0.15, 0.9, 0.04, 0.6], 3)
        assert compare(_with_scales(name, a, b, y), tmp_path, seeds=1)


def _with_scales(name: str, a: float, b: float, y: float) -> bytes:
    case = Case()
    x = case.int8((24, 24), a, 5)
    out = case.out((24, 1) if name == "MEAN" else (24, 24), y, -3)
    if name == "FULLY_CONNECTED":
        w = case.constant(weights((24, 24)) // 16, scale=[b], zero_point=[0])
        return case.file(name, [x, w], out, version=4, options="FullyConnectedOptions")
    if name == "MEAN":
        axes = case.constant(np.array([1], np.int32))
        return case.file(name, [x, axes], out, version=2, options="ReducerOptions", KeepDims=True)
    if name == "LEAKY_RELU":
        return case.file(name, [x], out, version=2, options="LeakyReluOptions", Alpha=b)
    if name == "RELU6":
        return case.file(name, [x], out, version=2)
    other = case.int8((24, 24), b, -1)
    if name == "BATCH_MATMUL":
        return case.file(name, [x, other], out, version=2, options="BatchMatMulOptions")
    return case.file(name, [x, other], out, version=2, options=f"{name.capitalize()}Options")
