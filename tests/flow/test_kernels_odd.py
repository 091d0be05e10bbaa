# SPDX-License-Identifier: Apache-2.0
"""Odd graphs as bundles: no operator, no element, rank 0, several outputs, rare operators."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgebuild.config import profiles
from edgebuild.host import paths
from edgebuild.kernels import bundle, check
from tests.unit.test_kernels_onnx import floats, model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 kernels"),
]
INT = np.int64
N = helper.make_node

# name: nodes, inputs, outputs, constants
CASES: dict[str, tuple[Any, ...]] = {
    "identity": ([N("Identity", ["x"], ["y"])], {"x": floats(3, 4)}, ["y"], {}),
    "scalar": ([N("Exp", ["x"], ["y"])], {"x": floats()}, ["y"], {}),
    "empty": ([N("Exp", ["x"], ["y"])], {"x": floats(0, 4)}, ["y"], {}),
    "constout": (
        [N("Exp", ["x"], ["y"]), N("Identity", ["c"], ["z"])],
        {"x": floats(5)},
        ["y", "z"],
        {"c": floats(7)},
    ),
    "twice": (
        [N("Exp", ["x"], ["y"]), N("Add", ["y", "y"], ["z"])],
        {"x": floats(70)},
        ["y", "z"],
        {},
    ),
    "concatc": (
        [N("Concat", ["x", "c"], ["y"], axis=1)],
        {"x": floats(2, 3)},
        ["y"],
        {"c": floats(2, 4)},
    ),
    "bcast": ([N("Add", ["x", "z"], ["y"])], {"x": floats(4, 1, 5), "z": floats(3, 1)}, ["y"], {}),
    "gather": (
        [N("Gather", ["c", "x"], ["y"])],
        {"x": np.array([[1, 2, 0]], INT)},
        ["y"],
        {"c": floats(4, 5)},
    ),
    "where": (
        [N("Less", ["x", "z"], ["c"]), N("Where", ["c", "x", "z"], ["y"])],
        {"x": floats(4, 5), "z": floats(4, 5)},
        ["y"],
        {},
    ),
    "argslice": (
        [N("Slice", ["x", "a", "b", "ax", "st"], ["y"])],
        {"x": floats(6, 7)},
        ["y"],
        {
            "a": np.array([-1], INT),
            "b": np.array([-100], INT),
            "ax": np.array([1], INT),
            "st": np.array([-2], INT),
        },
    ),
    "ln": (
        [N("LayerNormalization", ["x", "g", "b"], ["y"])],
        {"x": floats(3, 37)},
        ["y"],
        {"g": floats(37), "b": floats(37)},
    ),
    "pow": (
        [N("Abs", ["x"], ["a"]), N("Pow", ["a", "c"], ["y"])],
        {"x": floats(33)},
        ["y"],
        {"c": np.float32(1.7)},
    ),
    "conv1d": (
        [N("Conv", ["x", "w"], ["y"], pads=[1, 2], strides=[2])],
        {"x": floats(2, 3, 20)},
        ["y"],
        {"w": floats(5, 3, 4)},
    ),
    "groups": (
        [N("Conv", ["x", "w"], ["y"], group=2)],
        {"x": floats(1, 6, 9, 9)},
        ["y"],
        {"w": floats(8, 3, 3, 3)},
    ),
    "dilated": (
        [N("Conv", ["x", "w"], ["y"], dilations=[2, 3], pads=[2, 1, 0, 3])],
        {"x": floats(1, 6, 12, 13)},
        ["y"],
        {"w": floats(7, 6, 3, 2)},
    ),
    "dw5": (
        [N("Conv", ["x", "w"], ["y"], group=7, pads=[2, 2, 2, 2], strides=[2, 2])],
        {"x": floats(1, 7, 12, 13)},
        ["y"],
        {"w": floats(14, 1, 5, 5)},
    ),
    "reduce": (
        [N("ReduceMax", ["x"], ["y"], axes=[0, 2], keepdims=0)],
        {"x": floats(3, 4, 5)},
        ["y"],
        {},
    ),
    "bmm": (
        [N("MatMul", ["x", "z"], ["y"])],
        {"x": floats(2, 3, 5, 7), "z": floats(1, 3, 7, 6)},
        ["y"],
        {},
    ),
    "castint": (
        [N("Cast", ["x"], ["i"], to=6), N("Cast", ["i"], ["y"], to=1)],
        {"x": floats(3, 9) * 9},
        ["y"],
        {},
    ),
    "bytes": (
        [
            N("QuantizeLinear", ["x", "s", "z"], ["q"]),
            N("Transpose", ["q"], ["y"], perm=[1, 0]),
        ],
        {"x": floats(5, 7)},
        ["y"],
        {"s": np.float32(0.02), "z": np.uint8(100)},
    ),
    "einsum": (
        [N("Einsum", ["x", "z"], ["y"], equation="bik,bjk->bij")],
        {"x": floats(2, 5, 9), "z": floats(2, 7, 9)},
        ["y"],
        {},
    ),
    "rounded": ([N("Round", ["x"], ["y"])], {"x": floats(3, 37) * 5}, ["y"], {}),
    "lrn": (
        [N("LRN", ["x"], ["y"], size=4, alpha=0.1)],
        {"x": floats(2, 9, 5, 3)},
        ["y"],
        {},
    ),
    "rows": (
        [N("Gemm", ["x", "w", "c"], ["y"])],
        {"x": floats(5, 9)},
        ["y"],
        {"w": floats(9, 17), "c": floats(5, 1)},
    ),
    "ceilpad": (
        [
            N(
                "AveragePool",
                ["x"],
                ["y"],
                kernel_shape=[3, 3],
                strides=[3, 2],
                pads=[1, 1, 0, 1],
                ceil_mode=1,
                count_include_pad=1,
            )
        ],
        {"x": floats(1, 5, 7, 8)},
        ["y"],
        {},
    ),
    "avgpad": (
        [
            N(
                "AveragePool",
                ["x"],
                ["y"],
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                count_include_pad=1,
            )
        ],
        {"x": floats(1, 5, 7, 7)},
        ["y"],
        {},
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_odd_graph(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(model(*CASES[name]).SerializeToString())
    cpu = profiles.load("x86_64", paths.data_dir() / "targets").cpu
    bundle.compile(path, cpu, tmp_path / "out", name=name)
    report = check.check(path, tmp_path / "out", cpu, seed=1)
    assert report["passed"], report
