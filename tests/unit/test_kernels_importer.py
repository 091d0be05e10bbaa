# SPDX-License-Identifier: Apache-2.0
"""Reading model files: what a good one gives, and that a bad one gives a classified error."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import builder as graph_builder
from edgebuild.kernels import importer, naming
from edgebuild.kernels.flatbuffer import root
from edgebuild.kernels.optimise import optimise
from edgebuild.kernels.shapes import BINARY, KINDS, UNARY, infer
from tests.models_build import mobilenet_v1, to_onnx, to_tflite
from tests.tools.one_operator import Case

MODELS = Path(os.environ["EDGEBUILD_TEST_MODELS"])


def load(tmp_path: Path, data: bytes, name: str = "model.tflite") -> object:
    path = tmp_path / name
    path.write_bytes(data)
    return importer.load(path)


def error(tmp_path: Path, data: bytes, name: str = "model.tflite") -> EdgebuildError:
    with pytest.raises(EdgebuildError) as caught:
        load(tmp_path, data, name)
    return caught.value


@pytest.mark.parametrize(
    ("file", "operators", "inputs", "macs_kind"),
    [
        ("ad01_int8.tflite", 10, (1, 640), "dense"),
        ("kws_ref_model.tflite", 13, (1, 49, 10, 1), "depthwise_conv2d"),
        ("pretrainedResnet_quant.tflite", 16, (1, 32, 32, 3), "add"),
    ],
)
def test_real_models(file: str, operators: int, inputs: tuple[int, ...], macs_kind: str) -> None:
    path = MODELS / file
    if not path.exists():
        pytest.skip(f"{file} is not in EDGEBUILD_TEST_MODELS")
    graph = importer.load(path)
    assert len(graph.operators) == operators
    assert graph.tensors[graph.inputs[0]].shape == inputs
    assert macs_kind in {o.kind for o in graph.operators}
    assert graph.digest.startswith("sha256:")
    weights = graph.tensors[graph.operators[0].inputs[1]]
    assert weights.dtype == "int8"
    assert graph.notes == ("the batch size is fixed to 1",)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("ad01_int8.tflite", "ad01_int8"),
        ("My Model (v2).onnx", "my_model_v2"),
        ("3d.tflite", "m_3d"),
        ("__.tflite", "m_"),
        ("ÄÖ.onnx", "m_"),
        ("a" * 50 + ".onnx", "a" * 32),
    ],
)
def test_names_are_c_identifiers(file: str, name: str) -> None:
    assert naming.identifier(Path(file)) == name
    assert naming.checked(name) == name


@pytest.mark.parametrize("name", ["", "3d", "A", "a-b", "_x", "a" * 33, "a b"])
def test_e213_other_names(name: str) -> None:
    with pytest.raises(EdgebuildError) as caught:
        naming.checked(name)
    assert caught.value.kind.code == "E213"


def test_e201_no_such_file(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.tflite", tmp_path):
        with pytest.raises(EdgebuildError) as caught:
            importer.load(path)
        assert caught.value.kind.code == "E201"


def test_e202_other_formats(tmp_path: Path) -> None:
    assert error(tmp_path, b"GGUF....", "model.gguf").kind.code == "E202"
    assert error(tmp_path, b"", "model.tflite").kind.code == "E202"


def test_e204_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "LIMIT_FILE_BYTES", 10)
    assert error(tmp_path, b"x" * 11).kind.code == "E204"
    case = Case()
    x = case.plain((1 << 15, 1 << 16))
    huge = case.file("RELU", [x], case.out((1 << 15, 1 << 16), None, dtype="float32"))
    monkeypatch.undo()
    assert error(tmp_path, huge).kind.code == "E204"
    monkeypatch.setattr(graph_builder, "LIMIT_OPERATORS", 0)
    case = Case()
    x = case.plain((2,))
    assert error(
        tmp_path, case.file("RELU", [x], case.out((2,), None, dtype="float32"))
    ).kind.code in ("E203", "E204")


def test_e205_names_operator_and_place(tmp_path: Path) -> None:
    case = Case()
    x = case.plain((2, 2))
    found = error(tmp_path, case.file("SVDF", [x], case.out((2, 2), None, dtype="float32")))
    assert found.kind.code == "E205"
    assert "SVDF" in found.message
    assert found.where == "operator 0 SVDF"


def test_e206_types(tmp_path: Path) -> None:
    case = Case()
    x = case.writer.tensor("x", (2,), "int16", scale=[1.0], zero_point=[0])
    case.inputs.append(x)
    y = case.writer.tensor("y", (2,), "int16", scale=[1.0], zero_point=[0])
    data = case.file("RELU", [x], y)
    path = tmp_path / "m.tflite"
    path.write_bytes(data)
    with pytest.raises(EdgebuildError) as caught:
        optimise(importer.load(path))
    assert caught.value.kind.code == "E206"
    assert caught.value.hint


def test_e203_shapes_that_do_not_agree(tmp_path: Path) -> None:
    case = Case()
    x = case.plain((2, 3))
    found = error(tmp_path, case.file("RELU", [x], case.out((3, 3), None, dtype="float32")))
    assert found.kind.code == "E203"
    assert found.where == "0 RELU"


def test_e207_parameters_from_other_operators(tmp_path: Path) -> None:
    case = Case()
    x, axes = case.plain((2, 3)), case.plain((1,), "int32")
    found = error(tmp_path, case.file("MEAN", [x, axes], case.out((2,), None, dtype="float32"),
                                      options="ReducerOptions"))  # fmt: skip
    assert found.kind.code == "E207"


def test_weights_of_dynamic_range_are_dequantised_with_a_note(tmp_path: Path) -> None:
    case = Case()
    x = case.plain((1, 8))
    weights = np.arange(-16, 16, dtype=np.int8).reshape(4, 8)
    w = case.constant(weights, scale=[0.5], zero_point=[0])
    y = case.out((1, 4), None, dtype="float32")
    data = case.file("FULLY_CONNECTED", [x, w], y, version=3, options="FullyConnectedOptions")
    graph = load(tmp_path, data)
    assert any("8-bit weights" in note for note in graph.notes)
    used = graph.tensors[graph.operators[0].inputs[1]]
    np.testing.assert_array_equal(used.data, weights * np.float32(0.5))


def test_half_float_weights_are_widened(tmp_path: Path) -> None:
    case = Case()
    x = case.plain((1, 4))
    half = case.constant(np.linspace(-1, 1, 8, dtype=np.float16).reshape(2, 4))
    wide = case.writer.tensor("wide", (2, 4), "float32")
    case.writer.any("DEQUANTIZE", [half], [wide])
    data = case.file("FULLY_CONNECTED", [x, wide], case.out((1, 2), None, dtype="float32"),
                     options="FullyConnectedOptions")  # fmt: skip
    graph = load(tmp_path, data)
    assert [o.kind for o in graph.operators] == ["dense"]
    assert graph.tensors[graph.operators[0].inputs[1]].dtype == "float32"


SMALL = to_tflite(mobilenet_v1(32, 0.25, classes=4), int8=True)
SMALL_ONNX = to_onnx(mobilenet_v1(32, 0.25, classes=4), int8=True)
QUIET = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def survives(tmp_path: Path, data: bytes, name: str) -> bool:
    """Whether a graph or a classified error came out; nothing else may."""
    try:
        graph = load(tmp_path, data, name)
        optimise(graph)
    except EdgebuildError as caught:
        return caught.kind.code.startswith("E2")
    return True


@QUIET
@given(st.data())
def test_a_damaged_tflite_file_is_classified(tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(SMALL)
    head = data.draw(st.booleans())
    limit = 2000 if head else len(damaged)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(8, limit - 5))
        value = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF]))
        if value > 0xFF:
            struct.pack_into("<I", damaged, at, value)
        else:
            damaged[at] = value
    assert survives(tmp_path, bytes(damaged), "m.tflite")


@QUIET
@given(st.integers(0, len(SMALL) - 1))
def test_a_truncated_tflite_file_is_classified(tmp_path: Path, size: int) -> None:
    assert survives(tmp_path, SMALL[:size], "m.tflite")


@QUIET
@given(st.binary(max_size=400))
def test_any_bytes_are_classified(tmp_path: Path, data: bytes) -> None:
    assert survives(tmp_path, data, "m.onnx")
    assert survives(tmp_path, data[:4] + b"TFL3" + data[4:], "m.tflite")


@QUIET
@given(st.data())
def test_a_damaged_onnx_file_is_classified(tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(SMALL_ONNX)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    assert survives(tmp_path, bytes(damaged), "m.onnx")


def test_an_attribute_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [3]) for name in "xy"]
    node = helper.make_node("Relu", ["x"], ["y"], first=1, other=2)
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]))
    data = model.SerializeToString().replace(b"other", b"\xffther")
    with pytest.raises(EdgebuildError) as caught:
        load(tmp_path, data, "m.onnx")
    assert caught.value.kind.code == "E205"


def test_a_vector_longer_than_the_file_is_not_allocated() -> None:
    # root table with one field: a vector that claims 2**32 - 1 entries
    data = struct.pack("<I4sHHHHiII", 16, b"TFL3", 6, 8, 4, 0, 8, 4, 0xFFFFFFFF)
    table = root(data, b"TFL3")
    for read in (lambda: table.vector(0, "<f4"), lambda: table.tables(0), lambda: table.text(0)):
        with pytest.raises(EdgebuildError) as caught:
            read()
        assert caught.value.kind.code == "E203"
    assert table.number(7, default=5) == 5
    assert table.table(7) is None


def test_every_kind_has_a_shape_rule_and_a_kernel() -> None:
    from edgebuild.kernels.rules import RULES

    assert set(RULES) == KINDS
    assert BINARY | UNARY <= KINDS


@pytest.mark.parametrize(
    ("kind", "shapes", "attributes"),
    [
        ("concat", [(2, 3), (3, 3)], {"axis": 1}),
        ("matmul", [(2, 3), (4, 5)], {"transpose_left": False, "transpose_right": False}),
        ("matmul", [(3,), (3, 5)], {"transpose_left": False, "transpose_right": False}),
        ("transpose", [(2, 3)], {"perm": (0, 0)}),
        ("reshape", [(2, 3)], {"shape": (7,)}),
        ("broadcast", [(2, 3)], {"shape": (2, 4)}),
        ("pad", [(2,)], {"before": (-1,), "after": (0,)}),
        ("slice", [(4,)], {"begin": (2,), "size": (3,), "stride": (1,)}),
        ("slice", [(4,)], {"begin": (2,), "size": (1, 1), "stride": (1,)}),
        ("gather", [(0, 3), (2,)], {"axis": 0}),
        ("mean", [(2, 3)], {"axes": (5,), "keep_dims": True}),
        ("softmax", [()], {}),
        ("layer_norm", [(2, 8), (4,), (8,)], {}),
        ("dense", [(2, 3), (4, 5)], {}),
        ("dense", [(2, 5), (4, 5), (3,)], {}),
        ("conv2d", [(1, 4, 4, 3), (8, 3, 3, 2)],
         {"groups": 1, "stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}),
        ("conv2d", [(1, 2, 2, 3), (8, 3, 3, 3)],
         {"groups": 1, "stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}),
        ("depthwise_conv2d", [(1, 4, 4, 3), (3, 3, 4)],
         {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}),
        ("max_pool2d", [(1, 4, 4, 3)],
         {"kernel": (2, 2), "stride": (1, 1), "padding": (2, 0, 0, 0)}),
        ("max_pool2d", [(4, 4, 3)],
         {"kernel": (2, 2), "stride": (1, 1), "padding": (0, 0, 0, 0)}),
        ("average_pool2d", [(1, 4, 4, 3)],
         {"kernel": (2, 2), "stride": (0, 1), "padding": (0, 0, 0, 0)}),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(kind: str, shapes: list[tuple[int, ...]],
                                attributes: dict[str, object]) -> None:  # fmt: skip
    with pytest.raises(ValueError, match=r".+"):
        infer(kind, shapes, attributes)
