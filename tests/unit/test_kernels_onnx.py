# SPDX-License-Identifier: Apache-2.0
"""ONNX: every operator against ONNX's own evaluator, before and after the graph passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.optimise import optimise

R = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return R.standard_normal(shape).astype(np.float32)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    constants: Mapping[str, np.ndarray],
    opset: int = 17,
) -> onnx.ModelProto:
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in inputs.items()
    ]
    outs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    held = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    graph = helper.make_graph(list(nodes), "test", infos, outs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def save(tmp_path: Path, made: onnx.ModelProto) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def compare(tmp_path: Path, made: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> Any:
    """The plain and the optimised graph give what ONNX's evaluator gives; returns the latter."""
    expected = ReferenceEvaluator(made).run(None, dict(inputs))
    graph = importer.load(save(tmp_path, made))
    arrays = [inputs[name] for name in graph.inputs]
    lowered = optimise(graph)
    after = interpreter.run_lowered(lowered, arrays)
    for name, before, want in zip(
        graph.outputs, interpreter.outputs(graph, arrays), expected, strict=True
    ):
        np.testing.assert_allclose(before, want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(after[name], want, rtol=1e-4, atol=1e-5)
    return lowered


def one(tmp_path: Path, kind: str, inputs: Sequence[np.ndarray], constants: Sequence[Any] = (),
        outputs: int = 1, **attributes: Any) -> Any:  # fmt: skip
    """A model of one node: its first inputs are the model's, the rest constants (None: absent)."""
    given = {f"x{n}": array for n, array in enumerate(inputs)}
    held = {f"c{n}": np.asarray(c) for n, c in enumerate(constants) if c is not None}
    names = [*given, *(f"c{n}" if c is not None else "" for n, c in enumerate(constants))]
    results = [f"y{n}" for n in range(outputs)]
    node = helper.make_node(kind, names, results, **attributes)
    return compare(tmp_path, model([node], given, results, held), given)


INT = np.int64


@pytest.mark.parametrize(
    "kind",
    [
        "Relu",
        "Sigmoid",
        "Tanh",
        "Exp",
        "Neg",
        "Abs",
        "Erf",
        "Floor",
        "HardSwish",
        "Identity",
        "Softmax",
        "HardSigmoid",
        "LeakyRelu",
        "Elu",
        "Reciprocal",
    ],
)
def test_functions_of_one_value(tmp_path: Path, kind: str) -> None:
    assert one(tmp_path, kind, [floats(2, 3, 4) * 3])


@pytest.mark.parametrize("kind", ["Sqrt", "Log"])
def test_functions_of_positive_values(tmp_path: Path, kind: str) -> None:
    assert one(tmp_path, kind, [np.abs(floats(3, 4)) + np.float32(0.1)])


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (4,), (3, 1), (1,)])
def test_functions_of_two_values(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    assert one(tmp_path, kind, [floats(2, 3, 4), np.abs(floats(*shape)) + np.float32(0.5)])
    assert one(tmp_path, kind, [floats(2, 3, 4)], [np.abs(floats(*shape)) + np.float32(0.5)])


def test_power_and_comparisons(tmp_path: Path) -> None:
    assert one(tmp_path, "Pow", [np.abs(floats(3, 4))], [np.float32(1.7)])
    x, y = floats(3, 4), floats(3, 4)
    for kind in ("Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual"):
        nodes = [
            helper.make_node(kind, ["x", "y"], ["c"]),
            helper.make_node("Where", ["c", "x", "y"], ["z"]),
        ]
        assert compare(tmp_path, model(nodes, {"x": x, "y": y}, ["z"], {}), {"x": x, "y": y})


@pytest.mark.parametrize("limits", [(0.0, 6.0), (-1.0, 1.0), (None, 0.5), (-0.3, None)])
def test_clip(tmp_path: Path, limits: tuple[Any, Any]) -> None:
    assert one(
        tmp_path, "Clip", [floats(5, 5)], [None if v is None else np.float32(v) for v in limits]
    )


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 2, 0]])
@pytest.mark.parametrize("strides", [[1, 1], [2, 1]])
@pytest.mark.parametrize("group", [1, 2, 6])
def test_conv(tmp_path: Path, pads: list[int], strides: list[int], group: int) -> None:
    lowered = one(
        tmp_path,
        "Conv",
        [floats(1, 6, 7, 8)],
        [floats(12, 6 // group, 3, 3), floats(12)],
        pads=pads,
        strides=strides,
        group=group,
    )
    kinds = [call.spec.kind for call in lowered.calls]
    assert kinds.count("conv2d") + kinds.count("depthwise2d") == 1
    assert kinds.count("copy") == 2  # in and out of the model's own channels-first order


def test_conv_of_a_signal(tmp_path: Path) -> None:
    assert one(tmp_path, "Conv", [floats(2, 3, 20)], [floats(5, 3, 4)], pads=[1, 2], strides=[2])
    assert one(tmp_path, "MaxPool", [floats(1, 3, 20)], kernel_shape=[4], strides=[3])


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(tmp_path: Path, auto: str) -> None:
    assert one(
        tmp_path,
        "Conv",
        [floats(1, 2, 7, 8)],
        [floats(3, 2, 3, 2)],
        auto_pad=auto,
        strides=[2, 2],
        kernel_shape=[3, 2],
    )


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1]])
def test_pool(tmp_path: Path, kind: str, pads: list[int]) -> None:
    assert one(tmp_path, kind, [floats(1, 5, 8, 9)], kernel_shape=[3, 2], strides=[2, 2], pads=pads)


