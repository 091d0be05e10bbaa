# SPDX-License-Identifier: Apache-2.0
"""ONNX operators as graph operators, one small function each.

Semantics: https://onnx.ai/onnx/operators/ for opsets 13 and newer (``onnx_old``: before).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from edgebuild.errors.kernels import MODEL_MALFORMED
from edgebuild.kernels import (
    onnx_algebra,
    onnx_attention,
    onnx_composed,
    onnx_images,
    onnx_indices,
    onnx_qoperators,
    onnx_quantised,
    onnx_recurrent,
)
from edgebuild.kernels.onnx_reader import OnnxNode, data_type, packed
from edgebuild.kernels.shapes import normal_axis
from edgebuild.model.graph import DTYPES

Converter = Callable[[OnnxNode], None]


def _unary(kind: str) -> Converter:
    def convert(o: OnnxNode) -> None:
        o.result(kind, [o.name(0)])

    return convert


def _binary(kind: str, dtype: str | None = None) -> Converter:
    def convert(o: OnnxNode) -> None:
        o.result(kind, [o.name(0), o.name(1)], dtype=dtype)

    return convert


def _fold_left(kind: str) -> Converter:
    """Max, Min and Sum take any number of inputs."""

    def convert(o: OnnxNode) -> None:
        value = o.name(0)
        for name in o.names()[1:]:
            value = o.emit(kind, [value, name])
        o.give(value)

    return convert


def _constant(o: OnnxNode) -> None:
    for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if key in o.attributes:
            value = np.asarray(o.attributes[key])
            if key != "value":
                value = value.astype(np.float32 if "float" in key else np.int64)
            o.give(o.builder.constant(o.outputs[0], value))
            return
    raise o.unsupported("holds text")


def _constant_of_shape(o: OnnxNode) -> None:
    shape = o.integers(0) or []
    value = np.asarray(o.attributes.get("value", np.zeros(1, np.float32))).reshape(-1)[0]
    scalar = o.builder.constant(f"{o.outputs[0]}/value", np.asarray(value))
    o.result("broadcast", [scalar], shape=tuple(shape))


def _shape(o: OnnxNode) -> None:
    shape = list(o.shape(0))[slice(o.get("start", None), o.get("end", None))]
    o.give(o.builder.constant(o.outputs[0], np.array(shape, np.int64)))


def _range(o: OnnxNode) -> None:
    start, limit, delta = (o.constant(number).reshape(-1)[0] for number in range(3))
    if not delta or abs((limit - start) / delta) > 1 << 24:
        raise MODEL_MALFORMED("a range without end", where=o.source)
    values = np.arange(start, limit, delta, dtype=o.constant(0).dtype)
    o.give(o.builder.constant(o.outputs[0], values))


def _cast(o: OnnxNode) -> None:
    dtype = data_type(int(o.attributes["to"]), o.outputs[0])
    if dtype == o.tensor(0).dtype:
        o.give(o.name(0))
        return
    o.result("cast", [o.name(0)], dtype=dtype)


def _identity(o: OnnxNode) -> None:
    o.give(o.name(0))


def _dropout(o: OnnxNode) -> None:
    """Nothing is dropped: exporters keep the node, some even in its training mode."""
    if o.has(2) and (o.tensor(2).data is None or o.constant(2).any()):
        o.builder.notes.append("exported in training mode; it is compiled for inference")
    o.give(o.name(0))
    o.give(o.builder.constant(f"{o.outputs[0]}/kept", np.ones(o.shape(0), bool)), 1)


def _clip(o: OnnxNode) -> None:
    """min(max(x, lo), hi): where the limits cross, everything is the upper one."""
    if any(o.has(n) and o.tensor(n).data is None for n in (1, 2)):
        value = o.emit("maximum", [o.name(0), o.name(1)]) if o.has(1) else o.name(0)
        o.give(o.emit("minimum", [value, o.name(2)]) if o.has(2) else value)
        return
    dtype = DTYPES[o.tensor(0).dtype]
    least, most = (-math.inf, math.inf)
    if dtype.kind in "iu":
        least, most = (float(limit) for limit in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    lo = float(o.constant(1).reshape(-1)[0]) if o.has(1) else least
    hi = float(o.constant(2).reshape(-1)[0]) if o.has(2) else most
    o.result("clip", [o.name(0)], lo=min(lo, hi), hi=hi)


def _with_alpha(kind: str, default: float) -> Converter:
    def convert(o: OnnxNode) -> None:
        o.result(kind, [o.name(0)], alpha=float(o.get("alpha", default)))

    return convert


def _hard_sigmoid(o: OnnxNode) -> None:
    o.result("hard_sigmoid", [o.name(0)], alpha=float(o.get("alpha", 0.2)),
             beta=float(o.get("beta", 0.5)))  # fmt: skip


def _gelu(o: OnnxNode) -> None:
    o.result("gelu", [o.name(0)], approximate=o.get("approximate", "none") == "tanh")


def _prelu(o: OnnxNode) -> None:
    o.result("prelu", [o.name(0), o.name(1)])


def _reciprocal(o: OnnxNode) -> None:
    one = o.builder.constant(f"{o.outputs[0]}/one", np.array(1, DTYPES[o.tensor(0).dtype]))
    o.result("div", [one, o.name(0)])


def _compare(kind: str, negated: bool = False) -> Converter:
    """LessOrEqual is not Greater, and so on (they differ for NaN alone)."""

    def convert(o: OnnxNode) -> None:
        if not negated:
            o.result(kind, [o.name(0), o.name(1)], dtype="bool")
            return
        o.result("not", [o.emit(kind, [o.name(0), o.name(1)], dtype="bool")])

    return convert


def _select(o: OnnxNode) -> None:
    o.result("select", [o.name(0), o.name(1), o.name(2)], dtype=o.tensor(1).dtype)


def _matmul(o: OnnxNode) -> None:
    left, right = o.tensor(0), o.tensor(1)
    if right.data is not None and len(right.shape) == 2 and len(left.shape) >= 1:
        weights = packed(o, 1, right.data.T, "transposed", 0)
        o.result("dense", [left.name, weights])
        return
    if min(len(left.shape), len(right.shape)) < 2:
        onnx_algebra.matmul_of_vectors(o)
        return
    o.result("matmul", [left.name, right.name], transpose_left=False, transpose_right=False)


def _gemm(o: OnnxNode) -> None:
    """alpha * A * B + beta * C; with a constant B this is a dense layer."""
    alpha, beta = float(o.get("alpha", 1.0)), float(o.get("beta", 1.0))
    left, right = o.name(0), o.tensor(1)
    if o.get("transA", 0):
        left = o.emit("transpose", [left], perm=(1, 0))
    if right.data is None:
        product = o.emit("matmul", [left, right.name], transpose_left=False,
                         transpose_right=bool(o.get("transB", 0)))  # fmt: skip
    else:
        data = right.data if o.get("transB", 0) else right.data.T
        scaled = (data * np.float32(alpha)).astype(data.dtype) if alpha != 1 else data
        alpha = 1.0
        product = o.emit("dense", [left, packed(o, 1, scaled, "packed", 0)])
    product = _scaled(o, product, alpha)
    if o.has(2):
        product = o.emit("add", [product, _scaled(o, o.name(2), beta)])
    o.give(product)


def _scaled(o: OnnxNode, name: str, factor: float) -> str:
    if factor == 1:
        return name
    number = o.builder.constant(f"{name}/factor", np.array(factor, np.float32))
    return o.emit("mul", [name, number])


def _softmax(o: OnnxNode) -> None:
    rank = len(o.shape(0))
    axis = normal_axis(o.get("axis", -1), rank)
    if axis == rank - 1:
        o.result("softmax", [o.name(0)], beta=1.0)
        return
    perm = [d for d in range(rank) if d != axis] + [axis]
    moved = o.emit("transpose", [o.name(0)], perm=tuple(perm))
    inverse = tuple(perm.index(d) for d in range(rank))
    o.result("transpose", [o.emit("softmax", [moved], beta=1.0)], perm=inverse)


def _reduce(kind: str) -> Converter:
    def convert(o: OnnxNode) -> None:
        if not o.integers(1, "axes") and o.get("noop_with_empty_axes", 0):
            o.give(o.name(0))
            return
        keep = bool(o.get("keepdims", 1))
        o.result(kind, [o.name(0)], axes=o.reduced_axes(), keep_dims=keep)

    return convert


def _reshape(o: OnnxNode) -> None:
    wanted, have = o.integers(1) or [], o.shape(0)
    shape = [have[d] if n == 0 and not o.get("allowzero", 0) else n for d, n in enumerate(wanted)]
    known = prod(n for n in shape if n != -1)
    if -1 in shape:
        shape[shape.index(-1)] = prod(have) // known if known else 0
    o.result("reshape", [o.name(0)], shape=tuple(shape))


def _flatten(o: OnnxNode) -> None:
    have = o.shape(0)
    axis = o.get("axis", 1)
    axis = axis + len(have) if axis < 0 else axis
    o.result("reshape", [o.name(0)], shape=(prod(have[:axis]), prod(have[axis:])))


def _squeeze(o: OnnxNode) -> None:
    have = o.shape(0)
    axes = o.integers(1, "axes")
    drop = {normal_axis(a, len(have)) for a in axes} if axes else {
        d for d, n in enumerate(have) if n == 1
    }  # fmt: skip
    o.result("reshape", [o.name(0)], shape=tuple(n for d, n in enumerate(have) if d not in drop))


def _unsqueeze(o: OnnxNode) -> None:
    have = list(o.shape(0))
    axes = o.integers(1, "axes") or []
    for axis in sorted(normal_axis(a, len(have) + len(axes)) for a in axes):
        have.insert(axis, 1)
    o.result("reshape", [o.name(0)], shape=tuple(have))


def _transpose(o: OnnxNode) -> None:
    rank = len(o.shape(0))
    perm = o.get("perm", list(range(rank))[::-1])
    o.result("transpose", [o.name(0)], perm=tuple(int(axis) for axis in perm))


def _concat(o: OnnxNode) -> None:
    rank = len(o.shape(0))
    o.result("concat", o.names(), axis=normal_axis(o.attributes["axis"], rank))


def _split(o: OnnxNode) -> None:
    shape = o.shape(0)
    axis = normal_axis(o.get("axis", 0), len(shape))
    part = -(-shape[axis] // len(o.outputs))
    sizes = o.integers(1, "split") or [part] * (len(o.outputs) - 1) + [
        shape[axis] - part * (len(o.outputs) - 1)
    ]
    if len(sizes) != len(o.outputs) or sum(sizes) != shape[axis]:
        raise MODEL_MALFORMED(f"{list(shape)} split into {sizes}", where=o.source)
    begin = 0
    for number, size in enumerate(sizes):
        starts = tuple(begin if d == axis else 0 for d in range(len(shape)))
        extents = tuple(size if d == axis else n for d, n in enumerate(shape))
        name = o.builder.emit("slice", [o.name(0)], o.outputs[number], o.source, begin=starts,
                              size=extents, stride=(1,) * len(shape))  # fmt: skip
        o.give(name, number)
        begin += size


def _slice(o: OnnxNode) -> None:
    shape = o.shape(0)
    starts, ends = o.integers(1) or [], o.integers(2) or []
    axes = o.integers(3) if o.has(3) else list(range(len(starts)))
    steps = o.integers(4) if o.has(4) else [1] * len(starts)
    begin, size, stride = [0] * len(shape), list(shape), [1] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes or [], steps or [], strict=True):
        d = normal_axis(axis, len(shape))
        first, _, _ = bounds = slice(start, _end(end, step), step).indices(shape[d])
        begin[d], size[d], stride[d] = first, len(range(*bounds)), step
    o.result("slice", [o.name(0)], begin=tuple(begin), size=tuple(size), stride=tuple(stride))


def _end(end: int, step: int) -> int | None:
    """ONNX writes "to the very beginning" of a backward slice as a huge negative number."""
    return None if step < 0 and end < -(1 << 30) else end


def _gather(o: OnnxNode) -> None:
    axis = normal_axis(o.get("axis", 0), len(o.shape(0)))
    o.result("gather", [o.name(0), o.name(1)], axis=axis)


def _expand(o: OnnxNode) -> None:
    shape = np.broadcast_shapes(o.shape(0), tuple(o.integers(1) or []))
    o.result("broadcast", [o.name(0)], shape=tuple(shape))


def _pad(o: OnnxNode) -> None:
    rank = len(o.shape(0))
    pads = o.integers(1) or []
    if min(pads, default=0) < 0:
        raise o.unsupported("that cuts")
    axes = o.integers(3) if o.has(3) else list(range(rank))
    before, after = [0] * rank, [0] * rank
    for number, axis in enumerate(axes or []):
        d = normal_axis(axis, rank)
        before[d], after[d] = pads[number], pads[number + len(axes or [])]
    if o.get("mode", "constant") != "constant":
        onnx_images.mirrored(o, before, after)
        return
    value = float(o.constant(2).reshape(-1)[0]) if o.has(2) else 0.0
    o.result("pad", [o.name(0)], before=tuple(before), after=tuple(after), value=value)


def _global_reduce(kind: str) -> Converter:
    def convert(o: OnnxNode) -> None:
        axes = tuple(range(2, len(o.shape(0))))
        o.result(kind, [o.name(0)], axes=axes, keep_dims=True)

    return convert


def _batch_norm(o: OnnxNode) -> None:
    """scale * (x - mean) / sqrt(variance + epsilon) + offset, as one product and one sum."""
    scale, offset, mean, variance = (o.constant(n).astype(np.float64) for n in range(1, 5))
    factor = scale / np.sqrt(variance + float(o.get("epsilon", 1e-5)))
    shape = (-1,) + (1,) * (len(o.shape(0)) - 2)
    constants: list[Any] = [factor, offset - mean * factor]
    names = [
        o.builder.constant(f"{o.outputs[0]}/{n}", c.astype(np.float32).reshape(shape))
        for n, c in enumerate(constants)
    ]
    o.result("add", [o.emit("mul", [o.name(0), names[0]]), names[1]])


CONVERTERS: dict[str, Converter] = {
    "Add": _binary("add"), "Sub": _binary("sub"), "Mul": _binary("mul"), "Div": _binary("div"),
    "Pow": _binary("pow"), "Max": _fold_left("maximum"), "Min": _fold_left("minimum"),
    "Sum": _fold_left("add"), "Relu": _unary("relu"), "Sigmoid": _unary("logistic"),
    "Tanh": _unary("tanh"), "Exp": _unary("exp"), "Log": _unary("log"), "Sqrt": _unary("sqrt"),
    "Neg": _unary("neg"), "Abs": _unary("abs"), "Erf": _unary("erf"), "Floor": _unary("floor"),
    "HardSwish": _unary("hard_swish"), "Not": _unary("not"),
    "LeakyRelu": _with_alpha("leaky_relu", 0.01), "Elu": _with_alpha("elu", 1.0),
    "HardSigmoid": _hard_sigmoid, "Gelu": _gelu, "PRelu": _prelu, "Reciprocal": _reciprocal,
    "Clip": _clip, "Equal": _compare("equal"), "Less": _compare("less"),
    "Greater": _compare("greater"), "LessOrEqual": _compare("greater", negated=True),
    "GreaterOrEqual": _compare("less", negated=True), "Where": _select,
    "MatMul": _matmul, "Gemm": _gemm, "Softmax": _softmax,
    "ReduceMean": _reduce("mean"), "ReduceSum": _reduce("sum"),
    "ReduceMax": _reduce("reduce_max"), "ReduceMin": _reduce("reduce_min"),
    "GlobalAveragePool": _global_reduce("mean"), "GlobalMaxPool": _global_reduce("reduce_max"),
    "BatchNormalization": _batch_norm, "Reshape": _reshape, "Flatten": _flatten,
    "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Transpose": _transpose, "Concat": _concat,
    "Split": _split, "Slice": _slice, "Gather": _gather, "Expand": _expand, "Pad": _pad,
    "Identity": _identity, "Dropout": _dropout, "Constant": _constant,
    "ConstantOfShape": _constant_of_shape, "Shape": _shape, "Range": _range, "Cast": _cast,
    **onnx_algebra.CONVERTERS,
    **onnx_attention.CONVERTERS,
    **onnx_composed.CONVERTERS,
    **onnx_images.CONVERTERS,
    **onnx_indices.CONVERTERS,
    **onnx_qoperators.CONVERTERS,
    **onnx_quantised.CONVERTERS,
    **onnx_recurrent.CONVERTERS,
}  # fmt: skip
