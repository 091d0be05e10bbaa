# SPDX-License-Identifier: Apache-2.0
"""ONNX operators that are several of ours: logic, the rarer activations, norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgebuild.kernels.onnx_reader import OnnxNode
from edgebuild.kernels.shapes import normal_axis

Converter = Callable[[OnnxNode], None]


def _truth(o: OnnxNode, value: bool) -> str:
    return o.builder.constant(f"{o.outputs[0]}/truth", np.array(value))


def _and(o: OnnxNode) -> None:
    o.result("select", [o.name(0), o.name(1), _truth(o, False)], dtype="bool")


def _or(o: OnnxNode) -> None:
    o.result("select", [o.name(0), _truth(o, True), o.name(1)], dtype="bool")


def _xor(o: OnnxNode) -> None:
    o.result("select", [o.name(0), o.emit("not", [o.name(1)]), o.name(1)], dtype="bool")


def _is_nan(o: OnnxNode) -> None:
    """What is neither below 1 nor above 0; comparing x with itself invites a simplifier."""
    below = o.emit("less", [o.name(0), o.number(1.0)], dtype="bool")
    above = o.emit("greater", [o.name(0), o.number(0.0)], dtype="bool")
    some = o.emit("select", [below, _truth(o, True), above], dtype="bool")
    o.result("not", [some])


def _softplus_of(o: OnnxNode, x: str) -> str:
    """log(1 + exp(x)), without the overflow: max(x, 0) + log(1 + exp(-|x|))."""
    grown = o.emit("exp", [o.emit("neg", [o.emit("abs", [x])])])
    log = o.emit("log", [o.emit("add", [grown, o.number(1.0)])])
    return o.emit("add", [o.emit("relu", [x]), log])


def _softplus(o: OnnxNode) -> None:
    o.give(_softplus_of(o, o.name(0)))


def _mish(o: OnnxNode) -> None:
    o.result("mul", [o.name(0), o.emit("tanh", [_softplus_of(o, o.name(0))])])


def _softsign(o: OnnxNode) -> None:
    o.result("div", [o.name(0), o.emit("add", [o.emit("abs", [o.name(0)]), o.number(1.0)])])


def _selu(o: OnnxNode) -> None:
    grown = o.emit("elu", [o.name(0)], alpha=float(o.get("alpha", 1.6732632)))
    o.result("mul", [grown, o.number(float(o.get("gamma", 1.0507010)))])


def _celu(o: OnnxNode) -> None:
    """alpha * elu(x / alpha)."""
    alpha = float(o.get("alpha", 1.0))
    small = o.emit("div", [o.name(0), o.number(alpha)])
    o.result("mul", [o.emit("elu", [small], alpha=1.0), o.number(alpha)])


def _swish(o: OnnxNode) -> None:
    alpha = float(o.get("alpha", 1.0))
    x = o.name(0)
    scaled = x if alpha == 1 else o.emit("mul", [x, o.number(alpha)])
    o.result("mul", [x, o.emit("logistic", [scaled])])


def _sign(o: OnnxNode) -> None:
    limits: dict[str, Any] = {"dtype": "bool"}
    above = o.emit("greater", [o.name(0), o.number(0.0)], **limits)
    below = o.emit("less", [o.name(0), o.number(0.0)], **limits)
    negative = o.emit("select", [below, o.number(-1.0), o.number(0.0)], dtype="float32")
    o.result("select", [above, o.number(1.0), negative], dtype="float32")


def _ceil(o: OnnxNode) -> None:
    o.result("neg", [o.emit("floor", [o.emit("neg", [o.name(0)])])])


def _log_softmax(o: OnnxNode) -> None:
    """x - max - log(sum(exp(x - max)))."""
    axis = normal_axis(o.get("axis", -1), len(o.shape(0)))
    over: dict[str, Any] = {"axes": (axis,), "keep_dims": True}
    low = o.emit("sub", [o.name(0), o.emit("reduce_max", [o.name(0)], **over)])
    total = o.emit("sum", [o.emit("exp", [low])], **over)
    o.result("sub", [low, o.emit("log", [total])])


def _norm(first: str, last: str) -> Converter:
    """A sum of squares or of sizes, and what is done with it."""

    def convert(o: OnnxNode) -> None:
        keep = bool(o.get("keepdims", 1))
        sizes = o.emit(first, [o.name(0)])
        total = o.emit("sum", [sizes], axes=o.reduced_axes(), keep_dims=keep)
        o.give(o.emit(last, [total]) if last else total)

    return convert


def _lp_norm(o: OnnxNode) -> None:
    """x / norm along one axis; what has no length stays 0."""
    axis = normal_axis(o.get("axis", -1), len(o.shape(0)))
    kind = {1: "abs", 2: "square"}.get(int(o.get("p", 2)))
    if kind is None:
        raise o.unsupported("of that order")
    total = o.emit("sum", [o.emit(kind, [o.name(0)])], axes=(axis,), keep_dims=True)
    none = o.emit("equal", [total, o.number(0.0)], dtype="bool")
    safe = o.emit("select", [none, o.number(1.0), total], dtype="float32")
    o.result("div", [o.name(0), o.emit("sqrt", [safe]) if kind == "square" else safe])


def _group_norm(o: OnnxNode) -> None:
    """Each group of channels (InstanceNormalization: each channel) normalised over its image."""
    shape = o.shape(0)
    alone = o.kind == "InstanceNormalization"
    groups = shape[1] if alone else int(o.attributes["num_groups"])
    flat = o.emit("reshape", [o.name(0)], shape=(shape[0], groups, -(-shape[1] // groups),
                                                 *shape[2:]))  # fmt: skip
    over: dict[str, Any] = {"axes": tuple(range(2, len(shape) + 1)), "keep_dims": True}
    centred = o.emit("sub", [flat, o.emit("mean", [flat], **over)])
    variance = o.emit("mean", [o.emit("square", [centred])], **over)
    epsilon = o.number(float(o.get("epsilon", 1e-5)))
    root = o.emit("sqrt", [o.emit("add", [variance, epsilon])])
    normal = o.emit("reshape", [o.emit("div", [centred, root])], shape=shape)
    per_channel = (-1,) + (1,) * (len(shape) - 2)
    for number, kind in ((1, "mul"), (2, "add")):
        data = o.constant(number).astype(np.float32)
        if data.size == groups != shape[1]:
            data = np.repeat(data, shape[1] // groups)
        vector = o.builder.constant(f"{o.outputs[0]}/{kind}", data.reshape(per_channel))
        normal = o.emit(kind, [normal, vector])
    o.give(normal)


CONVERTERS: dict[str, Converter] = {
    "And": _and, "Or": _or, "Xor": _xor, "IsNaN": _is_nan, "Softplus": _softplus, "Mish": _mish,
    "Softsign": _softsign, "Selu": _selu, "Celu": _celu, "Swish": _swish, "Sign": _sign,
    "Ceil": _ceil, "LogSoftmax": _log_softmax, "ReduceL1": _norm("abs", ""),
    "ReduceL2": _norm("square", "sqrt"), "ReduceSumSquare": _norm("square", ""),
    "LpNormalization": _lp_norm, "InstanceNormalization": _group_norm,
    "GroupNormalization": _group_norm,
}  # fmt: skip
