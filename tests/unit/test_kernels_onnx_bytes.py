# SPDX-License-Identifier: Apache-2.0
"""uint8 at a model's ends and between its operators, as the file says; and unknown attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.optimise import rewrite
from tests.unit.test_kernels_onnx import floats, save

N = helper.make_node
SCALE, ZERO = {"s": np.float32(0.02), "z": np.uint8(100)}, ["s", "z"]
UINT8, FLOAT, INT32 = TensorProto.UINT8, TensorProto.FLOAT, TensorProto.INT32


def made(nodes: Any, inputs: dict[str, np.ndarray], outputs: dict[str, int], opset: int = 21,
         **held: Any) -> Any:  # fmt: skip
    graph = helper.make_graph(
        nodes, "test",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
         for n, a in inputs.items()],
        [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in {**SCALE, **held}.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


CASES: dict[str, tuple[Any, dict[str, int]]] = {
    "quantised": ([N("QuantizeLinear", ["x", *ZERO], ["y"])], {"y": UINT8}),
    "moved": (
        [
            N("QuantizeLinear", ["x", *ZERO], ["q"]),
            N("Transpose", ["q"], ["t"], perm=[1, 0]),
            N("Slice", ["t", "one", "three"], ["y"]),
        ],
        {"y": UINT8},
    ),
    "read as numbers": (
        [N("QuantizeLinear", ["x", *ZERO], ["q"]), N("Cast", ["q"], ["y"], to=FLOAT)],
        {"y": FLOAT},
    ),
    "beside the input's": (
        [
            N("QuantizeLinear", ["x", *ZERO], ["q"]),
            N("Concat", ["q", "u"], ["c"], axis=0),
            N("Cast", ["c"], ["y"], to=INT32),
        ],
        {"y": INT32},
    ),
    "both kinds of reader": (
        [
            N("QuantizeLinear", ["x", *ZERO], ["q"]),
            N("DequantizeLinear", ["q", *ZERO], ["d"]),
            N("Relu", ["d"], ["y"]),
        ],
        {"y": FLOAT, "q": UINT8},
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_uint8_is_what_the_file_says(tmp_path: Path, name: str) -> None:
    nodes, outputs = CASES[name]
    given = {"x": floats(4, 5), "u": np.arange(190, 210, dtype=np.uint8).reshape(4, 5)}
    held = {"one": np.array([1]), "three": np.array([3])}
    onnx_model = made(nodes, given, outputs, **held)
    expected = ReferenceEvaluator(onnx_model).run(None, given)
    graph = importer.load(save(tmp_path, onnx_model))
    for form in (graph, rewrite(graph)):
        for mine, want in zip(
            interpreter.outputs(form, [given[n] for n in graph.inputs]), expected, strict=True
        ):
            assert mine.dtype == want.dtype
            np.testing.assert_allclose(mine, want)


def test_the_type_without_a_zero_point(tmp_path: Path) -> None:
    nodes = [N("QuantizeLinear", ["x", "s"], ["y"], output_dtype=TensorProto.INT8)]
    x = np.linspace(-3, 3, 20, dtype=np.float32)
    graph = importer.load(save(tmp_path, made(nodes, {"x": x}, {"y": TensorProto.INT8})))
    found = interpreter.outputs(graph, [x])[0]
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, np.clip(np.round(x / np.float32(0.02)), -128, 127))


def test_bytes_of_a_scale_that_is_not_known(tmp_path: Path) -> None:
    nodes = [N("DynamicQuantizeLinear", ["x"], ["y", "a", "b"])]
    with pytest.raises(EdgebuildError) as caught:
        importer.load(save(tmp_path, made(nodes, {"x": floats(4)}, {"y": UINT8})))
    assert caught.value.kind.code == "E206"


def test_an_attribute_that_is_not_known_is_refused(tmp_path: Path) -> None:
    x = {"q": np.zeros((2, 4), np.int8)}
    same = [N("DequantizeLinear", ["q", "s"], ["y"], block_size=0)]
    importer.load(save(tmp_path, made(same, x, {"y": FLOAT})))  # the schema's default
    for name in ("block_size", "future"):
        nodes = [N("DequantizeLinear", ["q", "s"], ["y"], **{name: 2})]
        with pytest.raises(EdgebuildError, match=name) as caught:
            importer.load(save(tmp_path, made(nodes, x, {"y": FLOAT})))
        assert caught.value.kind.code == "E205"


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32"])
@pytest.mark.parametrize("limits", [("lo", ""), ("", "hi"), ("lo", "hi"), ("hi", "lo")])
def test_limits_of_integers(tmp_path: Path, kind: str, limits: tuple[str, str]) -> None:
    x = np.arange(0, 100, 7).astype(kind)
    held = {"lo": np.array(20, kind), "hi": np.array(60, kind)}
    kinds = {"y": helper.np_dtype_to_tensor_dtype(x.dtype)}
    onnx_model = made([N("Clip", ["x", *limits], ["y"])], {"x": x}, kinds, **held)
    graph = importer.load(save(tmp_path, onnx_model))
    lo = 0 if not limits[0] else held[limits[0]]
    hi = 127 if not limits[1] else held[limits[1]]
    np.testing.assert_array_equal(interpreter.outputs(graph, [x])[0],
                                  np.minimum(np.maximum(x, lo), hi))  # fmt: skip


def test_limits_that_the_model_computes(tmp_path: Path) -> None:
    given = {"x": floats(4, 5), "lo": np.float32(-0.3), "hi": np.float32(0.4)}
    onnx_model = made([N("Clip", ["x", "lo", "hi"], ["y"])], given, {"y": FLOAT})
    graph = importer.load(save(tmp_path, onnx_model))
    found = interpreter.outputs(graph, list(given.values()))[0]
    np.testing.assert_array_equal(found, np.clip(given["x"], -0.3, 0.4).astype(np.float32))


@pytest.mark.parametrize(
    ("kind", "nothing"),
    [("ReduceSum", 0), ("ReduceMax", -np.inf), ("ReduceMin", np.inf), ("ReduceMean", np.nan)],
)
def test_reductions_of_nothing(tmp_path: Path, kind: str, nothing: float) -> None:
    nodes = [N("Abs", ["x"], ["a"]), N(kind, ["a", "axes"], ["y"])]
    x = np.zeros((2, 0, 3), np.float32)
    graph = importer.load(save(tmp_path, made(nodes, {"x": x}, {"y": FLOAT}, axes=np.array([1]))))
    np.testing.assert_array_equal(interpreter.outputs(graph, [x])[0], np.full((2, 1, 3), nothing))


def test_dropout_in_training_is_none_at_all(tmp_path: Path) -> None:
    nodes = [N("Dropout", ["x", "", "t"], ["y"])]
    x = floats(4)
    graph = importer.load(save(tmp_path, made(nodes, {"x": x}, {"y": FLOAT}, t=np.array(True))))
    assert graph.notes == ("exported in training mode; it is compiled for inference",)
    np.testing.assert_array_equal(interpreter.outputs(graph, [x])[0], x)


def test_outputs_have_the_names_of_the_file(tmp_path: Path) -> None:
    x = floats(2, 3)
    nodes = [N("Relu", ["x"], ["a"]), *(N("Identity", ["a"], [n]) for n in "yv"),
             N("Identity", ["x"], ["w"])]  # fmt: skip
    outputs = dict.fromkeys(("y", "v", "w", "x"), FLOAT)
    graph = importer.load(save(tmp_path, made(nodes, {"x": x}, outputs)))
    assert graph.outputs == ("y", "v", "w", "x")
    found = interpreter.run(rewrite(graph), [x])
    for name, want in zip("yvwx", (np.maximum(x, 0),) * 2 + (x, x), strict=True):
        np.testing.assert_array_equal(found[name], want)
