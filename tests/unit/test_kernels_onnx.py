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

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.optimise import optimise
from tests.models_build import mobilenet_v2, to_onnx, transformer

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
    """The plain and the optimised graph give what ONNX's evaluator gives; returns the calls."""
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
    return lowered.calls


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


@pytest.mark.parametrize("kind", ["Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Abs", "Erf", "Floor",
                                  "HardSwish", "Identity", "Softmax", "HardSigmoid", "LeakyRelu",
                                  "Elu", "Reciprocal"])  # fmt: skip
def test_functions_of_one_value(tmp_path: Path, kind: str) -> None:
    one(tmp_path, kind, [floats(2, 3, 4) * 3])


@pytest.mark.parametrize("kind", ["Sqrt", "Log"])
def test_functions_of_positive_values(tmp_path: Path, kind: str) -> None:
    one(tmp_path, kind, [np.abs(floats(3, 4)) + np.float32(0.1)])


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (4,), (3, 1), (1,)])
def test_functions_of_two_values(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    one(tmp_path, kind, [floats(2, 3, 4), np.abs(floats(*shape)) + np.float32(0.5)])
    one(tmp_path, kind, [floats(2, 3, 4)], [np.abs(floats(*shape)) + np.float32(0.5)])


def test_power_and_comparisons(tmp_path: Path) -> None:
    one(tmp_path, "Pow", [np.abs(floats(3, 4))], [np.float32(1.7)])
    x, y = floats(3, 4), floats(3, 4)
    for kind in ("Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual"):
        nodes = [
            helper.make_node(kind, ["x", "y"], ["c"]),
            helper.make_node("Where", ["c", "x", "y"], ["z"]),
        ]
        compare(tmp_path, model(nodes, {"x": x, "y": y}, ["z"], {}), {"x": x, "y": y})


@pytest.mark.parametrize("limits", [(0.0, 6.0), (-1.0, 1.0), (None, 0.5), (-0.3, None)])
def test_clip(tmp_path: Path, limits: tuple[Any, Any]) -> None:
    one(tmp_path, "Clip", [floats(5, 5)], [None if v is None else np.float32(v) for v in limits])


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 2, 0]])
@pytest.mark.parametrize("strides", [[1, 1], [2, 1]])
@pytest.mark.parametrize("group", [1, 2, 6])
def test_conv(tmp_path: Path, pads: list[int], strides: list[int], group: int) -> None:
    calls = one(tmp_path, "Conv", [floats(1, 6, 7, 8)], [floats(12, 6 // group, 3, 3), floats(12)],
                pads=pads, strides=strides, group=group)  # fmt: skip
    kinds = [call.spec.kind for call in calls]
    assert kinds.count("conv2d") + kinds.count("depthwise2d") == 1
    assert kinds.count("copy") == 2  # in and out of the model's own channels-first order


def test_conv_of_a_signal(tmp_path: Path) -> None:
    one(tmp_path, "Conv", [floats(2, 3, 20)], [floats(5, 3, 4)], pads=[1, 2], strides=[2])
    one(tmp_path, "MaxPool", [floats(1, 3, 20)], kernel_shape=[4], strides=[3])


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(tmp_path: Path, auto: str) -> None:
    one(tmp_path, "Conv", [floats(1, 2, 7, 8)], [floats(3, 2, 3, 2)], auto_pad=auto,
        strides=[2, 2], kernel_shape=[3, 2])  # fmt: skip


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1]])
def test_pool(tmp_path: Path, kind: str, pads: list[int]) -> None:
    one(tmp_path, kind, [floats(1, 5, 8, 9)], kernel_shape=[3, 2], strides=[2, 2], pads=pads)


def test_average_that_counts_padding(tmp_path: Path) -> None:
    one(tmp_path, "AveragePool", [floats(1, 2, 5, 5)], kernel_shape=[3, 3], pads=[1, 1, 1, 1],
        count_include_pad=1)  # fmt: skip


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pool(tmp_path: Path, kind: str) -> None:
    one(tmp_path, kind, [floats(2, 3, 4, 5)])


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("axes", [[1], [0, 2], [-1], None])
@pytest.mark.parametrize("keep", [0, 1])
def test_reduction(tmp_path: Path, kind: str, axes: Any, keep: int) -> None:
    attributes = {} if axes is None else {"axes": axes}
    one(tmp_path, kind, [floats(3, 4, 5)], keepdims=keep, **attributes)


