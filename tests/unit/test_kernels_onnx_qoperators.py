# SPDX-License-Identifier: Apache-2.0
"""Quantised ONNX in the QOperator format and with dynamic scales, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.optimise import optimise, rewrite

R = np.random.default_rng(5)
S, Z = np.float32(0.05), np.uint8(120)


def file(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[int], constants: Mapping[str, Any], path: Path
) -> Path:
    """Float input x to float output y; the opsets are ONNX's and ONNX Runtime's own."""
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    held = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(list(nodes), "test", infos, outs, held)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path


def quantised(kind: str, extra: Sequence[str], tail: Sequence[str] = (), **attributes: Any) -> (
    list[onnx.NodeProto]
):  # fmt: skip
    """x, quantised, through one operator whose output is made float again."""
    domain = "" if kind in ("QLinearConv", "QLinearMatMul") else "com.microsoft"
    first = ["q", "s", "z"]
    inputs = [*extra, *first, *first] if kind == "QLinearConcat" else [*first, *extra, *tail]
    return [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node(kind, inputs, ["r"], domain=domain, **attributes),
        helper.make_node("DequantizeLinear", ["r", "os", "oz"], ["y"]),
    ]


def near(path: Path, shape: Sequence[int], step: float) -> list[str]:
    """Within one step of ONNX Runtime, before and after the passes; the kinds of call."""
    ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    graph = importer.load(path)
    x = R.standard_normal(shape).astype(np.float32)
    want = session.run(None, {"x": x})[0]
    lowered = optimise(graph)
    after = interpreter.run_lowered(lowered, [x])[graph.outputs[0]]
    for found in (interpreter.outputs(graph, [x])[0], after):
        np.testing.assert_allclose(found, want, atol=1.01 * step)
    if any(t.dtype == "int8" for t in graph.tensors.values()):
        assert any(t.dtype == "int8" and t.data is None for t in rewrite(graph).tensors.values())
    return [call.spec.kind for call in lowered.calls]


COMMON = {"s": S, "z": Z, "os": np.float32(0.06), "oz": np.uint8(110)}


@pytest.mark.parametrize("per_channel", [False, True])
def test_convolution(tmp_path: Path, per_channel: bool) -> None:
    scales = np.float32([0.01, 0.02, 0.015] if per_channel else 0.02)
    constants = {
        **COMMON, "w": R.integers(-127, 128, (3, 2, 3, 3)).astype(np.int8), "ws": scales,
        "wz": np.zeros(scales.shape, np.int8), "b": np.int32([100, -300, 0]),
    }  # fmt: skip
    nodes = quantised("QLinearConv", ["w", "ws", "wz", "os", "oz", "b"], pads=[1, 1, 1, 1])
    path = file(nodes, (1, 2, 6, 6), constants, tmp_path / "m.onnx")
    assert "conv2d" in near(path, (1, 2, 6, 6), 0.06)


def test_products_of_matrices(tmp_path: Path) -> None:
    weights = R.integers(-127, 128, (5, 4)).astype(np.int8)
    constants = {**COMMON, "w": weights, "ws": np.float32(0.01), "wz": np.int8(0)}
    nodes = quantised("QLinearMatMul", ["w", "ws", "wz", "os", "oz"])
    assert "dense" in near(file(nodes, (3, 5), constants, tmp_path / "a.onnx"), (3, 5), 0.06)
    constants["b"] = np.int32([10, 20, -30, 400])
    nodes = quantised("QGemm", ["w", "ws", "wz", "b", "os", "oz"])
    assert "dense" in near(file(nodes, (3, 5), constants, tmp_path / "b.onnx"), (3, 5), 0.06)


def test_a_product_that_stays_float(tmp_path: Path) -> None:
    """QGemm without an output scale gives floats."""
    constants = {
        **COMMON, "w": R.integers(-127, 128, (4, 5)).astype(np.int8), "ws": np.float32(0.01),
        "wz": np.int8(0),
    }  # fmt: skip
    gemm = helper.make_node("QGemm", ["q", "s", "z", "w", "ws", "wz"], ["y"], transB=1,
                            domain="com.microsoft")  # fmt: skip
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), gemm]
    assert near(file(nodes, (3, 5), constants, tmp_path / "m.onnx"), (3, 5), 1e-4)


@pytest.mark.parametrize(
    ("kind", "extra", "attributes"),
    [
        ("QLinearAdd", ["q", "s", "z", "os", "oz"], {}),
        ("QLinearMul", ["q", "s", "z", "os", "oz"], {}),
        ("QLinearSigmoid", ["os", "oz"], {}),
        ("QLinearLeakyRelu", ["os", "oz"], {"alpha": 0.2}),
        ("QLinearSoftmax", ["os", "oz"], {"axis": -1, "opset": 13}),
        ("QLinearGlobalAveragePool", ["os", "oz"], {"channels_last": 0}),
        ("QLinearAveragePool", ["os", "oz"], {"kernel_shape": [2, 2], "channels_last": 0}),
        ("QLinearConcat", ["os", "oz"], {"axis": 1}),
    ],
)
def test_functions(tmp_path: Path, kind: str, extra: Any, attributes: Any) -> None:
    path = file(quantised(kind, extra, **attributes), (1, 3, 4, 4), COMMON, tmp_path / "m.onnx")
    assert near(path, (1, 3, 4, 4), 0.06)


def test_a_transposed_table_of_bytes_keeps_its_scale(tmp_path: Path) -> None:
    """The table's scale is named only behind the transpose: the passes must not lose it."""
    constants = {**COMMON, "t": R.integers(0, 256, (6, 4)).astype(np.uint8), "i": np.array([4, 1])}
    nodes = [
        helper.make_node("Cast", ["x"], ["n"], to=TensorProto.INT64),
        helper.make_node("Gather", ["t", "n"], ["g"]),
        helper.make_node("Transpose", ["g"], ["gt"], perm=[1, 0]),
        helper.make_node("DequantizeLinear", ["gt", "s", "z"], ["f"]),
        helper.make_node("Abs", ["f"], ["y"]),
    ]
    path = file(nodes, (3,), constants, tmp_path / "m.onnx")
    graph = importer.load(path)
    x = np.float32([5, 0, 3])
    want = np.abs((constants["t"][[5, 0, 3]].T.astype(np.float32) - 120) * S)
    np.testing.assert_allclose(interpreter.outputs(rewrite(graph), [x])[0], want, rtol=1e-6)


