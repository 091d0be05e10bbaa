# SPDX-License-Identifier: Apache-2.0
"""Models of the kinds that people deploy, built from a seed: no file has to be at hand.

A network is a list of layers with weights; ``to_tflite`` and ``to_onnx`` write the same network
in either format, in float32 or quantised to int8 (ONNX: to uint8 activations, as ONNX Runtime's
own guide advises for x86). Weights are random with the variance that keeps activations near
one, so that fixed quantisation ranges are plausible.

    python tests/models_build.py FOLDER      writes the set that benchmarks/README.md speaks of
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

try:
    from tests.tflite_writer import RELU6, Writer
except ImportError:  # as a program: the tests' folder is the path
    from tflite_writer import RELU6, Writer  # type: ignore[no-redef]

LINEAR_RANGE = (-5.0, 5.0)
RELU6_RANGE = (0.0, 6.0)
INPUT_RANGE = (-1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """``weights``: conv OHWI, depthwise 1HWC, dense OI. ``inputs`` are numbers of values."""

    kind: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    range: tuple[float, float]
    weights: np.ndarray | None = None
    bias: np.ndarray | None = None
    stride: int = 1
    relu6: bool = False


@dataclass
class Network:
    """Layer i makes value i + 1; value 0 is the input."""

    name: str
    input_shape: tuple[int, ...]
    seed: int = 0
    layers: list[Layer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def shape(self, value: int) -> tuple[int, ...]:
        """The shape of a value."""
        return self.input_shape if value == 0 else self.layers[value - 1].shape

    def range(self, value: int) -> tuple[float, float]:
        """The range that a value is quantised over."""
        return INPUT_RANGE if value == 0 else self.layers[value - 1].range

    def _append(self, **facts: object) -> int:
        self.layers.append(Layer(**facts))  # type: ignore[arg-type]
        return len(self.layers)

    def _weights(self, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
        return self._random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)

    def _bias(self, count: int) -> np.ndarray:
        return self._random.normal(0, 0.1, count).astype(np.float32)

    def conv(
        self, value: int, channels: int, kernel: int = 1, stride: int = 1, relu6: bool = True
    ) -> int:
        """A convolution with SAME padding."""
        n, h, w, c = self.shape(value)
        return self._append(
            kind="conv",
            inputs=(value,),
            shape=(n, -(-h // stride), -(-w // stride), channels),
            range=RELU6_RANGE if relu6 else LINEAR_RANGE,
            weights=self._weights((channels, kernel, kernel, c), kernel * kernel * c),
            bias=self._bias(channels),
            stride=stride,
            relu6=relu6,
        )

    def depthwise(self, value: int, stride: int = 1) -> int:
        """A 3×3 depthwise convolution with SAME padding and ReLU6."""
        n, h, w, c = self.shape(value)
        return self._append(
            kind="depthwise",
            inputs=(value,),
            shape=(n, -(-h // stride), -(-w // stride), c),
            range=RELU6_RANGE,
            weights=self._weights((1, 3, 3, c), 9),
            bias=self._bias(c),
            stride=stride,
            relu6=True,
        )

    def dense(self, value: int, features: int, spread: float = 1.0) -> int:
        """A fully connected layer without activation; results grow with ``spread``."""
        rows, k = self.shape(value)
        return self._append(
            kind="dense",
            inputs=(value,),
            shape=(rows, features),
            range=(LINEAR_RANGE[0] * spread, LINEAR_RANGE[1] * spread),
            weights=self._weights((features, k), k) * np.float32(spread),
            bias=self._bias(features),
        )

    def add(self, a: int, b: int) -> int:
        """A residual addition."""
        return self._append(kind="add", inputs=(a, b), shape=self.shape(a), range=(-7.0, 7.0))

    def mean(self, value: int) -> int:
        """The mean over the image."""
        n, _, _, c = self.shape(value)
        return self._append(kind="mean", inputs=(value,), shape=(n, c), range=self.range(value))

    def softmax(self, value: int) -> int:
        """Softmax over the last axis."""
        shape = self.shape(value)
        return self._append(kind="softmax", inputs=(value,), shape=shape, range=(0.0, 255 / 256))


def mobilenet_v1(pixels: int, width: float = 1.0, classes: int = 1000) -> Network:
    """Depthwise and pointwise pairs."""
    net = Network(f"mobilenet_v1_{pixels}", (1, pixels, pixels, 3))
    last = net.conv(0, int(32 * width), 3, 2)
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for channels, stride in [*blocks, (1024, 2), (1024, 1)]:
        last = net.conv(net.depthwise(last, stride), int(channels * width))
    net.softmax(net.dense(net.mean(last), classes, spread=4))
    return net


def mobilenet_v2(pixels: int, width: float = 1.0, classes: int = 1000) -> Network:
    """Inverted residuals."""
    net = Network(f"mobilenet_v2_{pixels}", (1, pixels, pixels, 3))
    last = net.conv(0, int(32 * width), 3, 2)
    table = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    for expand, channels, repeat, first in [*table, (6, 160, 3, 2), (6, 320, 1, 1)]:
        for number in range(repeat):
            before, stride = last, first if number == 0 else 1
            if expand > 1:
                last = net.conv(last, expand * net.shape(last)[3])
            last = net.depthwise(last, stride)
            last = net.conv(last, max(8, int(channels * width) // 8 * 8), relu6=False)
            if stride == 1 and net.shape(before) == net.shape(last):
                last = net.add(before, last)
    net.softmax(net.dense(net.mean(net.conv(last, 1280)), classes, spread=4))
    return net


def gemm(m: int, k: int, n: int) -> Network:
    """One fully connected layer; m = 1 is a matrix-vector product."""
    net = Network(f"gemm_{m}x{k}x{n}", (m, k))
    net.dense(0, n)
    return net


def affine(limits: tuple[float, float]) -> tuple[float, int]:
    """Scale and int8 zero point that cover ``limits``."""
    low, high = limits
    scale = (high - low) / 255
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


def quantise_weights(layer: Layer) -> tuple[np.ndarray, np.ndarray, int]:
    """int8 weights, their scales and the axis: per channel; dense layers have one scale."""
    assert layer.weights is not None
    axis = {"conv": 0, "depthwise": 3}.get(layer.kind, 0)
    others = tuple(a for a in range(layer.weights.ndim) if a != axis)
    peak = np.abs(layer.weights).max(axis=others if layer.kind != "dense" else None)
    scales = np.atleast_1d(peak / 127).astype(np.float32)
    shape = [1] * layer.weights.ndim
    shape[axis] = -1 if layer.kind != "dense" else 1
    stored = np.clip(np.round(layer.weights / scales.reshape(shape)), -127, 127)
    return stored.astype(np.int8), scales, axis


def to_tflite(net: Network, *, int8: bool) -> bytes:
    """The network as a TensorFlow Lite file."""
    writer = Writer()
    kind = "int8" if int8 else "float32"

    def value(number: int) -> int:
        scale, zero = affine(net.range(number))
        quantised = {"scale": [scale], "zero_point": [zero]} if int8 else {}
        return writer.tensor(f"value_{number}", net.shape(number), kind, **quantised)

    values = [value(0)]
    for number, layer in enumerate(net.layers, 1):
        inputs = [values[each] for each in layer.inputs]
        if layer.weights is not None:
            inputs += _tflite_constants(writer, net, layer, number, int8)
        if layer.kind == "mean":
            inputs.append(writer.tensor(f"axes_{number}", (2,), "int32", data=np.int32([1, 2])))
        values.append(value(number))
        writer.operator(
            layer.kind,
            inputs,
            [values[-1]],
            int8=int8,
            stride=layer.stride,
            activation=RELU6 if layer.relu6 else 0,
        )
    return writer.finish([values[0]], [values[-1]])


def _tflite_constants(
    writer: Writer, net: Network, layer: Layer, number: int, int8: bool
) -> list[int]:
    assert layer.weights is not None
    assert layer.bias is not None
    names = f"weights_{number}", f"bias_{number}"
    if not int8:
        return [
            writer.tensor(names[0], layer.weights.shape, "float32", data=layer.weights),
            writer.tensor(names[1], layer.bias.shape, "float32", data=layer.bias),
        ]
    stored, scales, axis = quantise_weights(layer)
    zeros = [0] * len(scales)
    bias_scales = scales * np.float32(affine(net.range(layer.inputs[0]))[0])
    bias = np.round(layer.bias / bias_scales).astype(np.int32)
    return [
        writer.tensor(
            names[0], stored.shape, "int8", scale=scales, zero_point=zeros, axis=axis, data=stored
        ),
        writer.tensor(
            names[1], bias.shape, "int32", scale=bias_scales, zero_point=zeros, data=bias
        ),
    ]


class _Onnx:
    """Collects nodes and initialisers."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._count = 0

    def constant(self, data: np.ndarray) -> str:
        self._count += 1
        name = f"constant_{self._count}"
        self.constants.append(numpy_helper.from_array(data, name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        self._count += 1
        name = f"{kind.lower()}_{self._count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def model(
        self,
        name: str,
        inputs: list[onnx.ValueInfoProto],
        outputs: dict[str, tuple[int, list[int]]],
    ) -> bytes:
        infos = [helper.make_tensor_value_info(n, *facts) for n, facts in outputs.items()]
        graph = helper.make_graph(self.nodes, name, inputs, infos, self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(made)
        return bytes(made.SerializeToString())


def to_onnx(net: Network, *, int8: bool) -> bytes:
    """The network as an ONNX file: NCHW; quantised as QuantizeLinear/DequantizeLinear pairs."""
    made = _Onnx()

    def quantised(number: int, name: str) -> str:
        if not int8:
            return name
        scale, zero = affine(net.range(number))
        scales = made.constant(np.float32(scale)), made.constant(np.uint8(zero + 128))
        stored = made.node("QuantizeLinear", name, *scales) if number else name
        return made.node("DequantizeLinear", stored, *scales)

    values = [quantised(0, "input")]
    for number, layer in enumerate(net.layers, 1):
        result = _onnx_layer(made, net, layer, [values[each] for each in layer.inputs], int8)
        if layer.relu6:
            limits = made.constant(np.float32(0)), made.constant(np.float32(6))
            result = made.node("Clip", result, *limits)
        last = number == len(net.layers)
        values.append(result if last and layer.kind == "softmax" else quantised(number, result))
    kind = TensorProto.UINT8 if int8 else TensorProto.FLOAT
    info = helper.make_tensor_value_info("input", kind, _nchw(net.input_shape))
    return made.model(
        net.name, [info], {values[-1]: (TensorProto.FLOAT, _nchw(net.layers[-1].shape))}
    )


def _nchw(shape: tuple[int, ...]) -> list[int]:
    return [shape[axis] for axis in (0, 3, 1, 2)] if len(shape) == 4 else list(shape)


def _onnx_layer(made: _Onnx, net: Network, layer: Layer, inputs: list[str], int8: bool) -> str:
    if layer.kind == "add":
        return made.node("Add", *inputs)
    if layer.kind == "softmax":
        return made.node("Softmax", *inputs, axis=-1)
    if layer.kind == "mean":
        pooled = made.node("GlobalAveragePool", *inputs)
        return made.node("Flatten", pooled)
    weights, bias = _onnx_constants(made, net, layer, int8)
    if layer.kind == "dense":
        return made.node("Gemm", *inputs, weights, bias, transB=1)
    assert layer.weights is not None
    kernel, channels = layer.weights.shape[1], layer.weights.shape[3]
    return made.node(
        "Conv",
        *inputs,
        weights,
        bias,
        auto_pad="SAME_UPPER",
        kernel_shape=[kernel, kernel],
        strides=[layer.stride, layer.stride],
        group=channels if layer.kind == "depthwise" else 1,
    )


def _onnx_constants(made: _Onnx, net: Network, layer: Layer, int8: bool) -> tuple[str, str]:
    assert layer.weights is not None
    assert layer.bias is not None
    order = {"conv": (0, 3, 1, 2), "depthwise": (3, 0, 1, 2)}.get(layer.kind, (0, 1))
    if not int8:
        return made.constant(layer.weights.transpose(order).copy()), made.constant(layer.bias)
    stored, scales, _ = quantise_weights(layer)
    single = len(scales) == 1
    shaped = scales[0] if single else scales
    axis = {} if single else {"axis": 0}
    weights = made.node(
        "DequantizeLinear",
        made.constant(stored.transpose(order).copy()),
        made.constant(np.asarray(shaped)),
        made.constant(np.zeros(np.shape(shaped), np.int8)),
        **axis,
    )
    bias_scales = scales * np.float32(affine(net.range(layer.inputs[0]))[0])
    bias = made.node(
        "DequantizeLinear",
        made.constant(np.round(layer.bias / bias_scales).astype(np.int32)),
        made.constant(np.asarray(bias_scales[0] if single else bias_scales)),
        made.constant(np.zeros(np.shape(shaped), np.int32)),
        **axis,
    )
    return weights, bias


def transformer(
    layers: int = 6, hidden: int = 256, heads: int = 4, tokens: int = 128, words: int = 1000
) -> bytes:
    """A BERT-like encoder in float32, as exporters write it: Gather, MatMul, Softmax, Erf."""
    made, random = _Onnx(), np.random.default_rng(0)

    def weights(*shape: int) -> str:
        return made.constant(random.normal(0, 0.05, shape).astype(np.float32))

    def linear(x: str, wide: int, out: int) -> str:
        return made.node("Add", made.node("MatMul", x, weights(wide, out)), weights(out))

    def normalise(x: str) -> str:
        scale = made.constant(np.float32(1 + random.normal(0, 0.05, hidden)))
        return made.node("LayerNormalization", x, scale, weights(hidden), axis=-1, epsilon=1e-12)

    def split(x: str, order: list[int]) -> str:
        shape = made.constant(np.int64([1, tokens, heads, hidden // heads]))
        return made.node("Transpose", made.node("Reshape", x, shape), perm=order)

    def attention(x: str) -> str:
        query = split(linear(x, hidden, hidden), [0, 2, 1, 3])
        key = split(linear(x, hidden, hidden), [0, 2, 3, 1])
        value = split(linear(x, hidden, hidden), [0, 2, 1, 3])
        scale = made.constant(np.float32(np.sqrt(hidden / heads)))
        scores = made.node("Div", made.node("MatMul", query, key), scale)
        mixed = made.node("MatMul", made.node("Softmax", scores, axis=-1), value)
        whole = made.constant(np.int64([1, tokens, hidden]))
        joined = made.node("Reshape", made.node("Transpose", mixed, perm=[0, 2, 1, 3]), whole)
        return linear(joined, hidden, hidden)

    def gelu(x: str) -> str:
        root, one, half = (made.constant(np.float32(v)) for v in (np.sqrt(2), 1, 0.5))
        erf = made.node("Erf", made.node("Div", x, root))
        return made.node("Mul", made.node("Mul", x, made.node("Add", erf, one)), half)

    table = made.constant(random.normal(0, 1, (words, hidden)).astype(np.float32))
    x = made.node("Gather", table, "tokens", axis=0)
    x = normalise(made.node("Add", x, weights(1, tokens, hidden)))
    for _ in range(layers):
        x = normalise(made.node("Add", x, attention(x)))
        x = normalise(
            made.node("Add", x, linear(gelu(linear(x, hidden, 4 * hidden)), 4 * hidden, hidden))
        )
    info = helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, tokens])
    return made.model("transformer", [info], {x: (TensorProto.FLOAT, [1, tokens, hidden])})


def write(net: Network, folder: Path) -> list[Path]:
    """The network's four files: ``<name>_f32.tflite``, ``.onnx`` and ``<name>_int8…``."""
    paths = []
    for int8 in (False, True):
        stem = f"{net.name}_{'int8' if int8 else 'f32'}"
        for suffix, convert in ((".tflite", to_tflite), (".onnx", to_onnx)):
            path = folder / f"{stem}{suffix}"
            path.write_bytes(convert(net, int8=int8))
            paths.append(path)
    return paths


GEMM_SIZES = (64, 256, 512, 1024)
GEMV_SIZES = (64, 256, 1024, 2048)


def main() -> None:
    """Write the set that the benchmarks measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for make in (mobilenet_v1, mobilenet_v2):
        for pixels in (96, 160, 224):
            write(make(pixels), folder)
    for n in GEMM_SIZES:
        write(gemm(n, n, n), folder)
    for n in GEMV_SIZES:
        write(gemm(1, n, n), folder)
    (folder / "transformer.onnx").write_bytes(transformer())


if __name__ == "__main__":
    main()
