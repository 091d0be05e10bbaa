# SPDX-License-Identifier: Apache-2.0
"""Transformers in float32 as exporters write them to ONNX: Gather, MatMul, Softmax, Erf."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto, helper

from tests.models_onnx import Maker


@dataclass(kw_only=True)
class Encoder:
    """Writes the layers of one encoder; ``tokens`` rows of ``hidden`` numbers."""

    tokens: int
    hidden: int
    heads: int
    made: Maker = field(default_factory=Maker)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def weights(self, *shape: int) -> str:
        """A constant."""
        return self.made.constant(self.random.normal(0, 0.05, shape).astype(np.float32))

    def linear(self, x: str, wide: int, out: int) -> str:
        """x · W + b."""
        product = self.made.node("MatMul", x, self.weights(wide, out))
        return self.made.node("Add", product, self.weights(out))

    def normalise(self, x: str) -> str:
        """Layer normalisation over the last axis."""
        scale = np.float32(1 + self.random.normal(0, 0.05, self.hidden))
        return self.made.node(
            "LayerNormalization",
            *(x, self.made.constant(scale), self.weights(self.hidden)),
            axis=-1,
            epsilon=1e-12,
        )

    def _split(self, x: str, order: list[int]) -> str:
        shape = np.int64([1, self.tokens, self.heads, self.hidden // self.heads])
        parts = self.made.node("Reshape", x, self.made.constant(shape))
        return self.made.node("Transpose", parts, perm=order)

    def attention(self, x: str) -> str:
        """Self-attention with all heads, and the projection after it."""
        made, hidden = self.made, self.hidden
        query = self._split(self.linear(x, hidden, hidden), [0, 2, 1, 3])
        key = self._split(self.linear(x, hidden, hidden), [0, 2, 3, 1])
        value = self._split(self.linear(x, hidden, hidden), [0, 2, 1, 3])
        scale = made.constant(np.float32(np.sqrt(hidden / self.heads)))
        scores = made.node("Div", made.node("MatMul", query, key), scale)
        mixed = made.node("MatMul", made.node("Softmax", scores, axis=-1), value)
        whole = made.constant(np.int64([1, self.tokens, hidden]))
        joined = made.node("Reshape", made.node("Transpose", mixed, perm=[0, 2, 1, 3]), whole)
        return self.linear(joined, hidden, hidden)

    def gelu(self, x: str) -> str:
        """GELU, spelt out."""
        made = self.made
        root, one, half = (made.constant(np.float32(v)) for v in (np.sqrt(2), 1, 0.5))
        erf = made.node("Erf", made.node("Div", x, root))
        return made.node("Mul", made.node("Mul", x, made.node("Add", erf, one)), half)

    def feed_forward(self, x: str) -> str:
        """Four times as wide and back."""
        wide = 4 * self.hidden
        return self.linear(self.gelu(self.linear(x, self.hidden, wide)), wide, self.hidden)


def transformer(
    layers: int = 6, hidden: int = 256, heads: int = 4, tokens: int = 128, words: int = 1000
) -> bytes:
    """A BERT-like encoder: from numbers of words to a row for each."""
    encoder = Encoder(tokens=tokens, hidden=hidden, heads=heads)
    made = encoder.made
    table = made.constant(encoder.random.normal(0, 1, (words, hidden)).astype(np.float32))
    x = made.node("Gather", table, "tokens", axis=0)
    x = encoder.normalise(made.node("Add", x, encoder.weights(1, tokens, hidden)))
    for _ in range(layers):
        x = encoder.normalise(made.node("Add", x, encoder.attention(x)))
        x = encoder.normalise(made.node("Add", x, encoder.feed_forward(x)))
    info = helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, tokens])
    return made.model("transformer", [info], {x: (TensorProto.FLOAT, [1, tokens, hidden])})


def vision_transformer(
    layers: int = 12, hidden: int = 192, heads: int = 3, pixels: int = 224, classes: int = 1000
) -> bytes:
    """ViT-tiny: patches of 16×16, a class token, normalisation before each part."""
    side = pixels // 16
    encoder = Encoder(tokens=side * side + 1, hidden=hidden, heads=heads)
    made = encoder.made
    window = encoder.weights(hidden, 3, 16, 16)
    patches = made.node(
        "Conv", "image", window, encoder.weights(hidden), kernel_shape=[16, 16], strides=[16, 16]
    )
    flat = made.node("Reshape", patches, made.constant(np.int64([1, hidden, side * side])))
    rows = made.node("Transpose", flat, perm=[0, 2, 1])
    x = made.node("Concat", encoder.weights(1, 1, hidden), rows, axis=1)
    x = made.node("Add", x, encoder.weights(1, encoder.tokens, hidden))
    for _ in range(layers):
        x = made.node("Add", x, encoder.attention(encoder.normalise(x)))
        x = made.node("Add", x, encoder.feed_forward(encoder.normalise(x)))
    first = made.node("Gather", encoder.normalise(x), made.constant(np.int64(0)), axis=1)
    answer = encoder.linear(first, hidden, classes)
    info = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, pixels, pixels])
    return made.model("vision", [info], {answer: (TensorProto.FLOAT, [1, classes])})
