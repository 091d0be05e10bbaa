# SPDX-License-Identifier: Apache-2.0
"""The largest 8-bit numbers that a model can hold: no sum wraps, on any processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebuild.kernels import bundle, check
from tests.flow.test_kernels_check import TARGETS, emulator, profile
from tests.tools.one_operator import Case

pytestmark = pytest.mark.slow

DEPTH = 70  # not a multiple of any vector


def dense(value: int, zero: int) -> bytes:
    case = Case()
    x = case.int8((3, DEPTH), 0.5, zero)
    w = case.constant(np.full((21, DEPTH), value, np.int8), scale=[0.5], zero_point=[0])
    return case.file(
        "FULLY_CONNECTED", [x, w], case.out((3, 21), 64.0, 3), version=4,
        options="FullyConnectedOptions",
    )  # fmt: skip


def conv(value: int, zero: int) -> bytes:
    case = Case()
    x = case.int8((1, 6, 7, DEPTH), 0.5, zero)
    w = case.constant(np.full((9, 3, 3, DEPTH), value, np.int8), scale=[0.5], zero_point=[0])
    b = case.constant(np.full(9, -1000, np.int32), scale=[0.25], zero_point=[0])
    return case.file(
        "CONV_2D", [x, w, b], case.out((1, 6, 7, 9), 512.0, -3), version=3,
        options="Conv2DOptions", Padding=0, StrideW=1, StrideH=1, DilationWFactor=1,
        DilationHFactor=1,
    )  # fmt: skip


def depthwise(value: int, zero: int) -> bytes:
    case = Case()
    x = case.int8((1, 9, 8, DEPTH), 0.5, zero)
    w = case.constant(np.full((1, 3, 3, DEPTH), value, np.int8), scale=[0.5], zero_point=[0])
    b = case.constant(np.full(DEPTH, 1000, np.int32), scale=[0.25], zero_point=[0])
    return case.file(
        "DEPTHWISE_CONV_2D", [x, w, b], case.out((1, 9, 8, DEPTH), 8.0, 0), version=3,
        options="DepthwiseConv2DOptions", Padding=0, StrideW=1, StrideH=1, DepthMultiplier=1,
        DilationWFactor=1, DilationHFactor=1,
    )  # fmt: skip


def product(value: int, zero: int) -> bytes:
    case = Case()
    a, b = case.int8((2, 5, DEPTH), 0.5, zero), case.int8((2, DEPTH, 9), 0.5, -1 - zero)
    return case.file(
        "BATCH_MATMUL", [a, b], case.out((2, 5, 9), 300.0 + value, 0), version=2,
        options="BatchMatMulOptions",
    )  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("make", [dense, conv, depthwise, product])
def test_extremes(
    make: object, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = profile(target)
    for number, (value, zero, fill) in enumerate(
        [(-128, 127, -128), (-128, -128, 127), (127, -128, 127), (-128, 0, -128), (-127, 127, -128)]
    ):
        model = tmp_path / f"m{number}.tflite"
        model.write_bytes(make(value, zero))  # type: ignore[operator]
        out = tmp_path / str(number)
        bundle.compile(model, found.cpu, out, name=f"m{number}")
        monkeypatch.setattr(
            check, "random_inputs",
            lambda graph, _seed, fill=fill: [
                np.full(graph.tensors[n].shape, fill, np.int8) for n in graph.inputs
            ],
        )  # fmt: skip
        report = check.check(model, out, found.cpu, seed=0, emulator=emulator(found))
        assert report["passed"], (value, zero, fill, report)


@pytest.mark.parametrize("depth", [2047, 2048])
def test_the_deepest_sums_of_pairs(
    depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RISC-V without vectors keeps two sums in one double up to a depth."""
    found = profile("riscv64")
    case = Case()
    x = case.int8((4, depth), 0.5, 0)
    values = np.full((3, depth), -128, np.int8)
    values[1] = 127
    w = case.constant(values, scale=[0.5], zero_point=[0])
    model = tmp_path / "m.tflite"
    model.write_bytes(
        case.file(
            "FULLY_CONNECTED",
            [x, w],
            case.out((4, 3), 1e5, 0),
            version=4,
            options="FullyConnectedOptions",
        )
    )
    bundle.compile(model, found.cpu, tmp_path / "out", name="m")
    monkeypatch.setattr(
        check, "random_inputs", lambda graph, _seed: [np.full((4, depth), -128, np.int8)]
    )
    report = check.check(model, tmp_path / "out", found.cpu, seed=0, emulator=emulator(found))
    assert report["passed"], report
