# SPDX-License-Identifier: Apache-2.0
"""Transposed convolutions, resized images and the like, from both formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import enlarge, importer, interpreter
from edgebuild.kernels.builder import GraphBuilder
from edgebuild.kernels.optimise import optimise
from tests.tools.one_operator import Case
from tests.unit import test_kernels_int8 as int8
from tests.unit import test_kernels_tflite as tflite_
from tests.unit.test_kernels_onnx import compare, model, one, save

INT = np.int64
R = np.random.default_rng(17)


def floats(*shape: int) -> np.ndarray:
    return R.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 2), (3, 1), (2, 3), (5, 3)])
@pytest.mark.parametrize("pads", [0, 1])
@pytest.mark.parametrize("extra", [0, 1])
def test_onnx_transposed_convolution(
    tmp_path: Path, kernel: int, stride: int, pads: int, extra: int
) -> None:
    if extra >= stride:
        pytest.skip("more output padding than the stride")
    assert one(tmp_path, "ConvTranspose", [floats(1, 3, 4, 5)],
               [floats(3, 2, kernel, kernel), floats(2)], strides=[stride, stride],
               pads=[pads, 0, 0, pads], output_padding=[extra, 0])  # fmt: skip


def test_onnx_transposed_convolution_of_a_signal(tmp_path: Path) -> None:
    assert one(tmp_path, "ConvTranspose", [floats(1, 3, 7)], [floats(3, 4, 4)], strides=[2],
               pads=[1, 1])  # fmt: skip


@pytest.mark.parametrize(
    "attributes", [{"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}, {"output_shape": [9, 7]}]
)
def test_onnx_transposed_convolution_to_a_size(tmp_path: Path, attributes: Any) -> None:
    ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    x, weights = floats(1, 2, 4, 3), floats(2, 3, 3, 3)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], **attributes)
    made = model([node], {"x": x}, ["y"], {"w": weights})
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    found = interpreter.outputs(importer.load(save(tmp_path, made)), [x])
    np.testing.assert_allclose(found[0], session.run(None, {"x": x})[0], rtol=1e-4, atol=1e-5)


def transposed(case: Case, x: int, weights: np.ndarray, output: int, shape: Any, padding: int,
               bias: bool = True, **quantised: Any) -> bytes:  # fmt: skip
    """TRANSPOSE_CONV with stride 2, a bias and ReLU."""
    inputs = [case.constant(np.array(shape, np.int32)), case.constant(weights, **quantised), x]
    if bias:
        dtype = np.float32 if weights.dtype == np.float32 else np.int32
        inputs.append(case.constant(np.arange(weights.shape[0]).astype(dtype) * 7))
    return case.file("TRANSPOSE_CONV", inputs, output, version=3 if bias else 2,
                     options="TransposeConvOptions", Padding=padding, StrideW=2,
                     StrideH=2)  # fmt: skip


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("padding", [int8.SAME, int8.VALID])
def test_tflite_transposed_convolution(tmp_path: Path, kernel: int, padding: int) -> None:
    shape = (1, 8, 10, 3) if padding == int8.SAME else (1, 6 + kernel, 8 + kernel, 3)
    case = Case()
    x = case.plain((1, 4, 5, 2))
    data = transposed(case, x, floats(3, kernel, kernel, 2), case.out(shape, None, dtype="float32"),
                      shape, padding)  # fmt: skip
    assert tflite_.compare(tmp_path, data)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("per_channel", [False, True])
def test_tflite_transposed_convolution_in_8_bits(
    tmp_path: Path, kernel: int, per_channel: bool
) -> None:
    pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed")
    case, shape = Case(), (1, 8, 10, 3)
    scales = [0.01, 0.02, 0.015] if per_channel else [0.02]
    x = case.int8((1, 4, 5, 2), 0.05, 9)
    data = transposed(case, x, int8.weights((3, kernel, kernel, 2)), case.out(shape), shape,
                      int8.SAME, scale=scales, zero_point=[0] * len(scales))  # fmt: skip
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    graph = importer.load(path)
    inputs = int8.random_inputs(graph, 1)
    expected = int8.reference(data, inputs)["y"]
    np.testing.assert_array_equal(interpreter.outputs(graph, inputs)[0], expected)
    after = interpreter.run_lowered(optimise(graph), inputs)
    np.testing.assert_array_equal(after[graph.outputs[0]], expected)


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("size", [(8, 10), (5, 3), (4, 5)])
@pytest.mark.parametrize("name", ["RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"])
def test_tflite_resizing(
    tmp_path: Path, name: str, size: tuple[int, int], corners: int, half: int
) -> None:
    if corners and half:
        pytest.skip("the two exclude each other")
    options = "ResizeNearestNeighborOptions" if "NEAR" in name else "ResizeBilinearOptions"
    data = tflite_.one(
        name, [(1, 4, 5, 2)], (1, *size, 2), [np.array(size, np.int32)], options=options,
        AlignCorners=bool(corners), HalfPixelCenters=bool(half), version=3,
    )  # fmt: skip
    assert tflite_.compare(tmp_path, data)


def test_tflite_resizing_of_8_bits(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed")
    case = Case()
    inputs = [case.int8((1, 3, 4, 2)), case.constant(np.array([6, 8], np.int32))]
    data = case.file("RESIZE_NEAREST_NEIGHBOR", inputs, case.out((1, 6, 8, 2), 0.05, 3),
                     version=2, options="ResizeNearestNeighborOptions")  # fmt: skip
    assert int8.compare(data, tmp_path)


@pytest.mark.parametrize("name", ["DEPTH_TO_SPACE", "SPACE_TO_DEPTH"])
def test_tflite_blocks(tmp_path: Path, name: str) -> None:
    shapes = [(1, 4, 6, 8), (1, 8, 12, 2)]
    before, after = shapes if name == "DEPTH_TO_SPACE" else shapes[::-1]
    options = "DepthToSpaceOptions" if name == "DEPTH_TO_SPACE" else "SpaceToDepthOptions"
    assert tflite_.compare(tmp_path, tflite_.one(name, [before], after, options=options,
                                                 BlockSize=2))  # fmt: skip


@pytest.mark.parametrize("mode", [0, 1])
def test_tflite_mirrored_edges(tmp_path: Path, mode: int) -> None:
    pads = np.array([[0, 0], [1, 2], [2, 0]], np.int32)
    data = tflite_.one("MIRROR_PAD", [(2, 4, 5)], (2, 7, 7), [pads], options="MirrorPadOptions",
                       Mode=mode)  # fmt: skip
    assert tflite_.compare(tmp_path, data)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    "placed", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
)
@pytest.mark.parametrize("size", [(6, 8), (2, 7)])
def test_onnx_resizing(tmp_path: Path, mode: str, placed: str, size: tuple[int, int]) -> None:
    assert one(tmp_path, "Resize", [floats(1, 2, 3, 4)], [None, None, np.array([1, 2, *size], INT)],
               mode=mode, coordinate_transformation_mode=placed)  # fmt: skip


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_onnx_resizing_by_a_scale(tmp_path: Path, rounding: str) -> None:
    scales = np.float32([1, 1, 1.5, 2])
    assert one(tmp_path, "Resize", [floats(1, 2, 4, 3)], [None, scales], nearest_mode=rounding)


def test_onnx_resizing_keeps_channels_last_between_convolutions(tmp_path: Path) -> None:
    """No transpose remains on either side of an enlargement."""
    x = floats(1, 3, 6, 6)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Resize", ["a", "", "s"], ["b"], mode="linear"),
        helper.make_node("Conv", ["b", "v"], ["y"]),
        helper.make_node("GlobalAveragePool", ["y"], ["z"]),
    ]
    constants = {"w": floats(4, 3, 3, 3), "v": floats(5, 4, 1, 1), "s": np.float32([1, 1, 2, 2])}
    lowered = compare(tmp_path, model(nodes, {"x": x}, ["z"], constants), {"x": x})
    kinds = [call.spec.kind for call in lowered.calls]
    assert kinds.count("copy") == 1  # the model's own input is channels first


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_onnx_blocks(tmp_path: Path, mode: str) -> None:
    assert one(tmp_path, "DepthToSpace", [floats(1, 12, 2, 3)], blocksize=2, mode=mode)
    assert one(tmp_path, "SpaceToDepth", [floats(1, 3, 4, 6)], blocksize=2)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(("size", "pads"), [(7, 0), (8, 0), (6, 1)])
def test_pools_that_round_up(tmp_path: Path, kind: str, size: int, pads: int) -> None:
    ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    x = floats(1, 3, size, size)
    node = helper.make_node(kind, ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2],
                            pads=[pads] * 4, ceil_mode=1)  # fmt: skip
    made = model([node], {"x": x}, ["y"], {})
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    found = interpreter.outputs(importer.load(save(tmp_path, made)), [x])
    np.testing.assert_allclose(found[0], session.run(None, {"x": x})[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "constants", "attributes", "code"),
    [
        ("ConvTranspose", [floats(4, 2, 3, 3)], {"group": 2}, "E205"),
        ("ConvTranspose", [floats(4, 2, 3, 3)], {"dilations": [2, 2]}, "E205"),
        ("ConvTranspose", [floats(4, 2)], {}, "E203"),
        ("Resize", [None, None, np.array([1, 4, 8, 8], INT)], {"mode": "cubic"}, "E205"),
        ("Resize", [None, None, np.array([1, 4, 0, 8], INT)], {}, "E203"),
        (
            "Resize",
            [None, None, np.array([1, 4, 8, 8], INT)],
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            "E205",
        ),
        ("DepthToSpace", [], {"blocksize": 3}, "E203"),
    ],
)
def test_what_onnx_says_that_is_refused(
    tmp_path: Path, kind: str, constants: Any, attributes: Any, code: str
) -> None:
    held = {f"c{n}": c for n, c in enumerate(constants) if c is not None}
    names = ["x", *(f"c{n}" if c is not None else "" for n, c in enumerate(constants))]
    node = helper.make_node(kind, names, ["y"], **attributes)
    with pytest.raises(EdgebuildError) as caught:
        importer.load(save(tmp_path, model([node], {"x": floats(1, 4, 6, 6)}, ["y"], held)))
    assert caught.value.kind.code == code


@pytest.mark.parametrize(
    ("name", "shape", "constants", "options"),
    [
        ("RESIZE_BILINEAR", (1, 2, 2, 1), [np.array([0, 4], np.int32)],
         {"options": "ResizeBilinearOptions"}),
        ("RESIZE_NEAREST_NEIGHBOR", (2, 2), [np.array([4, 4], np.int32)],
         {"options": "ResizeNearestNeighborOptions"}),
        ("DEPTH_TO_SPACE", (1, 2, 2, 4), [], {"options": "DepthToSpaceOptions", "BlockSize": 0}),
        ("MIRROR_PAD", (2, 2), [np.array([1, 1], np.int32)], {"options": "MirrorPadOptions"}),
        ("MIRROR_PAD", (2, 2), [np.array([3, 0, 0, 0], np.int32)],
         {"options": "MirrorPadOptions"}),
    ],
)  # fmt: skip
def test_what_tflite_says_that_is_refused(
    tmp_path: Path, name: str, shape: Any, constants: Any, options: Any
) -> None:
    with pytest.raises(EdgebuildError) as caught:
        tflite_.graph_of(tmp_path, tflite_.one(name, [shape], shape, constants, **options))
    assert caught.value.kind.code == "E203"


def test_bilinear_resizing_of_bytes_is_refused(tmp_path: Path) -> None:
    case = Case()
    inputs = [case.int8((1, 3, 4, 2)), case.constant(np.array([6, 8], np.int32))]
    data = case.file("RESIZE_BILINEAR", inputs, case.out((1, 6, 8, 2), 0.05, 3),
                     version=2, options="ResizeBilinearOptions")  # fmt: skip
    with pytest.raises(EdgebuildError) as caught:
        tflite_.graph_of(tmp_path, data)
    assert caught.value.kind.code == "E205"


def test_a_transposed_convolution_without_an_output() -> None:
    builder = GraphBuilder()
    x = builder.tensor("x", (1, 2, 2, 1), "float32")
    weights = builder.tensors[builder.constant("w", floats(2, 2, 1, 1))]
    axis = enlarge.Axis(size=2, kernel=2, stride=2, crop=0, output=0)
    with pytest.raises(ValueError, match="without an output"):
        enlarge.transposed(builder, x, weights, None, (axis, axis), "y", "0", None)
