# SPDX-License-Identifier: Apache-2.0
"""Element-wise operators: float programs, and TFLite's 8-bit ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgebuild.errors.kernels import TYPE_UNSUPPORTED
from edgebuild.kernels import activation, tables
from edgebuild.kernels.calls import Node, Scalars
from edgebuild.kernels.fixedpoint import quantise_multiplier
from edgebuild.kernels.lowering import Context, Rule, is_quantised, quantisation
from edgebuild.model.graph import Operator, Tensor

_STORED = {"int8": (-128, 127), "uint8": (0, 255)}


def _dequantised(scalars: Scalars, node: Node, tensor: Tensor, operator: Operator) -> Node:
    return scalars.step("dequantise", node, numbers=quantisation(tensor, operator), dtype="float32")


def _quantised(scalars: Scalars, node: Node, tensor: Tensor, operator: Operator) -> Node:
    lo, hi = _STORED[tensor.dtype]
    numbers = (*quantisation(tensor, operator), lo, hi)
    return scalars.step("quantise", node, numbers=numbers, dtype=tensor.dtype)


def _binary_float(function: str) -> Rule:
    """Float arithmetic; int8 operands of functions without an 8-bit form pass through float."""

    def rule(context: Context, operator: Operator) -> None:
        scalars = Scalars()
        y = context.tensor(operator.outputs[0])
        nodes = [context.operand(scalars, name) for name in operator.inputs]
        for number, name in enumerate(operator.inputs):
            if is_quantised(context.tensor(name)):
                nodes[number] = _dequantised(scalars, nodes[number], context.tensor(name), operator)
        comparison = function in ("equal", "less", "greater")
        if function == "squared_difference":
            difference = scalars.step("sub", *nodes)
            node = scalars.step("mul", difference, difference)
        else:
            node = scalars.step(function, *nodes, dtype="bool" if comparison else "")
        if node.dtype == "float32":
            node = activation.apply(scalars, node, activation.of(operator))
        if is_quantised(y):
            node = _quantised(scalars, node, y, operator)
        context.elementwise(scalars, node, y.name, operator)

    return rule


def _arithmetic(function: str, int8: Callable[[Context, Operator], tuple[float, ...]]) -> Rule:
    """A function that TFLite defines for 8-bit operands too."""
    plain = _binary_float(function)

    def rule(context: Context, operator: Operator) -> None:
        tensors = [context.tensor(n) for n in (*operator.inputs, *operator.outputs)]
        if not all(is_quantised(tensor) for tensor in tensors):
            plain(context, operator)
            return
        scalars = Scalars()
        nodes = [context.operand(scalars, name) for name in operator.inputs]
        node = scalars.step(f"{function}_int8", *nodes, numbers=int8(context, operator))
        context.elementwise(scalars, node, operator.outputs[0], operator)

    return rule


LEFT_SHIFT = 20


def _to_one_scale(a: tuple[float, int], b: tuple[float, int]) -> tuple[tuple[float, ...], float]:
    """Zeros and multipliers that take both inputs to twice the larger scale, and that scale."""
    twice = 2 * max(a[0], b[0])
    numbers = (
        a[1], *quantise_multiplier(a[0] / twice),
        b[1], *quantise_multiplier(b[0] / twice),
    )  # fmt: skip
    return numbers, twice


def _sum_numbers(context: Context, operator: Operator) -> tuple[float, ...]:
    """As add.cc's Prepare for int8."""
    a, b, y = (
        quantisation(context.tensor(n), operator) for n in (*operator.inputs, *operator.outputs)
    )
    scaled, twice = _to_one_scale(a, b)
    return (
        *scaled, LEFT_SHIFT, *quantise_multiplier(twice / ((1 << LEFT_SHIFT) * y[0])),
        y[1], *activation.stored_range(operator, *y),
    )  # fmt: skip


def _product_numbers(context: Context, operator: Operator) -> tuple[float, ...]:
    a, b, y = (
        quantisation(context.tensor(n), operator) for n in (*operator.inputs, *operator.outputs)
    )
    # mul.cc computes this in float32
    real = np.float32(a[0]) * np.float32(b[0]) / np.float32(y[0])
    return (
        a[1], b[1], *quantise_multiplier(float(real)),
        y[1], *activation.stored_range(operator, *y),
    )  # fmt: skip


