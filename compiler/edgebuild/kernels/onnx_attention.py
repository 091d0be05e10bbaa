# SPDX-License-Identifier: Apache-2.0
"""Attention as one ONNX operator (opset 23), and what ONNX Runtime fuses for encoders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgebuild.kernels.onnx_reader import OnnxNode

Converter = Callable[[OnnxNode], None]


def _heads(o: OnnxNode, number: int, attribute: str) -> str:
    """(batch, length, heads * size) as (batch, heads, length, size)."""
    shape = o.shape(number)
    if len(shape) == 4:
        return o.name(number)
    heads = int(o.attributes[attribute])
    split = o.emit("reshape", [o.name(number)],
                   shape=(shape[0], shape[1], heads, shape[2] // heads))  # fmt: skip
    return o.emit("transpose", [split], perm=(0, 2, 1, 3))


def _attention(o: OnnxNode) -> None:
    """softmax(Q K^T * scale + mask) V; the cache of keys and values comes first in both."""
    if "num_heads" in o.attributes:
        raise o.unsupported("as ONNX Runtime's optimiser packs it")
    if o.has(6) or any(o.outputs[3:]):
        raise o.unsupported("with lengths or its inner values")
    q, k, v = (
        _heads(o, n, name) for n, name in enumerate(("q_num_heads", "kv_num_heads", "kv_num_heads"))
    )
    past = o.shape(4)[2] if o.has(4) else 0
    if o.has(4) and o.has(5):
        k, v = (o.emit("concat", [o.name(n), new], axis=2) for n, new in ((4, k), (5, v)))
    o.give(k, 1)
    o.give(v, 2)
    k, v = (_shared(o, name, o.builder.tensors[q].shape[1]) for name in (k, v))
    shape, keys = o.builder.tensors[q].shape, o.builder.tensors[k].shape
    scale = float(o.get("scale", 1 / np.sqrt(shape[-1])))
    scores = o.emit("matmul", [q, k], transpose_left=False, transpose_right=True)
    scores = _capped(o, o.emit("mul", [scores, o.number(scale)]))
    value = o.emit("matmul", [_weights(o, scores, (shape[2], keys[2]), past), v],
                   transpose_left=False, transpose_right=False)  # fmt: skip
    if len(o.shape(0)) == 4:
        o.give(value)
        return
    together = o.emit("transpose", [value], perm=(0, 2, 1, 3))
    n, length, heads, size = o.builder.tensors[together].shape
    o.result("reshape", [together], shape=(n, length, heads * size))


def _shared(o: OnnxNode, name: str, heads: int) -> str:
    """Keys or values, each head of which serves several of the queries'."""
    n, own, length, size = o.builder.tensors[name].shape
    if own == heads:
        return name
    split = o.emit("reshape", [name], shape=(n, own, 1, length, size))
    wide = o.emit("broadcast", [split], shape=(n, own, heads // own, length, size))
    return o.emit("reshape", [wide], shape=(n, heads, length, size))


def _capped(o: OnnxNode, scores: str) -> str:
    """Within plus and minus ``softcap``, smoothly."""
    cap = float(o.get("softcap", 0.0))
    if not cap:
        return scores
    small = o.emit("tanh", [o.emit("div", [scores, o.number(cap)])])
    return o.emit("mul", [small, o.number(cap)])


def _weights(o: OnnxNode, scores: str, extents: tuple[int, int], past: int) -> str:
    """The softmax of the scores under masks; a query that may look at nothing gets 0."""
    queries, keys = extents
    never = o.number(-np.inf)
    hidden = False
    if o.has(3):
        mask = o.name(3)
        if o.tensor(3).dtype == "bool":
            mask = o.emit("select", [mask, o.number(0.0), never], dtype="float32")
            known = o.tensor(3).data
            hidden = known is None or not known.any(-1).all() or bool(o.get("is_causal", 0))
        scores = o.emit("add", [scores, mask])
    if o.get("is_causal", 0):
        seen = o.builder.constant(f"{o.outputs[0]}/seen", np.tri(queries, keys, past, dtype=bool))
        scores = o.emit("select", [seen, scores, never], dtype="float32")
    weights = o.emit("softmax", [scores], beta=1.0)
    if not hidden:
        return weights
    most = o.emit("reduce_max", [scores], axes=(3,), keep_dims=True)
    some = o.emit("greater", [most, never], dtype="bool")
    return o.emit("select", [some, weights, o.number(0.0)], dtype="float32")


def _gelu(approximate: bool) -> Converter:
    """FastGelu, BiasGelu and Gelu of ONNX Runtime; the second input is a bias."""

    def convert(o: OnnxNode) -> None:
        x = o.emit("add", [o.name(0), o.name(1)]) if o.has(1) else o.name(0)
        o.result("gelu", [x], approximate=approximate)

    return convert


def _quick_gelu(o: OnnxNode) -> None:
    alpha = o.builder.constant(
        f"{o.outputs[0]}/alpha", np.array(float(o.get("alpha", 1.702)), np.float32)
    )
    gate = o.emit("logistic", [o.emit("mul", [o.name(0), alpha])])
    o.result("mul", [o.name(0), gate])


def _skip_layer_norm(o: OnnxNode) -> None:
    """LayerNormalization of input + skip (+ bias); the sum may be an output of its own."""
    total = o.emit("add", [o.name(0), o.name(1)])
    if o.has(4):
        total = o.emit("add", [total, o.name(4)])
    offset = o.name(3) if o.has(3) else o.builder.constant(
        f"{o.outputs[0]}/offset", np.zeros(o.shape(0)[-1], np.float32))  # fmt: skip
    o.result("layer_norm", [total, o.name(2), offset], epsilon=float(o.get("epsilon", 1e-12)))
    o.give(total, 3)


def _fused_matmul(o: OnnxNode) -> None:
    if o.get("transBatchA", 0) or o.get("transBatchB", 0):
        raise o.unsupported("with its batch transposed")
    product = o.emit("matmul", [o.name(0), o.name(1)], transpose_left=bool(o.get("transA", 0)),
                     transpose_right=bool(o.get("transB", 0)))  # fmt: skip
    alpha = float(o.get("alpha", 1.0))
    number = o.builder.constant(f"{o.outputs[0]}/alpha", np.array(alpha, np.float32))
    o.give(product if alpha == 1 else o.emit("mul", [product, number]))


CONVERTERS: dict[str, Converter] = {
    "Attention": _attention,
    "FastGelu": _gelu(True),
    "BiasGelu": _gelu(False),
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_layer_norm,
    "FusedMatMul": _fused_matmul,
}
