# SPDX-License-Identifier: Apache-2.0
"""ONNX of opsets 7 to 12, as the older model zoos hold it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.optimise import optimise
from tests.unit.test_kernels_onnx import model, save

R = np.random.default_rng(2)


def check(tmp_path: Path, opset: int, nodes: Any, x: np.ndarray, want: np.ndarray,
          constants: Any = None) -> None:  # fmt: skip
    made = model(nodes, {"x": x}, ["y"], constants or {}, opset=opset)
    graph = importer.load(save(tmp_path, made))
    after = interpreter.run_lowered(optimise(graph), [x])[graph.outputs[0]]
    np.testing.assert_allclose(interpreter.outputs(graph, [x])[0], want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after, want, rtol=1e-5, atol=1e-6)


def floats(*shape: int) -> np.ndarray:
    return R.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("limits", [{"min": -0.5, "max": 0.5}, {"max": 0.2}, {}])
def test_limits_were_attributes(tmp_path: Path, limits: Any) -> None:
    x = floats(3, 4)
    want = np.clip(x, limits.get("min", -np.inf), limits.get("max", np.inf))
    check(tmp_path, 7, [helper.make_node("Clip", ["x"], ["y"], **limits)], x, want)


@pytest.mark.parametrize("axes", [{}, {"axes": [1, -1]}])
def test_a_slice_had_attributes(tmp_path: Path, axes: Any) -> None:
    x = floats(4, 5, 6)
    node = helper.make_node("Slice", ["x"], ["y"], starts=[1, 0], ends=[3, -2], **axes)
    want = x[:, 1:3, 0:-2] if axes else x[1:3, 0:-2]
    check(tmp_path, 9, [node], x, want)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_padding_was_an_attribute(tmp_path: Path, mode: str) -> None:
    x = floats(3, 4)
    node = helper.make_node("Pad", ["x"], ["y"], pads=[1, 0, 2, 1], value=0.5, mode=mode)
    how: Any = {"constant_values": 0.5} if mode == "constant" else {}
    check(tmp_path, 10, [node], x, np.pad(x, ((1, 2), (0, 1)), mode=mode, **how))


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [None, 2, -1])
def test_softmax_took_a_matrix(tmp_path: Path, kind: str, axis: int | None) -> None:
    x = floats(2, 3, 4)
    rows = x.reshape((2, 12) if axis is None else (6, 4))
    e = np.exp(rows - rows.max(1, keepdims=True))
    want = e / e.sum(1, keepdims=True)
    want = (np.log(want) if kind == "LogSoftmax" else want).reshape(x.shape)
    node = helper.make_node(kind, ["x"], ["y"], **({} if axis is None else {"axis": axis}))
    check(tmp_path, 11, [node], x, want)


@pytest.mark.parametrize(("opset", "kind"), [(7, "Upsample"), (9, "Upsample"), (10, "Resize")])
def test_images_were_enlarged_by_scales_alone(tmp_path: Path, opset: int, kind: str) -> None:
    x, scales = floats(1, 2, 3, 4), np.float32([1, 1, 2, 3])
    attributes = {"scales": scales.tolist()} if opset == 7 else {}
    names = ["x"] if opset == 7 else ["x", "s"]
    node = helper.make_node(kind, names, ["y"], mode="nearest", **attributes)
    check(tmp_path, opset, [node], x, x.repeat(2, 2).repeat(3, 3), {"s": scales})


def test_axes_were_attributes(tmp_path: Path) -> None:
    x = floats(2, 3, 4)
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["a"], axes=[0]),
        helper.make_node("ReduceSum", ["a"], ["b"], axes=[2], keepdims=1),
        helper.make_node("Squeeze", ["b"], ["c"], axes=[0, 2]),
        helper.make_node("Split", ["c"], ["d", "e"], axis=1, split=[1, 3]),
        helper.make_node("Dropout", ["e"], ["y"], ratio=0.5),
    ]
    check(tmp_path, 11, nodes, x, x.sum(1)[:, 1:])