def _difference_numbers(context: Context, operator: Operator) -> tuple[float, ...]:
    """As squared_difference.cc's Prepare for int8: its left shift is 7."""
    a, b, y = (
        quantisation(context.tensor(n), operator) for n in (*operator.inputs, *operator.outputs)
    )
    scaled, twice = _to_one_scale(a, b)
    return (
        *scaled, 7, *quantise_multiplier(twice * twice / ((1 << 14) * y[0])),
        y[1], -128, 127,
    )  # fmt: skip


def _extremum(function: str) -> Rule:
    """Of stored numbers directly when all share one scale."""
    plain = _binary_float(function)

    def rule(context: Context, operator: Operator) -> None:
        names = (*operator.inputs, *operator.outputs)
        if len({context.tensor(name).quantisation for name in names}) > 1:
            plain(context, operator)
            return
        scalars = Scalars()
        nodes = [context.operand(scalars, name) for name in operator.inputs]
        node = scalars.step(function, *nodes)
        context.elementwise(scalars, node, operator.outputs[0], operator)

    return rule


def _float_unary(scalars: Scalars, x: Node, operator: Operator) -> Node:
    """A unary operator as float steps."""
    kind, attributes = operator.kind, operator.attributes
    step, number = scalars.step, scalars.number
    if kind in activation.RANGES:
        return activation.apply(scalars, x, kind)
    if kind == "clip":
        return step("clamp", x, numbers=(attributes["lo"], attributes["hi"]))
    if kind == "square":
        return step("mul", x, x)
    if kind == "hard_swish":
        gate = step("clamp", step("add", x, number(3.0)), numbers=(0.0, 6.0))
        return step("mul", step("mul", x, gate), number(1 / 6))
    if kind == "hard_sigmoid":
        scaled = step("mul", x, number(attributes["alpha"]))
        return step("clamp", step("add", scaled, number(attributes["beta"])), numbers=(0.0, 1.0))
    if kind == "gelu":
        return _gelu(scalars, x, bool(attributes["approximate"]))
    if kind == "leaky_relu":
        scaled = step("mul", x, number(attributes["alpha"]))
        return step("select", step("less", x, number(0.0), dtype="bool"), scaled, x,
                    dtype="float32")  # fmt: skip
    if kind == "elu":
        grown = step("sub", step("exp", x), number(1.0))
        scaled = step("mul", grown, number(attributes["alpha"]))
        return step("select", step("less", x, number(0.0), dtype="bool"), scaled, x,
                    dtype="float32")  # fmt: skip
    return step(kind, x)


def _gelu(scalars: Scalars, x: Node, approximate: bool) -> Node:
    step, number = scalars.step, scalars.number
    if approximate:
        cube = step("mul", step("mul", x, x), x)
        inner = step("add", x, step("mul", cube, number(0.044715)))
        gate = step("tanh", step("mul", inner, number(math.sqrt(2 / math.pi))))
    else:
        gate = step("erf", step("mul", x, number(math.sqrt(0.5))))
    half = step("mul", x, number(0.5))
    return step("mul", half, step("add", gate, number(1.0)))


def unary(context: Context, operator: Operator) -> None:
    x, y = (context.tensor(name) for name in (operator.inputs[0], operator.outputs[0]))
    scalars = Scalars()
    node = context.operand(scalars, x.name)
    if not is_quantised(x):
        context.elementwise(scalars, _float_unary(scalars, node, operator), y.name, operator)
        return
    if operator.kind in activation.RANGES:
        node = _rescaled(context, scalars, node, operator)
    else:
        table = tables.table(operator, quantisation(x, operator), quantisation(y, operator))
        node = scalars.step("lookup", node, scalars.constant(table))
    context.elementwise(scalars, node, y.name, operator)


