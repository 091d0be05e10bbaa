# SPDX-License-Identifier: Apache-2.0
"""Every 8-bit operator equals LiteRT's reference kernels in every bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.check import random_inputs
from tests.models_build import (
    Network,
    autoencoder,
    ds_cnn,
    efficientnet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    resnet8,
    to_tflite,
)
from tests.tools.one_operator import Case

litert = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed")

SAME, VALID = 0, 1
NONE, RELU, RELU_N1, RELU6 = 0, 1, 2, 3
SCALES = [(0.05, 3, 0.07, -5), (0.9, -128, 0.011, 127), (0.003, 127, 0.3, 0)]


def reference(data: bytes, inputs: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor by name, as LiteRT's reference kernels compute it."""
    runner = litert.Interpreter(
        model_content=data,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    runner.allocate_tensors()
    for detail, array in zip(runner.get_input_details(), inputs, strict=True):
        runner.set_tensor(detail["index"], array)
    runner.invoke()
    written = {index for op in runner._get_ops_details() for index in op["outputs"]}
    return {
        detail["name"]: runner.get_tensor(detail["index"])
        for detail in runner.get_tensor_details()
        if detail["index"] in written
    }


def compare(data: bytes, tmp_path: Path, *, seeds: int = 3) -> int:
    """Hold every tensor against LiteRT's; returns how many there are."""
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    graph = importer.load(path)
    for seed in range(seeds):
        inputs = random_inputs(graph, seed)
        expected = reference(data, inputs)
        found = interpreter.run(graph, inputs)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=f"{name}, seed {seed}")
    return len(expected)


def weights(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-127, 128, shape).astype(np.int8)