def dynamic(kind: str, weights: np.ndarray, zero: Any, tmp_path: Path, shape: Any) -> Path:
    """As quantize_dynamic writes it."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node(kind, ["q", "w", "z", "wz"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["scale"]),
        helper.make_node("Mul", ["f", "scale"], ["y"]),
    ]
    constants = {"w": weights, "wz": zero, "ws": np.float32(0.01)}
    return file(nodes, shape, constants, tmp_path / "m.onnx")


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_dynamic_scales_are_computed_in_floats(tmp_path: Path, dtype: Any) -> None:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max + 1
    zero = np.array(0 if dtype == np.int8 else 100, dtype)
    weights = R.integers(low, high, (5, 4)).astype(dtype)
    path = dynamic("MatMulInteger", weights, zero, tmp_path, (3, 5))
    assert near(path, (3, 5), 0.2) == ["dense"]
    assert any("computed in float32" in note for note in importer.load(path).notes)
    weights = R.integers(low, high, (4, 2, 3, 3)).astype(dtype)
    path = dynamic("ConvInteger", weights, zero, tmp_path, (1, 2, 6, 6))
    assert "conv2d" in near(path, (1, 2, 6, 6), 0.4)


def test_a_dynamic_product_in_one_operator(tmp_path: Path) -> None:
    constants = {
        "w": R.integers(-127, 128, (5, 4)).astype(np.int8), "ws": np.float32(0.01),
        "wz": np.int8(0), "b": np.float32([1, 2, 3, 4]),
    }  # fmt: skip
    node = helper.make_node("DynamicQuantizeMatMul", ["x", "w", "ws", "wz", "b"], ["y"],
                            domain="com.microsoft")  # fmt: skip
    assert near(file([node], (3, 5), constants, tmp_path / "m.onnx"), (3, 5), 0.2) == ["dense"]


@pytest.mark.parametrize(
    ("nodes", "code"),
    [
        (quantised("QLinearAveragePool", ["os", "oz"], kernel_shape=[2, 2], channels_last=1),
         "E205"),
        (quantised("QLinearSoftmax", ["os", "oz"], axis=1, opset=11), "E205"),
        ([helper.make_node("QLinearConcat", ["os", "oz", "x", "s"], ["y"],
                           domain="com.microsoft")], "E203"),
        ([helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]),
          helper.make_node("DequantizeLinear", ["q", "qs", "qz"], ["y"])], "E205"),
        ([helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
          helper.make_node("MatMulInteger", ["q", "w"], ["y"])], "E205"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, nodes: Any, code: str) -> None:
    constants = {**COMMON, "w": np.ones((4, 4), np.int8)}
    path = file(nodes, (1, 3, 4, 4), constants, tmp_path / "m.onnx")
    with pytest.raises(EdgebuildError) as caught:
        importer.load(path)
    assert caught.value.kind.code == code