def _rescaled(context: Context, scalars: Scalars, node: Node, operator: Operator) -> Node:
    """From the input's scale to the output's, within the operator's own range."""
    x, y = (context.tensor(name) for name in (operator.inputs[0], operator.outputs[0]))
    (scale_in, zero_in), (scale_out, zero_out) = (
        quantisation(x, operator),
        quantisation(y, operator),
    )
    lo, hi = _STORED[y.dtype]
    real = scale_in / scale_out
    if operator.kind in activation.RANGES:
        real = float(np.float32(scale_in) / np.float32(scale_out))  # as activations.cc does
        bounds = activation.RANGES[operator.kind]
        lo = max(lo, activation.stored(bounds[0], scale_out, zero_out, lo))
        hi = min(hi, activation.stored(bounds[1], scale_out, zero_out, hi))
    numbers = (zero_in, *quantise_multiplier(real), zero_out, lo, hi)
    return scalars.step("rescale", node, numbers=numbers, dtype=y.dtype)


def quantize(context: Context, operator: Operator) -> None:
    x, y = (context.tensor(name) for name in (operator.inputs[0], operator.outputs[0]))
    if y.dtype not in _STORED:
        raise TYPE_UNSUPPORTED(f"quantisation to {y.dtype}", where=f"operator {operator.source}")
    scalars = Scalars()
    node = context.operand(scalars, x.name)
    if x.dtype == "float32":
        node = _quantised(scalars, node, y, operator)
    else:
        node = _rescaled(context, scalars, node, operator)
    context.elementwise(scalars, node, y.name, operator)


def dequantize(context: Context, operator: Operator) -> None:
    x = context.tensor(operator.inputs[0])
    scalars = Scalars()
    node = context.operand(scalars, x.name)
    if x.quantisation is not None and x.quantisation.axis is None:
        node = _dequantised(scalars, node, x, operator)
    else:
        node = scalars.step("cast", node, dtype="float32")
    context.elementwise(scalars, node, operator.outputs[0], operator)


def cast(context: Context, operator: Operator) -> None:
    scalars = Scalars()
    node = context.operand(scalars, operator.inputs[0])
    node = scalars.step("cast", node, dtype=context.tensor(operator.outputs[0]).dtype)
    context.elementwise(scalars, node, operator.outputs[0], operator)


def select(context: Context, operator: Operator) -> None:
    scalars = Scalars()
    condition, a, b = (context.operand(scalars, name) for name in operator.inputs)
    node = scalars.step("select", condition, a, b, dtype=a.dtype)
    context.elementwise(scalars, node, operator.outputs[0], operator)


def prelu(context: Context, operator: Operator) -> None:
    scalars = Scalars()
    tensors = [context.tensor(name) for name in operator.inputs]
    x, alpha = (context.operand(scalars, name) for name in operator.inputs)
    if is_quantised(tensors[0]):
        x, alpha = (
            _dequantised(scalars, node, tensor, operator)
            for node, tensor in zip((x, alpha), tensors, strict=True)
        )
    negative = scalars.step("less", x, scalars.number(0.0), dtype="bool")
    node = scalars.step("select", negative, scalars.step("mul", x, alpha), x, dtype="float32")
    y = context.tensor(operator.outputs[0])
    if is_quantised(y):
        node = _quantised(scalars, node, y, operator)
    context.elementwise(scalars, node, y.name, operator)


_UNARY = (
    "relu", "relu6", "relu_n1_to_1", "clip", "logistic", "tanh", "hard_swish", "hard_sigmoid",
    "exp", "log", "sqrt", "rsqrt", "neg", "abs", "erf", "gelu", "leaky_relu", "elu", "square",
    "floor", "not",
)  # fmt: skip

RULES: dict[str, Rule] = {
    "add": _arithmetic("add", _sum_numbers),
    "sub": _arithmetic("sub", _sum_numbers),
    "mul": _arithmetic("mul", _product_numbers),
    "squared_difference": _arithmetic("squared_difference", _difference_numbers),
    "maximum": _extremum("maximum"),
    "minimum": _extremum("minimum"),
    **{name: _binary_float(name) for name in ("div", "pow", "equal", "less", "greater")},
    **dict.fromkeys(_UNARY, unary),
    "prelu": prelu,
    "select": select,
    "cast": cast,
    "quantize": quantize,
    "dequantize": dequantize,
}