@pytest.mark.parametrize(("scale", "zero", "out_scale", "out_zero"), SCALES)
@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("activation", [NONE, RELU, RELU6])
def test_conv2d(
    tmp_path: Path,
    scale: float,
    zero: int,
    out_scale: float,
    out_zero: int,
    padding: int,
    stride: int,
    activation: int,
) -> None:
    case = Case()
    x = case.int8((1, 7, 6, 3), scale, zero)
    scales = np.linspace(0.01, 0.04, 5)
    w = case.constant(weights((5, 3, 2, 3)), scale=scales, zero_point=[0] * 5, axis=0)
    b = case.constant(
        np.arange(-2, 3, dtype=np.int32) * 400, scale=scales * scale, zero_point=[0] * 5
    )
    size = (
        (-(-7 // stride), -(-6 // stride))
        if padding == SAME
        else ((7 - 3) // stride + 1, (6 - 2) // stride + 1)
    )
    y = case.out((1, *size, 5), out_scale, out_zero)
    assert compare(
        case.file(
            "CONV_2D",
            [x, w, b],
            y,
            version=3,
            options="Conv2DOptions",
            Padding=padding,
            StrideW=stride,
            StrideH=stride,
            DilationWFactor=1,
            DilationHFactor=1,
            FusedActivationFunction=activation,
        ),
        tmp_path,
    )


def test_conv2d_dilated(tmp_path: Path) -> None:
    case = Case()
    x = case.int8((2, 9, 9, 4))
    w = case.constant(weights((6, 3, 3, 4)), scale=[0.02], zero_point=[0])
    b = case.constant(np.zeros(6, np.int32), scale=[0.001], zero_point=[0])
    assert compare(
        case.file(
            "CONV_2D",
            [x, w, b],
            case.out((2, 5, 5, 6)),
            version=3,
            options="Conv2DOptions",
            Padding=VALID,
            StrideW=1,
            StrideH=1,
            DilationWFactor=2,
            DilationHFactor=2,
        ),
        tmp_path,
    )


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize(("scale", "zero", "out_scale", "out_zero"), SCALES)
def test_depthwise(
    tmp_path: Path, scale: float, zero: int, out_scale: float, out_zero: int, multiplier: int
) -> None:
    case = Case()
    channels = 3 * multiplier
    x = case.int8((1, 8, 5, 3), scale, zero)
    scales = np.linspace(0.005, 0.05, channels)
    w = case.constant(weights((1, 3, 3, channels)), scale=scales, zero_point=[0] * channels, axis=3)
    b = case.constant(
        np.arange(channels, dtype=np.int32) * 77, scale=scales * scale, zero_point=[0] * channels
    )
    y = case.out((1, 4, 3, channels), out_scale, out_zero)
    assert compare(
        case.file(
            "DEPTHWISE_CONV_2D",
            [x, w, b],
            y,
            version=3,
            options="DepthwiseConv2DOptions",
            Padding=SAME,
            StrideW=2,
            StrideH=2,
            DepthMultiplier=multiplier,
            DilationWFactor=1,
            DilationHFactor=1,
            FusedActivationFunction=RELU,
        ),
        tmp_path,
    )


@pytest.mark.parametrize("bias", [0, 1 << 15, 1 << 24])
@pytest.mark.parametrize(("scale", "zero", "out_scale", "out_zero"), SCALES)
def test_dense(
    tmp_path: Path, scale: float, zero: int, out_scale: float, out_zero: int, bias: int
) -> None:
    case = Case()
    x = case.int8((2, 33), scale, zero)
    w = case.constant(weights((17, 33)), scale=[0.0123], zero_point=[0])
    b = case.constant(
        (np.arange(17) * bias - 8 * bias).astype(np.int32), scale=[0.0123 * scale], zero_point=[0]
    )
    y = case.out((2, 17), out_scale, out_zero)
    assert compare(
        case.file(
            "FULLY_CONNECTED",
            [x, w, b],
            y,
            version=4,
            options="FullyConnectedOptions",
            FusedActivationFunction=NONE,
        ),
        tmp_path,
        seeds=10,
    )


def test_dense_per_channel(tmp_path: Path) -> None:
    case = Case()
    x = case.int8((3, 21), 0.1, 5)
    scales = np.linspace(0.01, 0.2, 9)
    w = case.constant(weights((9, 21)) // 8, scale=scales, zero_point=[0] * 9, axis=0)
    assert compare(
        case.file(
            "FULLY_CONNECTED",
            [x, w],
            case.out((3, 9), 0.2, -3),
            version=6,
            options="FullyConnectedOptions",
        ),
        tmp_path,
        seeds=10,
    )


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("other", [(1, 4, 5, 6), (6,), (1, 4, 1, 1), ()])
@pytest.mark.parametrize(("scale", "zero", "out_scale", "out_zero"), SCALES)
def test_arithmetic(
    tmp_path: Path,
    name: str,
    other: tuple[int, ...],
    scale: float,
    zero: int,
    out_scale: float,
    out_zero: int,
) -> None:
    case = Case()
    a, b = case.int8((1, 4, 5, 6), scale, zero), case.int8(other, 0.02, -7)
    assert compare(
        case.file(
            name,
            [a, b],
            case.out((1, 4, 5, 6), out_scale, out_zero),
            version=2,
            options=f"{name.capitalize()}Options",
            FusedActivationFunction=RELU,
        ),
        tmp_path,
    )


@pytest.mark.parametrize("other", [(2, 5, 6), (2, 5, 1)])
@pytest.mark.parametrize(("scale", "zero", "out_scale", "out_zero"), SCALES)
def test_squared_difference(
    tmp_path: Path, other: tuple[int, ...], scale: float, zero: int, out_scale: float, out_zero: int
) -> None:
    case = Case()
    a, b = case.int8((2, 5, 6), scale, zero), case.int8(other, 0.02, -7)
    output = case.out((2, 5, 6), out_scale * 4, out_zero)
    assert compare(case.file("SQUARED_DIFFERENCE", [a, b], output, version=2), tmp_path)


@pytest.mark.parametrize("name", ["MAXIMUM", "MINIMUM"])
def test_extremum(tmp_path: Path, name: str) -> None:
    case = Case()
    a, b = case.int8((3, 7)), case.int8((3, 7))
    assert compare(case.file(name, [a, b], case.out((3, 7), 0.05, 3), version=2), tmp_path)


@pytest.mark.parametrize("scale", [0.001, 0.05, 0.7, 1.0])
@pytest.mark.parametrize("columns", [1, 2, 10, 100])
def test_softmax(tmp_path: Path, scale: float, columns: int) -> None:
    case = Case()
    x = case.int8((3, columns), scale, 11)
    assert compare(
        case.file(
            "SOFTMAX",
            [x],
            case.out((3, columns), 1 / 256, -128),
            version=2,
            options="SoftmaxOptions",
            Beta=1.0,
        ),
        tmp_path,
    )


@pytest.mark.parametrize(("scale", "zero"), [(0.05, 3), (0.004, -128), (0.5, 127), (0.0235, -40)])
@pytest.mark.parametrize(
    ("name", "out", "options"),
    [
        ("LOGISTIC", (1 / 256, -128), {}),
        ("TANH", (1 / 128, 0), {}),
        ("HARD_SWISH", (0.031, -9), {}),
        ("LEAKY_RELU", (0.04, 20), {"options": "LeakyReluOptions", "Alpha": 0.3}),
        ("RELU", (0.03, -128), {}),
        ("RELU6", (6 / 255, -128), {}),
        ("RELU_N1_TO_1", (0.01, 4), {}),
        ("QUANTIZE", (0.011, 7), {}),
    ],
)
def test_functions_of_one_number(
    tmp_path: Path,
    name: str,
    out: tuple[float, int],
    options: dict[str, Any],
    scale: float,
    zero: int,
) -> None:
    case = Case()
    x = case.int8((16, 16), scale, zero)
    version = 1 if name in ("HARD_SWISH", "RELU_N1_TO_1") else 2
    assert compare(
        case.file(name, [x], case.out((16, 16), *out), version=version, **options),
        tmp_path,
        seeds=8,
    )


def test_between_floats_and_bytes(tmp_path: Path) -> None:
    case = Case()
    x = case.plain((40, 40))
    assert compare(case.file("QUANTIZE", [x], case.out((40, 40), 0.0173, 3)), tmp_path)
    case = Case()
    x = case.int8((40, 40), 0.0173, 3)
    assert compare(
        case.file("DEQUANTIZE", [x], case.out((40, 40), None, dtype="float32"), version=2), tmp_path
    )
    case = Case()
    x = case.writer.tensor("x0", (50, 50), "uint8", scale=[0.02], zero_point=[131])
    case.inputs.append(x)
    assert compare(case.file("QUANTIZE", [x], case.out((50, 50), 0.02, 3), version=2), tmp_path)


@pytest.mark.parametrize("swap", [False, True])
def test_matrix_product(tmp_path: Path, swap: bool) -> None:
    case = Case()
    a, b = case.int8((2, 5, 9)), case.int8((2, 7, 9) if swap else (2, 9, 7), 0.03, -4)
    assert compare(
        case.file(
            "BATCH_MATMUL",
            [a, b],
            case.out((2, 5, 7), 0.3, 9),
            version=2,
            options="BatchMatMulOptions",
            AdjX=False,
            AdjY=swap,
        ),
        tmp_path,
    )


@pytest.mark.parametrize(
    "net",
    [
        mobilenet_v1(32, 0.25, classes=20),
        mobilenet_v2(32, 0.25, classes=20),
        mobilenet_v3(32, 0.5, classes=20),
        efficientnet(32, 20, lite=True),
        ds_cnn(20, 2),
        resnet8((5, 11, 17)),
        autoencoder(33, 21, 3),
    ],
    ids=lambda net: net.name,
)
def test_whole_networks(tmp_path: Path, net: Network) -> None:
    assert compare(to_tflite(net, int8=True), tmp_path, seeds=1)
