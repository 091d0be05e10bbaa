# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite operators whose parameters contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebuild.errors import EdgebuildError
from tests.unit.test_kernels_tflite import INT, Shape, graph_of, one


@pytest.mark.parametrize(
    ("name", "shape", "out", "constants", "options"),
    [
        (
            "GATHER",
            (2, 3),
            (2, 2),
            [np.array([0, 1], INT)],
            {"options": "GatherOptions", "Axis": 7},
        ),
        (
            "GATHER",
            (2, 3),
            (2, 2),
            [np.array([0, 1], INT)],
            {"options": "GatherOptions", "BatchDims": 1},
        ),
        ("SLICE", (2, 3), (2, 2), [np.array([0], INT), np.array([2], INT)], {}),
        ("MEAN", (2, 3), (2,), [np.array([4], INT)], {"options": "ReducerOptions"}),
        ("PAD", (2, 3), (2, 5), [np.array([0, 1], INT)], {}),
        (
            "STRIDED_SLICE",
            (2, 3),
            (2, 3),
            [np.array([0, 0], INT)] * 2 + [np.array([0, 1], INT)],
            {"options": "StridedSliceOptions"},
        ),
        (
            "STRIDED_SLICE",
            (2, 3),
            (2, 3),
            [np.array([0, 0], INT)] * 3,
            {"options": "StridedSliceOptions", "EllipsisMask": 1},
        ),
        (
            "CONCATENATION",
            (2, 3),
            (2, 3),
            [],
            {"options": "ConcatenationOptions", "FusedActivationFunction": 1},
        ),
        (
            "ADD",
            (2, 3),
            (2, 3),
            [np.float32([1])],
            {"options": "AddOptions", "FusedActivationFunction": 5},
        ),
        (
            "CONV_2D",
            (2, 3),
            (2, 3),
            [np.zeros((1, 1, 1, 3), np.float32)],
            {"options": "Conv2DOptions", "StrideW": 1, "StrideH": 1},
        ),
        (
            "CONV_2D",
            (1, 4, 4, 3),
            (2, 3),
            [np.zeros((1, 1, 1, 3), np.float32)],
            {"options": "Conv2DOptions", "StrideW": 0, "StrideH": 1},
        ),
        (
            "DEPTHWISE_CONV_2D",
            (1, 4, 4, 3),
            (2, 3),
            [np.zeros((2, 1, 1, 3), np.float32)],
            {"options": "DepthwiseConv2DOptions"},
        ),
        (
            "FULLY_CONNECTED",
            (2, 3),
            (2, 3),
            [np.zeros(3, np.float32)],
            {"options": "FullyConnectedOptions"},
        ),
        ("TRANSPOSE", (2, 3), (3, 2), [np.float32([1, 0])], {}),
        ("MAX_POOL_2D", (2, 3), (2, 3), [], {"options": "Pool2DOptions"}),
    ],
)
def test_contradictions_are_classified(
    tmp_path: Path,
    name: str,
    shape: Shape,
    out: Shape,
    constants: list[Any],
    options: dict[str, Any],
) -> None:
    with pytest.raises(EdgebuildError) as caught:
        graph_of(tmp_path, one(name, [shape], out, constants, **options))
    assert caught.value.kind.code in ("E203", "E205")
    assert caught.value.where
