# SPDX-License-Identifier: Apache-2.0
"""Whole ONNX networks: what the graph passes leave of them, and that the values stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.optimise import optimise
from tests.models_build import (
    Network,
    efficientnet,
    mobilenet_v2,
    mobilenet_v3,
    to_onnx,
    transformer,
    vision_transformer,
)
from tests.unit.test_kernels_onnx import compare, model

R = np.random.default_rng(3)
START = R.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    R.bit_generator.state = START


def floats(*shape: int) -> np.ndarray:
    return R.standard_normal(shape).astype(np.float32)


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
    lowered = compare(tmp_path, made, inputs)
    # one copy turns the picture; batch norm, residual, clip and flatten cost nothing
    assert [c.spec.kind for c in lowered.calls] == ["copy", "conv2d", "conv2d", "pool2d", "dense"]


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
    lowered = compare(tmp_path, model(nodes, {"x": x}, ["y"], constants), {"x": x})
    assert sum(c.spec.kind == "copy" for c in lowered.calls) == 3


def test_a_transformer_has_no_transposes_left(tmp_path: Path) -> None:
    path = tmp_path / "bert.onnx"
    data = transformer(layers=1, hidden=32, heads=2, tokens=12, words=50)
    path.write_bytes(data)
    made = onnx.load_from_string(data)
    tokens = R.integers(0, 50, (1, 12))
    name = made.graph.input[0].name
    dtype = helper.tensor_dtype_to_np_dtype(made.graph.input[0].type.tensor_type.elem_type)
    lowered = compare(tmp_path, made, {name: tokens.astype(dtype)})
    kinds = [call.spec.kind for call in lowered.calls]
    assert "copy" not in kinds
    assert kinds.count("layer_norm") >= 2
    assert kinds.count("elementwise") <= 1  # the position embedding alone


def test_a_vision_transformer_has_no_transposes_in_its_layers(tmp_path: Path) -> None:
    made = onnx.load_from_string(vision_transformer(1, 24, 2, pixels=32, classes=7))
    lowered = compare(tmp_path, made, {"image": floats(1, 3, 32, 32)})
    kinds = [call.spec.kind for call in lowered.calls]
    assert kinds.count("softmax") == 1
    assert kinds.count("layer_norm") == 3
    assert "copy" not in kinds[kinds.index("layer_norm") :][: -kinds[::-1].index("layer_norm")]


@pytest.mark.parametrize("net", [mobilenet_v3(32, 0.25), efficientnet(32, 9, lite=False)])
def test_squeeze_and_excitation_leave_no_transposes(tmp_path: Path, net: Network) -> None:
    made = onnx.load_from_string(to_onnx(net, int8=False))
    lowered = compare(tmp_path, made, {"input": floats(1, 3, 32, 32)})
    assert [call.spec.kind for call in lowered.calls].count("copy") == 1


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
    assert all(
        array.dtype == np.int8
        for call in lowered.calls
        if call.spec.kind in ("conv2d", "depthwise2d", "dense")
        for array in call.constants[:1]
    )
