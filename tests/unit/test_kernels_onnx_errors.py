# SPDX-License-Identifier: Apache-2.0
"""ONNX files that cannot be compiled: each gets its code, its place and a way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.optimise import optimise
from tests.unit.test_kernels_onnx import INT, floats, model, save


def refused(tmp_path: Path, made: onnx.ModelProto) -> EdgebuildError:
    with pytest.raises(EdgebuildError) as caught:
        importer.load(save(tmp_path, made))
    return caught.value


def test_e205_names_the_operator_and_its_place(tmp_path: Path) -> None:
    x = floats(2, 3)
    node = helper.make_node("Det", ["x"], ["y"])
    error = refused(tmp_path, model([node], {"x": x}, ["y"], {}))
    assert error.kind.code == "E205"
    assert "Det" in error.message
    assert error.where == "operator 0 Det"
    assert error.hint


def test_e209_old_opset(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    error = refused(tmp_path, model([node], {"x": floats(2)}, ["y"], {}, opset=6))
    assert error.kind.code == "E209"


def test_e208_external_data(tmp_path: Path) -> None:
    made = model(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": floats(4)}, ["y"], {"c": floats(4)}
    )
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    assert refused(tmp_path, made).kind.code == "E208"


def beside(tmp_path: Path, location: str, length: int = 16, weights: bytes | None = None) -> Path:
    """A model whose only weights are 16 bytes at position 8 of another file."""
    made = model(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": floats(4)}, ["y"],
        {"c": np.float32([1, 2, 3, 4])},
    )  # fmt: skip
    tensor = made.graph.initializer[0]
    if weights is not None:
        (tmp_path / location).write_bytes(weights)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "8"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return save(tmp_path, made)


def test_weights_beside_the_model_are_part_of_it(tmp_path: Path) -> None:
    weights = np.float32([7, 7, 1, 2, 3, 4]).tobytes()
    path = beside(tmp_path, "w.data", weights=weights)
    x = floats(4)
    want = x + np.float32([1, 2, 3, 4])
    np.testing.assert_array_equal(interpreter.outputs(importer.load(path), [x])[0], want)
    before = importer.digest(path)
    assert before == importer.load(path).digest
    (tmp_path / "w.data").write_bytes(weights[::-1])
    assert importer.digest(path) != before


@pytest.mark.parametrize(
    ("location", "length", "weights"),
    [
        ("missing.data", 16, None), ("short.data", 16, b"12345678abcd"), ("..", 16, None),
        ("long.data", 1 << 40, b"12345678abcdefgh"), ("/etc/hostname", 16, None),
    ],
)  # fmt: skip
def test_e208_weights_that_are_not_there(
    tmp_path: Path, location: str, length: int, weights: bytes | None
) -> None:
    with pytest.raises(EdgebuildError) as caught:
        importer.load(beside(tmp_path, location, length, weights))
    assert caught.value.kind.code == "E208"


def test_e208_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(bytes(24))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(EdgebuildError) as caught:
        importer.load(beside(tmp_path, "link"))
    assert caught.value.kind.code == "E208"


def test_e207_symbolic_axes(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    made = model([node], {"x": floats(2, 3)}, ["y"], {})
    dims = made.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_param = "length"
    assert refused(tmp_path, made).kind.code == "E207"
    dims[1].dim_value = 3
    dims[0].dim_param = "batch"
    graph = importer.load(save(tmp_path, made))
    assert graph.tensors[graph.inputs[0]].shape == (1, 3)
    assert graph.notes == ("the batch size is fixed to 1",)


def test_e207_parameters_that_only_run_time_knows(tmp_path: Path) -> None:
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    inputs = {"x": floats(2, 3), "s": np.array([3, 2], INT)}
    assert refused(tmp_path, model([node], inputs, ["y"], {})).kind.code == "E207"


def test_e206_types_without_kernels(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    made = model([node], {"x": floats(2)}, ["y"], {})
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    assert refused(tmp_path, made).kind.code == "E206"
    double = model([helper.make_node("Relu", ["x"], ["y"])], {"x": np.zeros(3)}, ["y"], {})
    with pytest.raises(EdgebuildError) as caught:
        optimise(importer.load(save(tmp_path, double)))
    assert caught.value.kind.code == "E206"


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Relu", ["nowhere"], ["y"])],
        [helper.make_node("Relu", ["x"], ["z"])],
        [helper.make_node("Relu", [], ["y"])],
        [helper.make_node("Concat", ["x"], ["y"])],
        [helper.make_node("Transpose", ["x"], ["y"], perm=[0, 0])],
        [helper.make_node("Transpose", ["x"], ["y"], perm=7)],
        [helper.make_node("Softmax", ["x"], ["y"], axis=9)],
        [helper.make_node("Conv", ["x", "x"], ["y"])],
    ],
)
def test_e203_contradictions(tmp_path: Path, nodes: list[onnx.NodeProto]) -> None:
    error = refused(tmp_path, model(nodes, {"x": floats(2, 3)}, ["y"], {}))
    assert error.kind.code in ("E203", "E205", "E207")


def test_control_flow_is_refused(tmp_path: Path) -> None:
    branch = helper.make_graph([], "branch", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    made = model([node], {"x": floats(1)}, ["y"], {})
    assert refused(tmp_path, made).kind.code == "E205"
