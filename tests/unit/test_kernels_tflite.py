# SPDX-License-Identifier: Apache-2.0
"""Float operators of TensorFlow Lite files against LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.check import random_inputs
from edgebuild.kernels.optimise import optimise
from edgebuild.model.graph import Graph
from tests.tools.one_operator import Case

Shape = tuple[int, ...]
INT = np.int32


def graph_of(tmp_path: Path, data: bytes) -> Graph:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    return importer.load(path)


def compare(tmp_path: Path, data: bytes, *, positive: bool = False) -> int:
    """Hold every output against LiteRT's; returns how many there are."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed")
    graph = graph_of(tmp_path, data)
    inputs = random_inputs(graph, 2)
    if positive:
        inputs = [np.abs(x) + np.float32(0.1) for x in inputs]
    runner = litert.Interpreter(
        model_content=data, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    runner.allocate_tensors()
    for detail, array in zip(runner.get_input_details(), inputs, strict=True):
        runner.set_tensor(detail["index"], array)
    runner.invoke()
    expected = [runner.get_tensor(d["index"]) for d in runner.get_output_details()]
    after = interpreter.run_lowered(optimise(graph), inputs)
    for name, plain, want in zip(
        graph.outputs, interpreter.outputs(graph, inputs), expected, strict=True
    ):
        np.testing.assert_allclose(plain, want, rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(after[name], want, rtol=2e-5, atol=2e-6)
    return len(expected)


def one(name: str, shapes: Sequence[Shape], out: Shape, constants: Sequence[Any] = (),
        dtype: str = "float32", **options: Any) -> bytes:  # fmt: skip
    """A file of one float operator: inputs of these shapes, then constants."""
    case = Case()
    inputs = [case.plain(shape) for shape in shapes]
    inputs += [case.constant(c) for c in constants]
    return case.file(name, inputs, case.out(out, None, dtype=dtype), **options)


@pytest.mark.parametrize(
    "name",
    [
        "RELU",
        "RELU6",
        "RELU_N1_TO_1",
        "LOGISTIC",
        "TANH",
        "EXP",
        "NEG",
        "ABS",
        "SQUARE",
        "FLOOR",
        "HARD_SWISH",
    ],
)
def test_functions_of_one_value(tmp_path: Path, name: str) -> None:
    assert compare(tmp_path, one(name, [(5, 7)], (5, 7)))


def test_elu(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, one("ELU", [(6, 6)], (6, 6)))
    (x,) = random_inputs(graph, 1)
    (found,) = interpreter.outputs(graph, [x])
    np.testing.assert_allclose(found, np.where(x < 0, np.expm1(x), x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["LOG", "SQRT", "RSQRT"])
def test_functions_of_positive_values(tmp_path: Path, name: str) -> None:
    assert compare(tmp_path, one(name, [(5, 7)], (5, 7)), positive=True)


def test_functions_with_a_parameter(tmp_path: Path) -> None:
    assert compare(
        tmp_path, one("LEAKY_RELU", [(4, 4)], (4, 4), options="LeakyReluOptions", Alpha=0.2)
    )
    for approximate in (False, True):
        assert compare(
            tmp_path, one("GELU", [(4, 4)], (4, 4), options="GeluOptions", Approximate=approximate)
        )
    assert compare(
        tmp_path, one("PRELU", [(1, 2, 3, 4)], (1, 2, 3, 4), [np.float32([[[0.1, 1, -1, 2]]])])
    )


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL", "DIV"])
@pytest.mark.parametrize("other", [(3, 4), (4,), (3, 1)])
@pytest.mark.parametrize("activation", [0, 1, 3])
def test_arithmetic(tmp_path: Path, name: str, other: Shape, activation: int) -> None:
    assert compare(
        tmp_path,
        one(
            name,
            [(3, 4), other],
            (3, 4),
            options=f"{name.capitalize()}Options",
            FusedActivationFunction=activation,
        ),
    )


@pytest.mark.parametrize("name", ["MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"])
def test_functions_of_two_values(tmp_path: Path, name: str) -> None:
    assert compare(tmp_path, one(name, [(3, 4), (3, 4)], (3, 4)))


def test_power(tmp_path: Path) -> None:
    assert compare(
        tmp_path, one("POW", [(3, 4)], (3, 4), [np.float32(1.5).reshape(1)]), positive=True
    )


@pytest.mark.parametrize("name", ["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"])
@pytest.mark.parametrize(("axes", "out"), [((1,), (2, 4, 5)), ((0, -1), (3, 4)), ((1, 2), (2, 5))])
def test_reductions(tmp_path: Path, name: str, axes: Shape, out: Shape) -> None:
    assert compare(
        tmp_path,
        one(
            name,
            [(2, 3, 4, 5)],
            out,
            [np.array(axes, INT)],
            options="ReducerOptions",
            KeepDims=False,
        ),
    )


@pytest.mark.parametrize("activation", [0, 1, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_images(tmp_path: Path, padding: int, activation: int) -> None:
    random = np.random.default_rng(1)
    size = (4, 3) if padding == 0 else (3, 2)
    w = random.standard_normal((5, 3, 3, 4)).astype(np.float32)
    bias = random.standard_normal(5).astype(np.float32)
    window = {"Padding": padding, "StrideW": 2, "StrideH": 2, "FusedActivationFunction": activation}
    assert compare(
        tmp_path,
        one(
            "CONV_2D",
            [(2, 8, 6, 4)],
            (2, *size, 5),
            [w, bias],
            options="Conv2DOptions",
            DilationWFactor=1,
            DilationHFactor=1,
            **window,
        ),
    )
    grouped = random.standard_normal((6, 3, 3, 2)).astype(np.float32)
    assert compare(
        tmp_path,
        one(
            "CONV_2D",
            [(1, 8, 6, 4)],
            (1, *size, 6),
            [grouped, np.float32([0] * 6)],
            options="Conv2DOptions",
            DilationWFactor=1,
            DilationHFactor=1,
            **window,
        ),
    )
    depthwise = random.standard_normal((1, 3, 3, 8)).astype(np.float32)
    assert compare(
        tmp_path,
        one(
            "DEPTHWISE_CONV_2D",
            [(1, 8, 6, 4)],
            (1, *size, 8),
            [depthwise, np.float32(range(8))],
            options="DepthwiseConv2DOptions",
            DepthMultiplier=2,
            DilationWFactor=1,
            DilationHFactor=1,
            **window,
        ),
    )
    for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        assert compare(
            tmp_path,
            one(
                name,
                [(1, 8, 6, 4)],
                (1, *size, 4),
                options="Pool2DOptions",
                FilterWidth=3,
                FilterHeight=3,
                **window,
            ),
        )


def test_dense_layers(tmp_path: Path) -> None:
    w = np.random.default_rng(1).standard_normal((6, 8)).astype(np.float32)
    assert compare(
        tmp_path,
        one(
            "FULLY_CONNECTED",
            [(2, 3, 8)],
            (2, 3, 6),
            [w, np.float32(range(6))],
            options="FullyConnectedOptions",
            KeepNumDims=True,
        ),
    )
    assert compare(
        tmp_path,
        one(
            "FULLY_CONNECTED",
            [(2, 3, 8)],
            (6, 6),
            [w, np.float32(range(6))],
            options="FullyConnectedOptions",
            KeepNumDims=False,
        ),
    )
    for swap in (False, True):
        b = (2, 7, 5) if swap else (2, 5, 7)
        assert compare(
            tmp_path,
            one(
                "BATCH_MATMUL",
                [(2, 3, 5), b],
                (2, 3, 7),
                options="BatchMatMulOptions",
                AdjX=False,
                AdjY=swap,
            ),
        )


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_softmax(tmp_path: Path, beta: float) -> None:
    assert compare(tmp_path, one("SOFTMAX", [(2, 9)], (2, 9), options="SoftmaxOptions", Beta=beta))


@pytest.mark.parametrize(
    ("name", "out", "constants", "options"),
    [
        ("RESHAPE", (4, 6), [np.array([4, 6], INT)], {"options": "ReshapeOptions"}),
        ("EXPAND_DIMS", (2, 1, 3, 4), [np.array([1], INT)], {}),
        ("TRANSPOSE", (4, 2, 3), [np.array([2, 0, 1], INT)], {}),
        ("PAD", (3, 3, 7), [np.array([[1, 0], [0, 0], [2, 1]], INT)], {}),
        ("SLICE", (1, 2, 4), [np.array([1, 1, 0], INT), np.array([1, 2, -1], INT)], {}),
        ("GATHER", (2, 2, 4), [np.array([2, 0], INT)], {"options": "GatherOptions", "Axis": 1}),
        ("BROADCAST_TO", (5, 2, 3, 4), [np.array([5, 2, 3, 4], INT)], {"version": 2}),
        (
            "STRIDED_SLICE",
            (2, 2, 2),
            [np.array([0, 2, -1], INT), np.array([2, 0, -4], INT), np.array([1, -1, -2], INT)],
            {"options": "StridedSliceOptions"},
        ),
        (
            "STRIDED_SLICE",
            (3, 2),
            [np.array([1, 0, 1], INT), np.array([9, 9, 3], INT), np.array([1, 1, 1], INT)],
            {"options": "StridedSliceOptions", "ShrinkAxisMask": 1, "EndMask": 2},
        ),
        (
            "CAST",
            (2, 3, 4),
            [],
            {"options": "CastOptions", "InDataType": 0, "OutDataType": 2, "dtype": "int32"},
        ),
    ],
)
def test_movement(
    tmp_path: Path, name: str, out: Shape, constants: list[Any], options: dict[str, Any]
) -> None:
    assert compare(tmp_path, one(name, [(2, 3, 4)], out, constants, **options))


def test_padding_with_a_value(tmp_path: Path) -> None:
    assert compare(
        tmp_path,
        one("PADV2", [(2, 3)], (2, 5), [np.array([[0, 0], [1, 1]], INT), np.float32([2.5])]),
    )


def several(name: str, shape: Shape, outs: Sequence[Shape], before: Sequence[Any],
            after: Sequence[Any], **options: Any) -> bytes:  # fmt: skip
    case = Case()
    first = [case.constant(c) for c in before]
    inputs = [*first, case.plain(shape), *(case.constant(c) for c in after)]
    outputs = [case.writer.tensor(f"y{n}", out, "float32") for n, out in enumerate(outs)]
    case.writer.any(name, inputs, outputs, **options)
    return case.writer.finish(case.inputs, outputs)


def test_splitting(tmp_path: Path) -> None:
    assert compare(
        tmp_path,
        several(
            "SPLIT",
            (2, 6),
            [(2, 3), (2, 3)],
            [np.array(1, INT)],
            [],
            options="SplitOptions",
            NumSplits=2,
        ),
    )
    assert compare(
        tmp_path,
        several(
            "SPLIT_V",
            (2, 6),
            [(2, 4), (2, 2)],
            [],
            [np.array([4, -1], INT), np.array(1, INT)],
            options="SplitVOptions",
            NumSplits=2,
        ),
    )


def test_joining(tmp_path: Path) -> None:
    assert compare(
        tmp_path,
        one(
            "CONCATENATION",
            [(2, 3), (2, 1), (2, 2)],
            (2, 6),
            options="ConcatenationOptions",
            Axis=-1,
        ),
    )
