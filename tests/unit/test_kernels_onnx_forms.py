# SPDX-License-Identifier: Apache-2.0
"""ONNX as exporters write it: indices and masks that are known, and composed functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import importer, interpreter
from tests.unit.test_kernels_onnx import compare, model, one, save

INT = np.int64
R = np.random.default_rng(11)


def floats(*shape: int) -> np.ndarray:
    return R.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    "kind", ["Softplus", "Softsign", "Selu", "Celu", "Sign", "Ceil", "LogSoftmax"]
)
def test_composed_functions(tmp_path: Path, kind: str) -> None:
    assert one(tmp_path, kind, [floats(2, 3, 4) * 3])


def test_softplus_does_not_overflow(tmp_path: Path) -> None:
    assert one(tmp_path, "Softplus", [np.float32([-200, -1, 0, 1, 200])])


@pytest.mark.parametrize("alpha", [1.0, 1.7])
def test_swish(tmp_path: Path, alpha: float) -> None:
    x = floats(3, 5)
    nodes = [helper.make_node("Swish", ["x"], ["y"], alpha=alpha)]
    graph = importer.load(save(tmp_path, model(nodes, {"x": x}, ["y"], {}, opset=24)))
    found = interpreter.outputs(graph, [x])[0]
    np.testing.assert_allclose(found, x / (1 + np.exp(-alpha * x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["ReduceL1", "ReduceL2", "ReduceSumSquare"])
@pytest.mark.parametrize("axes", [[1], [0, 2], None])
def test_norms(tmp_path: Path, kind: str, axes: Any) -> None:
    assert one(tmp_path, kind, [floats(2, 3, 4)], **({} if axes is None else {"axes": axes}))


@pytest.mark.parametrize("p", [2])
def test_a_vector_of_length_one(tmp_path: Path, p: int) -> None:
    assert one(tmp_path, "LpNormalization", [floats(2, 3, 4)], axis=1, p=p)


def test_instance_normalisation(tmp_path: Path) -> None:
    assert one(tmp_path, "InstanceNormalization", [floats(2, 3, 4, 5)], [floats(3), floats(3)])


@pytest.mark.parametrize("opset", [18, 21])
def test_group_normalisation(tmp_path: Path, opset: int) -> None:
    x, size = floats(2, 6, 4), 3 if opset == 18 else 6
    scale, offset = floats(size), floats(size)
    nodes = [helper.make_node("GroupNormalization", ["x", "s", "o"], ["y"], num_groups=3)]
    made = model(nodes, {"x": x}, ["y"], {"s": scale, "o": offset}, opset=opset)
    found = interpreter.outputs(importer.load(save(tmp_path, made)), [x])[0]
    groups = x.reshape(2, 3, 8)
    normal = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-5)
    per = [np.repeat(v, 6 // size).reshape(1, 6, 1) for v in (scale, offset)]
    np.testing.assert_allclose(
        found, normal.reshape(2, 6, 4) * per[0] + per[1], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["And", "Or", "Xor"])
def test_logic(tmp_path: Path, kind: str) -> None:
    x, y = floats(4, 5), floats(4, 5)
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["a"]),
        helper.make_node("Greater", ["y", "zero"], ["b"]),
        helper.make_node(kind, ["a", "b"], ["c"]),
        helper.make_node("Where", ["c", "x", "y"], ["z"]),
    ]
    given = {"x": x, "y": y}
    assert compare(tmp_path, model(nodes, given, ["z"], {"zero": np.float32(0)}), given)


def test_rows_that_are_masked_throughout(tmp_path: Path) -> None:
    """A softmax over nothing but minus infinity has no number in it: exporters write 0 there."""
    x, mask = floats(3, 4), np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    nodes = [
        helper.make_node("Where", ["m", "zero", "low"], ["bias"]),
        helper.make_node("Add", ["x", "bias"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["s"], axis=-1),
        helper.make_node("IsNaN", ["s"], ["none"]),
        helper.make_node("Where", ["none", "zero", "s"], ["y"]),
    ]
    constants = {"zero": np.float32(0), "low": np.float32(-np.inf)}
    given = {"x": x, "m": mask}
    with np.errstate(invalid="ignore"):
        assert compare(tmp_path, model(nodes, given, ["y"], constants), given)


def test_a_mask_that_is_picked_by_known_indices(tmp_path: Path) -> None:
    x = floats(2, 5)
    index = np.stack(np.meshgrid([1, 0], [4, 0, -5], indexing="ij"), -1)
    assert one(tmp_path, "GatherND", [x], [index.astype(INT)])
    assert one(tmp_path, "GatherND", [floats(3, 4, 2)], [np.array([[2], [-1]], INT)])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_elements_by_known_indices(tmp_path: Path, axis: int) -> None:
    index = np.array([[[0, 1], [1, -1]], [[1, 0], [0, 0]]], INT)
    assert one(tmp_path, "GatherElements", [floats(2, 2, 2)], [index], axis=axis)


def test_elements_of_one_row_by_computed_indices(tmp_path: Path) -> None:
    x, index = floats(1, 6), np.array([[5, 0, 2]], INT)
    assert one(tmp_path, "GatherElements", [x, index], axis=1)


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("size", [1, 7])
def test_running_sums(tmp_path: Path, reverse: int, exclusive: int, size: int) -> None:
    assert one(tmp_path, "CumSum", [floats(2, size, 3)], [np.array(1, INT)], reverse=reverse,
               exclusive=exclusive)  # fmt: skip


@pytest.mark.parametrize("upper", [0, 1])
def test_triangles(tmp_path: Path, upper: int) -> None:
    assert one(tmp_path, "Trilu", [floats(2, 4, 5)], [np.array(1, INT)], upper=upper)


def test_repeats(tmp_path: Path) -> None:
    assert one(tmp_path, "Tile", [floats(2, 1, 3)], [np.array([1, 4, 2], INT)])


@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize(("axis", "keepdims"), [(-1, 0), (0, 1)])
def test_positions_of_extremes(tmp_path: Path, kind: str, axis: int, keepdims: int) -> None:
    x = np.random.default_rng(0).integers(-2, 3, (4, 9)).astype(np.float32)
    assert one(tmp_path, kind, [x], axis=axis, keepdims=keepdims)


def test_arithmetic_of_shapes(tmp_path: Path) -> None:
    """What is left of a reshape whose extents an exporter computed from the input's."""
    x = floats(2, 6, 3)
    nodes = [
        helper.make_node("Size", ["x"], ["size"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("ReduceProd", ["shape"], ["product"], keepdims=0),
        helper.make_node("Sub", ["product", "size"], ["zero"]),
        helper.make_node("Mod", ["size", "seven"], ["one"]),
        helper.make_node("Add", ["zero", "one"], ["rows"]),
        helper.make_node("ConstantOfShape", ["none"], ["nought"]),
        helper.make_node("Cast", ["nought"], ["first"], to=TensorProto.INT64),
        helper.make_node("NonZero", ["shape"], ["places"]),
        helper.make_node("Gather", ["places", "first"], ["row"], axis=0),
        helper.make_node("ScatterND", ["row", "at", "all"], ["wanted"]),
        helper.make_node("Unsqueeze", ["rows", "axis"], ["lead"]),
        helper.make_node("Concat", ["lead", "wanted"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
        helper.make_node("Abs", ["y"], ["z"]),
    ]
    constants = {
        "seven": np.array(7, INT), "none": np.array([], INT), "axis": np.array([0], INT),
        "at": np.array([[0], [1], [2]], INT), "all": np.array([-1, 4, 3], INT),
    }  # fmt: skip
    lowered = compare(tmp_path, model(nodes, {"x": x}, ["z"], constants), {"x": x})
    assert [call.spec.kind for call in lowered.calls] == ["elementwise"]
    assert lowered.graph.tensors["z"].shape == (1, 3, 4, 3)


@pytest.mark.parametrize(
    ("kind", "inputs", "constants", "attributes", "code"),
    [
        ("Mod", [np.array([4], INT)], [np.array([3], INT)], {}, "E205"),
        ("Mod", [], [np.array([4], INT), np.array([0], INT)], {}, "E203"),
        ("ScatterND", [], [np.ones((2, 2), INT)] * 3, {"reduction": "add"}, "E205"),
        ("Trilu", [floats(3)], [], {}, "E203"),
        ("GatherElements", [floats(2, 2), np.zeros((2, 2), INT)], [], {}, "E205"),
        ("GatherElements", [floats(2, 2), np.zeros(2, INT)], [], {}, "E203"),
        ("GatherElements", [floats(2, 2)], [np.full((2, 2), 7, INT)], {}, "E203"),
        ("GatherND", [floats(2, 2), np.zeros((1, 1), INT)], [], {}, "E205"),
        ("GatherND", [floats(2, 2)], [np.zeros((2, 1), INT)], {"batch_dims": 1}, "E205"),
        ("ArgMax", [floats(2, 2)], [], {"select_last_index": 1}, "E205"),
        ("Tile", [floats(2, 2)], [np.array([1], INT)], {}, "E203"),
        ("LpNormalization", [floats(2, 2)], [], {"p": 3}, "E205"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, kind: str, inputs: Any, constants: Any, attributes: Any, code: str
) -> None:
    given = {f"x{n}": array for n, array in enumerate(inputs)}
    held = {f"c{n}": array for n, array in enumerate(constants)}
    nodes = [helper.make_node(kind, [*given, *held], ["y"], **attributes)]
    with pytest.raises(EdgebuildError) as caught:
        importer.load(save(tmp_path, model(nodes, given, ["y"], held)))
    assert caught.value.kind.code == code


def test_both_sides_of_a_product_are_one_permutation_in_two_shapes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("Reshape", ["t", "shape"], ["r"]),
        helper.make_node("MatMul", ["r", "t"], ["y"]),
    ]
    given = {"x": floats(3, 3)}
    assert compare(tmp_path, model(nodes, given, ["y"], {"shape": np.array([1, 3, 3])}), given)
