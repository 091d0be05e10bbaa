# SPDX-License-Identifier: Apache-2.0
"""Named axes, vectors, norms over several axes, rounding, one-hot rows: against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.optimise import optimise
from tests.unit.test_kernels_onnx import floats, save


def made(kind: str, inputs: dict[str, np.ndarray], held: dict[str, Any], **attributes: Any) -> Any:
    """A model of one node; the type of its output is inferred by whoever reads it."""

    def value(name: str, array: np.ndarray) -> Any:
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )

    names = [*inputs, *held]
    node = helper.make_node(kind, names, ["y"], **attributes)
    graph = helper.make_graph(
        [node], "test", [value(n, a) for n, a in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in held.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def compare(tmp_path: Path, model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    want = runtime.InferenceSession(model.SerializeToString()).run(None, inputs)[0]
    graph = importer.load(save(tmp_path, model))
    found = interpreter.run_lowered(optimise(graph), list(inputs.values()))[graph.outputs[0]]
    assert found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    return found


SHAPES = {"a": 2, "b": 3, "c": 4, "d": 5, "e": 1}


@pytest.mark.parametrize(
    "equation",
    ["ab->ba", "abc->c", "ab,bc->ac", "abc,adc->abd", "acb,cd->adb", "ab,cd->dbca", "a,a->",
     "abc,bad->dcb", "ae,eb->ab", "ab,b->a", "ab,bc", "abd,acd->a"],
)  # fmt: skip
def test_sums_over_named_axes(tmp_path: Path, equation: str) -> None:
    terms = equation.split("->", maxsplit=1)[0].split(",")
    inputs = {f"x{n}": floats(*(SHAPES[c] for c in term)) for n, term in enumerate(terms)}
    compare(tmp_path, made("Einsum", inputs, {}, equation=equation), inputs)


@pytest.mark.parametrize(
    ("equation", "shapes", "code"),
    [
        ("aa->a", [(2, 2)], "E205"),
        ("...a->a", [(2, 2)], "E205"),
        ("a,b,c->abc", [(2,), (3,), (4,)], "E205"),
        ("ab->a", [(2,)], "E203"),
        ("ab->c", [(2, 3)], "E203"),
        ("a,a->a", [(2,), (3,)], "E203"),
    ],
)
def test_sums_that_are_refused(
    tmp_path: Path, equation: str, shapes: list[tuple[int, ...]], code: str
) -> None:
    inputs = {f"x{n}": floats(*shape) for n, shape in enumerate(shapes)}
    with pytest.raises(EdgebuildError) as caught:
        importer.load(save(tmp_path, made("Einsum", inputs, {}, equation=equation)))
    assert caught.value.kind.code == code


@pytest.mark.parametrize(("left", "right"), [((4,), (4,)), ((4,), (2, 4, 3)), ((2, 3, 4), (4,))])
def test_products_with_vectors(tmp_path: Path, left: Any, right: Any) -> None:
    inputs = {"x": floats(*left), "z": floats(*right)}
    compare(tmp_path, made("MatMul", inputs, {}), inputs)


@pytest.mark.parametrize("axis", [0, 1, -2, 3])
def test_norms_over_several_axes(tmp_path: Path, axis: int) -> None:
    x = floats(2, 3, 4, 5)
    extents = x.shape[axis:]
    held = {"s": floats(*extents), "b": floats(*extents)}
    compare(tmp_path, made("LayerNormalization", {"x": x}, held, axis=axis), {"x": x})


def test_halves_round_to_the_even_number(tmp_path: Path) -> None:
    x = np.float32([-2.5, -1.5, -0.5, -0.49999997, 0.49999997, 0.5, 1.5, 2.5, 3.2, 1e9, -7.9])
    compare(tmp_path, made("Round", {"x": x}, {}), {"x": x})


@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("pads", [[1, 0, 1, 1], [0, 0, 0, 0]])
def test_pools_that_round_up_and_count_padding(tmp_path: Path, ceil: int, pads: Any) -> None:
    x = floats(1, 2, 8, 9)
    model = made("AveragePool", {"x": x}, {}, kernel_shape=[3, 2], strides=[2, 3], pads=pads,
                 ceil_mode=ceil, count_include_pad=1)  # fmt: skip
    compare(tmp_path, model, {"x": x})


@pytest.mark.parametrize("size", [1, 3, 5])
def test_norms_over_neighbouring_channels(tmp_path: Path, size: int) -> None:
    x = floats(2, 6, 3, 2)
    compare(tmp_path, made("LRN", {"x": x}, {}, size=size, bias=2.0, alpha=0.3), {"x": x})


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot_rows(tmp_path: Path, axis: int) -> None:
    x = np.array([[0, 2, -1], [1, 7, -3]], np.int64)
    held = {"depth": np.int64(4), "values": np.float32([-1, 3])}
    compare(tmp_path, made("OneHot", {"x": x}, held, axis=axis), {"x": x})


@pytest.mark.parametrize("kind", ["ReduceLogSum", "ReduceLogSumExp"])
@pytest.mark.parametrize("keep", [0, 1])
def test_logarithms_of_sums(tmp_path: Path, kind: str, keep: int) -> None:
    x = np.abs(floats(2, 3, 4)) * 40
    held = {"axes": np.array([0, -1])}
    compare(tmp_path, made(kind, {"x": x}, held, keepdims=keep), {"x": x})


@pytest.mark.parametrize(
    ("kind", "held", "attributes"),
    [
        ("OneHot", {"depth": np.int64(0), "values": np.float32([0, 1])}, {}),
        ("LRN", {}, {"size": 0}),
    ],
)
def test_numbers_of_no_sense(tmp_path: Path, kind: str, held: Any, attributes: Any) -> None:
    inputs = {"x": floats(2, 3)}
    with pytest.raises(EdgebuildError) as caught:
        importer.load(save(tmp_path, made(kind, inputs, held, **attributes)))
    assert caught.value.kind.code == "E203"