def test_average_that_counts_padding(tmp_path: Path) -> None:
    assert one(
        tmp_path,
        "AveragePool",
        [floats(1, 2, 5, 5)],
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        count_include_pad=1,
    )


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pool(tmp_path: Path, kind: str) -> None:
    assert one(tmp_path, kind, [floats(2, 3, 4, 5)])


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("axes", [[1], [0, 2], [-1], None])
@pytest.mark.parametrize("keep", [0, 1])
def test_reduction(tmp_path: Path, kind: str, axes: Any, keep: int) -> None:
    attributes = {} if axes is None else {"axes": axes}
    assert one(tmp_path, kind, [floats(3, 4, 5)], keepdims=keep, **attributes)


def test_sum_with_axes_as_an_input(tmp_path: Path) -> None:
    assert one(tmp_path, "ReduceSum", [floats(3, 4, 5)], [np.array([0, 2], INT)], keepdims=0)
    assert one(tmp_path, "ReduceSum", [floats(3, 4)], noop_with_empty_axes=1)


@pytest.mark.parametrize(
    "attributes", [{}, {"transA": 1}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}]
)
def test_gemm(tmp_path: Path, attributes: dict[str, Any]) -> None:
    left = floats(6, 4) if attributes.get("transA") else floats(4, 6)
    right = floats(5, 6) if attributes.get("transB") else floats(6, 5)
    assert one(tmp_path, "Gemm", [left], [right, floats(5)], **attributes)
    assert one(tmp_path, "Gemm", [left, right, floats(4, 5)], **attributes)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((4, 5), (5, 6)),
        ((2, 4, 5), (2, 5, 6)),
        ((2, 3, 4, 5), (1, 3, 5, 2)),
        ((3, 4, 5), (5, 2)),
    ],
)
def test_matrix_product(tmp_path: Path, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    assert one(tmp_path, "MatMul", [floats(*a), floats(*b)])
    assert one(tmp_path, "MatMul", [floats(*a)], [floats(*b)])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_along_any_axis(tmp_path: Path, axis: int) -> None:
    assert one(tmp_path, "Softmax", [floats(3, 4, 5)], axis=axis)


def test_normalisations(tmp_path: Path) -> None:
    assert one(
        tmp_path, "LayerNormalization", [floats(2, 3, 8)], [floats(8), floats(8)], epsilon=1e-3
    )
    assert one(
        tmp_path,
        "BatchNormalization",
        [floats(2, 3, 4, 4)],
        [floats(3), floats(3), floats(3), np.abs(floats(3)) + np.float32(0.2)],
    )


@pytest.mark.parametrize(
    ("kind", "constants", "attributes"),
    [
        ("Reshape", [np.array([0, -1], INT)], {}),
        ("Flatten", [], {"axis": 2}),
        ("Transpose", [], {"perm": [2, 0, 1]}),
        ("Transpose", [], {}),
        ("Unsqueeze", [np.array([0, -1], INT)], {}),
        ("Slice", [np.array([1, 0], INT), np.array([3, 9], INT), np.array([1, 2], INT)], {}),
        (
            "Slice",
            [np.array([-1], INT), np.array([-100], INT), np.array([2], INT), np.array([-2], INT)],
            {},
        ),
        ("Gather", [np.array([[2, 0], [1, -1]], INT)], {"axis": 1}),
        ("Expand", [np.array([2, 2, 3, 4], INT)], {}),
        ("Pad", [np.array([0, 1, 0, 2, 0, 1], INT), np.float32(1.5)], {}),
        ("Cast", [], {"to": TensorProto.INT32}),
    ],
)
def test_movement(
    tmp_path: Path, kind: str, constants: list[Any], attributes: dict[str, Any]
) -> None:
    assert one(tmp_path, kind, [floats(2, 3, 4) * 4], constants, **attributes)


def test_squeeze(tmp_path: Path) -> None:
    assert one(tmp_path, "Squeeze", [floats(1, 3, 1, 4)], [np.array([2], INT)])
    assert one(tmp_path, "Squeeze", [floats(1, 3, 1, 4)])


def test_concat_and_split(tmp_path: Path) -> None:
    assert one(tmp_path, "Concat", [floats(2, 3), floats(2, 1), floats(2, 4)], axis=-1)
    assert one(tmp_path, "Concat", [floats(2, 3)], [floats(2, 2)], axis=1)
    assert one(tmp_path, "Split", [floats(2, 7)], [np.array([3, 4], INT)], outputs=2, axis=1)
    assert one(tmp_path, "Split", [floats(6, 2)], outputs=3, axis=0)


def test_nearest_neighbour_enlargement(tmp_path: Path) -> None:
    assert one(
        tmp_path,
        "Resize",
        [floats(1, 2, 3, 3)],
        [None, np.float32([1, 1, 2, 2])],
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )


def test_shape_arithmetic_is_computed_while_reading(tmp_path: Path) -> None:
    x = floats(2, 3, 4)
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n", "axes"], ["u"]),
        helper.make_node("Concat", ["u", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
        helper.make_node("ConstantOfShape", ["shape2"], ["ones"], value=numpy_helper.from_array(
            np.float32([2]))),
        helper.make_node("Range", ["zero", "four", "one"], ["range"]),
        helper.make_node("Cast", ["range"], ["ramp"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["ones", "ramp"], ["scale"]),
        helper.make_node("Div", ["six", "two"], ["three"]),
        helper.make_node("Cast", ["three"], ["threef"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Reshape", ["y", "back"], ["yy"]),
        helper.make_node("Mul", ["yy", "scale"], ["z0"]),
        helper.make_node("Mul", ["z0", "half"], ["z1"]),
        helper.make_node("Add", ["z1", "threef"], ["z"]),
    ]  # fmt: skip
    constants = {
        "zero": np.array(0, INT), "axes": np.array([0], INT), "rest": np.array([12], INT),
        "shape2": np.array([3, 4], INT), "four": np.array(4, INT), "one": np.array(1, INT),
        "six": np.array(7, INT), "two": np.array(2, INT), "back": np.array([2, 3, 4], INT),
    }  # fmt: skip
    lowered = compare(tmp_path, model(nodes, {"x": x}, ["z"], constants), {"x": x})
    assert [call.spec.kind for call in lowered.calls] == ["elementwise"]
