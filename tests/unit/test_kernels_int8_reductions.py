# SPDX-License-Identifier: Apache-2.0
"""Int8 pools, means and sums against LiteRT's reference kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.check import random_inputs
from tests.tools.one_operator import Case
from tests.unit.test_kernels_int8 import NONE, RELU6, SAME, SCALES, VALID, compare, reference


@pytest.mark.parametrize("name", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("activation", [NONE, RELU6])
def test_pooling(tmp_path: Path, name: str, padding: int, activation: int) -> None:
    case = Case()
    x = case.int8((1, 7, 9, 5))
    y = case.out((1, 4, 5, 5) if padding == SAME else (1, 3, 4, 5), 0.05, 3)
    assert compare(
        case.file(
            name,
            [x],
            y,
            version=2,
            options="Pool2DOptions",
            Padding=padding,
            StrideW=2,
            StrideH=2,
            FilterWidth=3,
            FilterHeight=3,
            FusedActivationFunction=activation,
        ),
        tmp_path,
    )


@pytest.mark.parametrize("axes", [(1, 2), (3,), (0, 1, 2, 3), (2,)])
@pytest.mark.parametrize(("scale", "zero", "out_scale", "out_zero"), SCALES)
def test_mean(
    tmp_path: Path, axes: tuple[int, ...], scale: float, zero: int, out_scale: float, out_zero: int
) -> None:
    case = Case()
    x = case.int8((2, 5, 7, 3), scale, zero)
    a = case.constant(np.array(axes, np.int32))
    y = case.out([1 if d in axes else n for d, n in enumerate((2, 5, 7, 3))], out_scale, out_zero)
    assert compare(
        case.file("MEAN", [x, a], y, version=2, options="ReducerOptions", KeepDims=True), tmp_path
    )


@pytest.mark.parametrize("axes", [(1, 2), (3,), (0, 1, 2, 3), (2,)])
@pytest.mark.parametrize(("scale", "zero"), [(0.05, 3), (0.9, -1), (0.003, 0)])
def test_sum(tmp_path: Path, axes: tuple[int, ...], scale: float, zero: int) -> None:
    """LiteRT 2.3's reference takes the bytes for ones without a sign: decision 0201."""
    shape = (2, 5, 7, 3)
    case = Case()
    x, a = case.int8(shape, scale, zero), case.constant(np.array(axes, np.int32))
    out_scale = scale * np.sqrt(np.prod([shape[axis] for axis in axes])) * 1.37
    y = case.out([1 if d in axes else n for d, n in enumerate(shape)], float(out_scale), 9)
    data = case.file("SUM", [x, a], y, version=2, options="ReducerOptions", KeepDims=True)
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    graph = importer.load(path)
    (values,) = random_inputs(graph, 1)
    small = np.abs(values // 8)
    ours, theirs = interpreter.run(graph, [small])["y"], reference(data, [small])["y"]
    comparable = (ours > 0) & (ours < 127)
    assert comparable.any()
    np.testing.assert_array_equal(ours[comparable], theirs[comparable])
    centred = (values.astype(np.float64) - zero).sum(axes, keepdims=True)
    exact = np.clip(centred * scale / out_scale + 9, -128, 127)
    assert np.abs(interpreter.run(graph, [values])["y"] - exact).max() <= 1