def test_sum_with_axes_as_an_input(tmp_path: Path) -> None:
    one(tmp_path, "ReduceSum", [floats(3, 4, 5)], [np.array([0, 2], INT)], keepdims=0)
    one(tmp_path, "ReduceSum", [floats(3, 4)], noop_with_empty_axes=1)


@pytest.mark.parametrize("attributes", [{}, {"transA": 1}, {"transB": 1},
                                        {"alpha": 0.5, "beta": 2.0}])  # fmt: skip
def test_gemm(tmp_path: Path, attributes: dict[str, Any]) -> None:
    left = floats(6, 4) if attributes.get("transA") else floats(4, 6)
    right = floats(5, 6) if attributes.get("transB") else floats(6, 5)
    one(tmp_path, "Gemm", [left], [right, floats(5)], **attributes)
    one(tmp_path, "Gemm", [left, right, floats(4, 5)], **attributes)


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
    one(tmp_path, "MatMul", [floats(*a), floats(*b)])
    one(tmp_path, "MatMul", [floats(*a)], [floats(*b)])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_along_any_axis(tmp_path: Path, axis: int) -> None:
    one(tmp_path, "Softmax", [floats(3, 4, 5)], axis=axis)


def test_normalisations(tmp_path: Path) -> None:
    one(tmp_path, "LayerNormalization", [floats(2, 3, 8)], [floats(8), floats(8)], epsilon=1e-3)
    one(tmp_path, "BatchNormalization", [floats(2, 3, 4, 4)],
        [floats(3), floats(3), floats(3), np.abs(floats(3)) + np.float32(0.2)])  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "constants", "attributes"),
    [
        ("Reshape", [np.array([0, -1], INT)], {}),
        ("Flatten", [], {"axis": 2}),
        ("Transpose", [], {"perm": [2, 0, 1]}),
        ("Transpose", [], {}),
        ("Unsqueeze", [np.array([0, -1], INT)], {}),
        ("Slice", [np.array([1, 0], INT), np.array([3, 9], INT), np.array([1, 2], INT)], {}),
        ("Slice", [np.array([-1], INT), np.array([-100], INT), np.array([2], INT),
                   np.array([-2], INT)], {}),
        ("Gather", [np.array([[2, 0], [1, -1]], INT)], {"axis": 1}),
        ("Expand", [np.array([2, 2, 3, 4], INT)], {}),
        ("Pad", [np.array([0, 1, 0, 2, 0, 1], INT), np.float32(1.5)], {}),
        ("Cast", [], {"to": TensorProto.INT32}),
    ],
)  # fmt: skip
def test_movement(
    tmp_path: Path, kind: str, constants: list[Any], attributes: dict[str, Any]
) -> None:
    one(tmp_path, kind, [floats(2, 3, 4) * 4], constants, **attributes)


def test_squeeze(tmp_path: Path) -> None:
    one(tmp_path, "Squeeze", [floats(1, 3, 1, 4)], [np.array([2], INT)])
    one(tmp_path, "Squeeze", [floats(1, 3, 1, 4)])


def test_concat_and_split(tmp_path: Path) -> None:
    one(tmp_path, "Concat", [floats(2, 3), floats(2, 1), floats(2, 4)], axis=-1)
    one(tmp_path, "Concat", [floats(2, 3)], [floats(2, 2)], axis=1)
    one(tmp_path, "Split", [floats(2, 7)], [np.array([3, 4], INT)], outputs=2, axis=1)
    one(tmp_path, "Split", [floats(6, 2)], outputs=3, axis=0)


