# SPDX-License-Identifier: Apache-2.0
"""Networks as lists of layers with weights, in no file format."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LINEAR_RANGE = (-5.0, 5.0)
RELU6_RANGE = (0.0, 6.0)
INPUT_RANGE = (-1.0, 1.0)


# What TensorFlow Lite's kernels insist on: a logistic's and a softmax's results in steps of 1/256.
SHARE_RANGE = (0.0, 255 / 256)


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
    relu: str = ""  # "", "relu" or "relu6"


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
        self,
        value: int,
        channels: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        relu: str = "relu6",
    ) -> int:
        """A convolution with SAME padding; ``kernel`` is a side or height and width."""
        n, h, w, c = self.shape(value)
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        return self._append(
            kind="conv",
            inputs=(value,),
            shape=(n, -(-h // stride), -(-w // stride), channels),
            range=RELU6_RANGE if relu else LINEAR_RANGE,
            weights=self._weights((channels, kh, kw, c), kh * kw * c),
            bias=self._bias(channels),
            stride=stride,
            relu=relu,
        )

    def depthwise(self, value: int, stride: int = 1, kernel: int = 3, relu: str = "relu6") -> int:
        """A depthwise convolution with SAME padding."""
        n, h, w, c = self.shape(value)
        return self._append(
            kind="depthwise",
            inputs=(value,),
            shape=(n, -(-h // stride), -(-w // stride), c),
            range=RELU6_RANGE if relu else LINEAR_RANGE,
            weights=self._weights((1, kernel, kernel, c), kernel * kernel),
            bias=self._bias(c),
            stride=stride,
            relu=relu,
        )

    def dense(self, value: int, features: int, spread: float = 1.0, relu: str = "") -> int:
        """A fully connected layer; results grow with ``spread``."""
        rows, k = self.shape(value)
        return self._append(
            kind="dense",
            inputs=(value,),
            shape=(rows, features),
            range=(LINEAR_RANGE[0] * spread, LINEAR_RANGE[1] * spread),
            weights=self._weights((features, k), k) * np.float32(spread),
            bias=self._bias(features),
            relu=relu,
        )

    def add(self, a: int, b: int, relu: str = "") -> int:
        """A residual addition."""
        limits = RELU6_RANGE if relu else (-7.0, 7.0)
        return self._append(kind="add", inputs=(a, b), shape=self.shape(a), range=limits, relu=relu)

    def mul(self, a: int, b: int) -> int:
        """A product; ``b`` may be one number for each channel."""
        return self._append(kind="mul", inputs=(a, b), shape=self.shape(a), range=self.range(a))

    def mean(self, value: int, keep: bool = False) -> int:
        """The mean over the image, as rows of numbers or, with ``keep``, as an image of 1×1."""
        n, _, _, c = self.shape(value)
        shape = (n, 1, 1, c) if keep else (n, c)
        return self._append(kind="mean", inputs=(value,), shape=shape, range=self.range(value))

    def sigmoid(self, value: int) -> int:
        """The logistic function."""
        shape = self.shape(value)
        return self._append(kind="sigmoid", inputs=(value,), shape=shape, range=SHARE_RANGE)

    def hard_swish(self, value: int) -> int:
        """x · relu6(x + 3) / 6."""
        shape = self.shape(value)
        return self._append(kind="hard_swish", inputs=(value,), shape=shape, range=(-0.375, 5.0))

    def softmax(self, value: int) -> int:
        """Softmax over the last axis."""
        shape = self.shape(value)
        return self._append(kind="softmax", inputs=(value,), shape=shape, range=SHARE_RANGE)


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
