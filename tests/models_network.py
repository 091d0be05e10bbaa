# SPDX-License-Identifier: Apache-2.0
"""Networks as lists of layers with weights, in no file format."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

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