def test_nearest_neighbour_enlargement(tmp_path: Path) -> None:
    one(tmp_path, "Resize", [floats(1, 2, 3, 3)], [None, np.float32([1, 1, 2, 2])],
        mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric")  # fmt: skip


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
    calls = compare(tmp_path, model(nodes, {"x": x}, ["z"], constants), {"x": x})
    assert [call.spec.kind for call in calls] == ["elementwise"]


def small_cnn() -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """As PyTorch exports a small classifier: convolutions, pooling, a residual, Flatten, Gemm."""
    x = floats(1, 3, 16, 16)
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "g", "b", "m", "v"], ["bn"]),
        helper.make_node("Relu", ["bn"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["s"]),
        helper.make_node("Clip", ["s", "lo", "hi"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    constants = {
        "w1": floats(8, 3, 3, 3), "b1": floats(8), "g": floats(8), "b": floats(8),
        "m": floats(8), "v": np.abs(floats(8)) + 1, "w2": floats(8, 8, 3, 3),
        "lo": np.float32(0), "hi": np.float32(6), "w3": floats(10, 512), "b3": floats(10),
    }  # fmt: skip
    return model(nodes, {"x": x}, ["y"], constants), {"x": x}


def test_a_small_cnn_keeps_no_transpose_between_convolutions(tmp_path: Path) -> None:
    made, inputs = small_cnn()
    calls = compare(tmp_path, made, inputs)
    # one copy turns the picture; batch norm, residual, clip and flatten cost nothing
    assert [c.spec.kind for c in calls] == ["copy", "conv2d", "conv2d", "pool2d", "dense"]


def test_concatenated_branches_stay_channels_last(tmp_path: Path) -> None:
    x = floats(1, 4, 8, 8)
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"]),
        helper.make_node("Conv", ["x", "w2"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["c"], axis=1),
        helper.make_node("Mul", ["c", "scale"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["y"]),
    ]
    constants = {"w1": floats(4, 4, 1, 1), "w2": floats(2, 4, 1, 1), "scale": floats(6, 1, 1)}
    calls = compare(tmp_path, model(nodes, {"x": x}, ["y"], constants), {"x": x})
    assert sum(c.spec.kind == "copy" for c in calls) == 3  # one transpose, two parts of a concat


def test_a_transformer_has_no_transposes_left(tmp_path: Path) -> None:
    path = tmp_path / "bert.onnx"
    data = transformer(layers=1, hidden=32, heads=2, tokens=12, words=50)
    path.write_bytes(data)
    made = onnx.load_from_string(data)
    tokens = R.integers(0, 50, (1, 12))
    name = made.graph.input[0].name
    dtype = helper.tensor_dtype_to_np_dtype(made.graph.input[0].type.tensor_type.elem_type)
    calls = compare(tmp_path, made, {name: tokens.astype(dtype)})
    kinds = [call.spec.kind for call in calls]
    assert "copy" not in kinds
    assert kinds.count("layer_norm") >= 2
    assert kinds.count("elementwise") <= 1  # the position embedding alone


@pytest.mark.parametrize("int8", [False, True])
def test_a_quantised_network_is_computed_in_int8(tmp_path: Path, int8: bool) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(to_onnx(mobilenet_v2(32, 0.25, classes=10), int8=int8))
    lowered = optimise(importer.load(path))
    kinds = {getattr(call.spec, "dtype", "float32") for call in lowered.calls
             if call.spec.kind in ("conv2d", "depthwise2d", "dense")}  # fmt: skip
    assert kinds == {"int8" if int8 else "float32"}


def test_quantised_weights_survive_as_int8(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    path = tmp_path / "net.onnx"
    path.write_bytes(to_onnx(mobilenet_v2(32, 0.25, classes=10), int8=True))
    graph = importer.load(path)
    x = R.integers(0, 256, graph.tensors[graph.inputs[0]].shape).astype(np.uint8)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(str(path), options)
    (expected,) = session.run(None, {graph.inputs[0]: x})
    lowered = optimise(graph)
    found = interpreter.run_lowered(lowered, [x])[graph.outputs[0]]
    assert np.argmax(found) == np.argmax(expected)
    assert all(array.dtype == np.int8 for call in lowered.calls
               if call.spec.kind in ("conv2d", "depthwise2d", "dense")
               for array in call.constants[:1])  # fmt: skip


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
    error = refused(tmp_path, model([node], {"x": floats(2)}, ["y"], {}, opset=11))
    assert error.kind.code == "E209"


def test_e208_external_data(tmp_path: Path) -> None:
    made = model([helper.make_node("Add", ["x", "c"], ["y"])], {"x": floats(4)}, ["y"],
                 {"c": floats(4)})  # fmt: skip
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    assert refused(tmp_path, made).kind.code == "E208"


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
