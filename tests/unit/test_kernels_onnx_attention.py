# SPDX-License-Identifier: Apache-2.0
"""Attention as one operator, and what ONNX Runtime's optimiser makes of encoders."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import importer, interpreter
from tests.unit.test_kernels_onnx import compare, model, save

R = np.random.default_rng(8)


def floats(*shape: int) -> np.ndarray:
    return R.standard_normal(shape).astype(np.float32)


def attention(inputs: dict[str, np.ndarray], names: list[str], **attributes: Any) -> Any:
    node = helper.make_node("Attention", names, ["y"], **attributes)
    return model([node], inputs, ["y"], {}, opset=23)


@pytest.mark.parametrize("attributes", [{}, {"scale": 0.3}, {"is_causal": 1}])
@pytest.mark.parametrize("mask", ["", "bool", "float32"])
def test_attention(tmp_path: Path, attributes: Any, mask: str) -> None:
    given = {"q": floats(1, 2, 5, 4), "k": floats(1, 2, 6, 4), "v": floats(1, 2, 6, 3)}
    if mask == "bool":
        given["m"] = np.array([1, 1, 0, 1, 1, 0], bool) | np.zeros((5, 1), bool)
    elif mask:
        given["m"] = floats(5, 6)
    if mask == "bool" and attributes.get("is_causal"):
        pytest.skip("the evaluator adds the two masks in another way")
    assert compare(tmp_path, attention(given, list(given), **attributes), given)


def test_attention_of_packed_heads(tmp_path: Path) -> None:
    given = {name: floats(2, 5, 8) for name in "qkv"}
    assert compare(tmp_path, attention(given, list(given), q_num_heads=2, kv_num_heads=2), given)


@pytest.mark.parametrize(
    ("heads", "attributes"), [(2, {"left_window_size": 2}), (2, {"num_heads": 2})]
)
def test_attention_that_is_refused(tmp_path: Path, heads: int, attributes: Any) -> None:
    given = {"q": floats(1, 2, 5, 4), "k": floats(1, heads, 6, 4), "v": floats(1, heads, 6, 4)}
    with pytest.raises(EdgebuildError) as caught:
        importer.load(save(tmp_path, attention(given, list(given), **attributes)))
    assert caught.value.kind.code == "E205"


def fused(tmp_path: Path, kind: str, given: dict[str, np.ndarray], constants: Any = None,
          **attributes: Any) -> np.ndarray:  # fmt: skip
    held = constants or {}
    node = helper.make_node(kind, [*given, *held], ["y"], domain="com.microsoft", **attributes)
    graph = importer.load(save(tmp_path, model([node], given, ["y"], held)))
    return interpreter.outputs(graph, list(given.values()))[0]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def test_gelus(tmp_path: Path) -> None:
    x, bias = floats(3, 4), floats(4)
    np.testing.assert_allclose(
        fused(tmp_path, "BiasGelu", {"x": x}, {"b": bias}), gelu(x + bias), atol=1e-6
    )
    np.testing.assert_allclose(fused(tmp_path, "FastGelu", {"x": x}), gelu(x), atol=2e-3)
    np.testing.assert_allclose(
        fused(tmp_path, "QuickGelu", {"x": x}), x / (1 + np.exp(-1.702 * x)), atol=1e-6
    )


@pytest.mark.parametrize("bias", [False, True])
def test_a_normalised_sum(tmp_path: Path, bias: bool) -> None:
    x, skip = floats(2, 3, 8), floats(2, 3, 8)
    held = {"scale": floats(8), "offset": floats(8), **({"bias": floats(8)} if bias else {})}
    found = fused(tmp_path, "SkipLayerNormalization", {"x": x, "s": skip}, held, epsilon=1e-5)
    total = x + skip + held.get("bias", 0)
    normal = (total - total.mean(-1, keepdims=True)) / np.sqrt(total.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found, normal * held["scale"] + held["offset"], atol=1e-5)


def test_a_scaled_product(tmp_path: Path) -> None:
    a, b = floats(2, 3, 4), floats(2, 5, 4)
    found = fused(tmp_path, "FusedMatMul", {"a": a, "b": b}, transB=1, alpha=0.5)
    np.testing.assert_allclose(found, a @ b.transpose(0, 2, 1) * 0.5, atol=1e-5)
    with pytest.raises(EdgebuildError):
        fused(tmp_path, "FusedMatMul", {"a": a, "b": b}, transBatchA=1)
