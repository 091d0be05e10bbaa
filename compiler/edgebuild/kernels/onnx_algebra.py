# SPDX-License-Identifier: Apache-2.0
"""ONNX: sums over named axes, products with vectors, norms, rounding, one-hot rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from edgebuild.errors.kernels import MODEL_MALFORMED
from edgebuild.kernels.onnx_reader import OnnxNode
from edgebuild.kernels.shapes import normal_axis
from edgebuild.model.graph import DTYPES

Converter = Callable[[OnnxNode], None]


def _einsum(o: OnnxNode) -> None:
    """One operand: a sum and a permutation; two: a product of matrices between permutations."""
    equation = str(o.attributes["equation"]).replace(" ", "")
    said, arrow, out = equation.partition("->")
    terms = said.split(",")
    letters = "".join(terms)
    if not arrow:
        out = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    if "." in equation or len(terms) > 2 or any(len(set(t)) < len(t) for t in (*terms, out)):
        raise o.unsupported(f"of the form {equation}")
    if len(terms) != len(o.inputs) or not set(out) <= set(letters):
        raise MODEL_MALFORMED(f"{o.kind} of the form {equation}", where=o.source)
    sizes: dict[str, int] = {}
    for number, term in enumerate(terms):
        if len(term) != len(o.shape(number)):
            raise MODEL_MALFORMED(f"{term} for {list(o.shape(number))}", where=o.source)
        for letter, size in zip(term, o.shape(number), strict=True):
            if sizes.setdefault(letter, size) != size:
                raise MODEL_MALFORMED(f"two sizes of {letter}", where=o.source)
    values = [
        _summed(o, o.name(n), term, [c for c in term if c in out or letters.count(c) > 1])
        for n, term in enumerate(terms)
    ]
    if len(terms) == 1:
        value, have = values[0]
    else:
        value, have = _product(o, values, out, sizes)
    o.give(_ordered(o, value, have, list(out)))


def _summed(o: OnnxNode, value: str, term: str, kept: list[str]) -> tuple[str, list[str]]:
    axes = tuple(axis for axis, letter in enumerate(term) if letter not in kept)
    if axes:
        value = o.emit("sum", [value], axes=axes, keep_dims=False)
    return value, kept


def _ordered(o: OnnxNode, value: str, have: list[str], want: list[str]) -> str:
    perm = tuple(have.index(letter) for letter in want)
    return value if perm == tuple(range(len(perm))) else o.emit("transpose", [value], perm=perm)


def _product(
    o: OnnxNode, values: list[tuple[str, list[str]]], out: str, sizes: dict[str, int]
) -> tuple[str, list[str]]:
    (left, a), (right, b) = values
    batch = [c for c in a if c in b and c in out]
    inner = [c for c in a if c in b and c not in out]
    rows, columns = [c for c in a if c not in b], [c for c in b if c not in a]

    def size(names: Sequence[str]) -> int:
        return prod(sizes[c] for c in names)

    shape = tuple(sizes[c] for c in batch)
    left = o.emit("reshape", [_ordered(o, left, a, [*batch, *rows, *inner])],
                  shape=(*shape, size(rows), size(inner)))  # fmt: skip
    right = o.emit("reshape", [_ordered(o, right, b, [*batch, *inner, *columns])],
                   shape=(*shape, size(inner), size(columns)))  # fmt: skip
    value = o.emit("matmul", [left, right], transpose_left=False, transpose_right=False)
    have = [*batch, *rows, *columns]
    return o.emit("reshape", [value], shape=tuple(sizes[c] for c in have)), have


def matmul_of_vectors(o: OnnxNode) -> None:
    """A vector is a row on the left, a column on the right; its axis of one is dropped again."""
    names, drop = [o.name(0), o.name(1)], []
    shapes = [o.shape(0), o.shape(1)]
    if len(shapes[0]) == 1:
        names[0] = o.emit("reshape", [names[0]], shape=(1, *shapes[0]))
        drop.append(-2)
    if len(shapes[1]) == 1:
        names[1] = o.emit("reshape", [names[1]], shape=(*shapes[1], 1))
        drop.append(-1)
    value = o.emit("matmul", names, transpose_left=False, transpose_right=False)
    shape = o.builder.tensors[value].shape
    kept = tuple(n for d, n in enumerate(shape) if d - len(shape) not in drop)
    o.result("reshape", [value], shape=kept)


def layer_norm(o: OnnxNode) -> None:
    """Over the axes from one on, which become one."""
    x = o.shape(0)
    axis = normal_axis(o.get("axis", -1), len(x))
    if any(o.outputs[1:]):
        raise o.unsupported("that gives its mean")
    inner, value = prod(x[axis:]), o.name(0)
    several = axis != len(x) - 1
    if several:
        value = o.emit("reshape", [value], shape=(*x[:axis], inner))
    scale, offset = (_spread(o, n, x[axis:], several=several) for n in (1, 2))
    epsilon = float(o.get("epsilon", 1e-5))
    value = o.emit("layer_norm", [value, scale, offset], epsilon=epsilon)
    o.give(o.emit("reshape", [value], shape=x) if several else value)


def _spread(o: OnnxNode, number: int, extents: Sequence[int], *, several: bool) -> str:
    """Scale or offset over all the axes; the offset may be absent."""
    if not o.has(number):
        return o.builder.constant(f"{o.outputs[0]}/offset", np.zeros(prod(extents), np.float32))
    if not several:
        return o.name(number)
    wide = np.broadcast_to(o.constant(number), tuple(extents)).reshape(-1)
    return o.builder.constant(f"{o.outputs[0]}/wide", np.array(wide))


def _rms_norm(o: OnnxNode) -> None:
    """x / sqrt(mean(x * x) + epsilon) * scale, over the axes from one on."""
    rank = len(o.shape(0))
    axes = tuple(range(normal_axis(o.get("axis", -1), rank), rank))
    if any(o.outputs[1:]):
        raise o.unsupported("that gives its inner values")
    square = o.emit("square", [o.name(0)])
    mean = o.emit("mean", [square], axes=axes, keep_dims=True)
    root = o.emit("sqrt", [o.emit("add", [mean, o.number(float(o.get("epsilon", 1e-5)))])])
    o.result("mul", [o.emit("div", [o.name(0), root]), o.name(1)])


def _round(o: OnnxNode) -> None:
    """To the nearest whole number, halves to the even one."""
    x = o.name(0)
    low = o.emit("floor", [x])
    rest, half, one = o.emit("sub", [x, low]), o.number(0.5), o.number(1.0)
    high = o.emit("add", [low, one])
    even = o.emit("floor", [o.emit("mul", [high, half])])
    even = o.emit("add", [even, even])
    above = o.emit("greater", [rest, half], dtype="bool")
    below = o.emit("less", [rest, half], dtype="bool")
    other = o.emit("select", [below, low, even], dtype="float32")
    o.result("select", [above, high, other], dtype="float32")


def _one_hot(o: OnnxNode) -> None:
    """``values``: what is off and what is on; an index beyond the depth is on nowhere."""
    depth = int(o.constant(1).reshape(-1)[0])
    shape, kind = o.shape(0), o.tensor(0).dtype
    if not 0 < depth < 1 << 20:
        raise MODEL_MALFORMED(f"{o.kind} of depth {depth}", where=o.source)
    axis = normal_axis(o.get("axis", -1), len(shape) + 1)
    index = o.emit("reshape", [o.name(0)], shape=(*shape[:axis], 1, *shape[axis:]))
    behind = o.emit("add", [index, o.number(depth, kind)])
    negative = o.emit("less", [index, o.number(0, kind)], dtype="bool")
    index = o.emit("select", [negative, behind, index], dtype=kind)
    places = np.arange(depth).astype(DTYPES[kind])
    column = [-1 if d == axis else 1 for d in range(len(shape) + 1)]
    there = o.builder.constant(f"{o.outputs[0]}/places", places.reshape(column))
    on = o.emit("equal", [index, there], dtype="bool")
    off_on = o.constant(2).reshape(-1)
    off, value = (o.builder.constant(f"{o.outputs[0]}/value", np.array(v)) for v in off_on)
    o.result("select", [on, value, off], dtype=off_on.dtype.name)


def _mean(o: OnnxNode) -> None:
    value = o.name(0)
    for name in o.names()[1:]:
        value = o.emit("add", [value, name])
    o.result("div", [value, o.number(len(o.inputs))])


def _cast_like(o: OnnxNode) -> None:
    dtype = o.tensor(1).dtype
    o.give(o.name(0) if o.tensor(0).dtype == dtype else o.emit("cast", [o.name(0)], dtype=dtype))


def _thresholded_relu(o: OnnxNode) -> None:
    limit = o.number(float(o.get("alpha", 1.0)))
    above = o.emit("greater", [o.name(0), limit], dtype="bool")
    o.result("select", [above, o.name(0), o.number(0.0)], dtype="float32")


def _log_of_sum(of_exponentials: bool) -> Converter:
    """log(sum(x)), or log(sum(exp(x))) by way of the largest x."""

    def convert(o: OnnxNode) -> None:
        found = o.reduced_axes()
        if not o.integers(1, "axes") and o.get("noop_with_empty_axes", 0):
            raise o.unsupported("over no axes")
        over: dict[str, Any] = {"axes": found, "keep_dims": True}
        value = o.name(0)
        if of_exponentials:
            most = o.emit("reduce_max", [value], **over)
            value = o.emit("exp", [o.emit("sub", [value, most])])
        total = o.emit("log", [o.emit("sum", [value], **over)])
        total = o.emit("add", [total, most]) if of_exponentials else total
        shape = o.builder.tensors[total].shape
        if not o.get("keepdims", 1):
            shape = tuple(n for d, n in enumerate(shape) if d not in found)
        o.result("reshape", [total], shape=shape)

    return convert


def _lrn(o: OnnxNode) -> None:
    """x / (bias + alpha * mean of squares over neighbouring channels) ** beta."""
    shape, size = o.shape(0), int(o.attributes["size"])
    if len(shape) < 2 or size < 1:
        raise MODEL_MALFORMED(f"{o.kind} of {list(shape)} over {size}", where=o.source)
    before, after = (size - 1) // 2, size // 2
    flat = o.emit("reshape", [o.emit("square", [o.name(0)])],
                  shape=(shape[0], shape[1], prod(shape[2:]), 1))  # fmt: skip
    mean = o.emit("average_pool2d", [flat], kernel=(size, 1), stride=(1, 1),
                  padding=(before, 0, after, 0), count_padding=True)  # fmt: skip
    scaled = o.emit("mul", [o.emit("reshape", [mean], shape=shape),
                            o.number(float(o.get("alpha", 1e-4)))])  # fmt: skip
    base = o.emit("add", [scaled, o.number(float(o.get("bias", 1.0)))])
    power = o.emit("pow", [base, o.number(float(o.get("beta", 0.75)))])
    o.result("div", [o.name(0), power])


CONVERTERS: dict[str, Converter] = {
    "Einsum": _einsum,
    "LayerNormalization": layer_norm,
    "RMSNormalization": _rms_norm,
    "SimplifiedLayerNormalization": _rms_norm,
    "Round": _round,
    "OneHot": _one_hot,
    "Mean": _mean,
    "CastLike": _cast_like,
    "ThresholdedRelu": _thresholded_relu,
    "ReduceLogSum": _log_of_sum(of_exponentials=False),
    "ReduceLogSumExp": _log_of_sum(of_exponentials=True),
    "LRN": _lrn,
}
