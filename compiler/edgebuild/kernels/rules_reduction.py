# SPDX-License-Identifier: Apache-2.0
"""Pooling, reductions, softmax and layer normalisation."""

from __future__ import annotations

from math import prod
from typing import Literal

import numpy as np

from edgebuild.errors.kernels import TYPE_UNSUPPORTED
from edgebuild.kernels import activation, rounding
from edgebuild.kernels.calls import Node, Scalars
from edgebuild.kernels.fixedpoint import quantise_multiplier
from edgebuild.kernels.lowering import Context, Rule, is_quantised, quantisation
from edgebuild.kernels.program import Shape
from edgebuild.kernels.softmax import parameters
from edgebuild.kernels.specs import LayerNorm, Pool2d, Reduce, Softmax, Window
from edgebuild.model.graph import Operator


def _pool(function: Literal["average", "maximum"]) -> Rule:
    def rule(context: Context, operator: Operator) -> None:
        x, y = (context.tensor(name) for name in (operator.inputs[0], operator.outputs[0]))
        accumulator = "int32" if is_quantised(x) and function == "average" else x.dtype
        scalars = Scalars()
        node = scalars.operand("accumulator", y.shape, accumulator)
        if is_quantised(x):
            _require_same(context, operator)
            lo, hi = activation.stored_range(operator, *quantisation(y, operator))
            if (lo, hi) != (-128, 127):
                node = scalars.step("clamp", node, numbers=(lo, hi))
            if accumulator != "int8":
                node = scalars.step("cast", node, dtype="int8")
        else:
            node = activation.apply(scalars, node, activation.of(operator))
        program, inputs, constants = scalars.program(node)
        top, left = operator.attributes["padding"][:2]
        n, h, w, c = x.shape
        window = Window(
            kernel=tuple(operator.attributes["kernel"]),
            stride=tuple(operator.attributes["stride"]),
            padding=(top, left),
        )
        spec = Pool2d(
            function=function, input=(n, h, w, c), output=(n, y.shape[1], y.shape[2], c),
            window=window, count_padding=operator.attributes["count_padding"], dtype=x.dtype,
            epilogue=program,
        )  # fmt: skip
        context.call(spec, (x.name, *inputs), constants, y.name, operator)

    return rule


def _require_same(context: Context, operator: Operator) -> None:
    x, y = (context.tensor(name) for name in (operator.inputs[0], operator.outputs[0]))
    if quantisation(x, operator) != quantisation(y, operator):
        raise TYPE_UNSUPPORTED(
            f"{operator.kind} between different scales", where=f"operator {operator.source}"
        )


def _kept(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape))


def _reduce(function: Literal["sum", "maximum", "minimum"], mean: bool = False) -> Rule:
    def rule(context: Context, operator: Operator) -> None:
        x = context.tensor(operator.inputs[0])
        axes = tuple(operator.attributes["axes"])
        count = prod(x.shape[axis] for axis in axes)
        wide = is_quantised(x) and function == "sum"
        scalars = Scalars()
        node = scalars.operand("accumulator", _kept(x.shape, axes), "int32" if wide else x.dtype)
        if wide:
            node = _sum_int8(context, operator, scalars, node, count if mean else 0)
        elif mean:
            share = float(np.float32(1) / np.float32(count)) if count else np.inf
            reciprocal = scalars.number(share)
            node = scalars.step("mul", node, reciprocal)
        program, inputs, constants = scalars.program(node)
        spec = Reduce(function=function, input=x.shape, axes=axes, dtype=x.dtype, epilogue=program)
        context.call(spec, (x.name, *inputs), constants, operator.outputs[0], operator)

    return rule


def _sum_int8(
    context: Context, operator: Operator, scalars: Scalars, node: Node, divisor: int
) -> Node:
    """QuantizedMeanOrSum: a division by ``divisor`` is part of the multiplier; 0 is none."""
    x, y = (context.tensor(name) for name in (operator.inputs[0], operator.outputs[0]))
    (scale_in, zero_in), (scale_out, zero_out) = (
        quantisation(x, operator),
        quantisation(y, operator),
    )
    count = prod(x.shape[axis] for axis in operator.attributes["axes"])
    multiplier, shift = quantise_multiplier(scale_in / scale_out)
    if divisor:
        extra = min(divisor.bit_length() - 1, 32, 31 + shift)
        multiplier, shift = (multiplier << extra) // divisor, shift - extra
    centred = scalars.step("sub", node, scalars.number(zero_in * count, "int32"))
    return scalars.step(
        "requantise",
        centred,
        scalars.constant(np.array([multiplier], np.int32)),
        scalars.constant(np.array([shift], np.int32)),
        numbers=(
            zero_out,
            -128,
            127,
            rounding.known(multiplier, shift, -128 - zero_out, 127 - zero_out),
        ),
        dtype="int8",
    )


def softmax(context: Context, operator: Operator) -> None:
    x, y = (context.tensor(name) for name in (operator.inputs[0], operator.outputs[0]))
    beta = float(operator.attributes["beta"])
    columns = x.shape[-1]
    rows = prod(x.shape) // columns
    spec = Softmax(rows=rows, columns=columns, dtype=x.dtype, beta=beta)
    if is_quantised(x):
        if quantisation(y, operator) != (1 / 256, -128):
            raise TYPE_UNSUPPORTED(
                "int8 softmax whose output is not in steps of 1/256 from -128",
                where=f"operator {operator.source}",
            )
        multiplier, left_shift, diff_min = parameters(beta, quantisation(x, operator)[0])
        spec = Softmax(
            rows=rows, columns=columns, dtype="int8", beta=beta,
            multiplier=multiplier, left_shift=left_shift, diff_min=diff_min,
        )  # fmt: skip
    context.call(spec, (x.name,), (), y.name, operator)


def layer_norm(context: Context, operator: Operator) -> None:
    x = context.tensor(operator.inputs[0])
    columns = x.shape[-1]
    rows = prod(x.shape) // columns
    scalars = Scalars()
    node = scalars.operand("accumulator", (rows, columns), "float32")
    for function, name in zip(("mul", "add"), operator.inputs[1:], strict=True):
        data = context.tensor(name).data
        if data is None:
            raise TYPE_UNSUPPORTED(
                "layer_norm with computed parameters", where=f"operator {operator.source}"
            )
        node = scalars.step(function, node, scalars.constant(data.reshape(-1)))
    program, inputs, constants = scalars.program(node)
    spec = LayerNorm(
        rows=rows, columns=columns, epsilon=operator.attributes["epsilon"], epilogue=program
    )
    context.call(spec, (x.name, *inputs), constants, operator.outputs[0], operator)


RULES: dict[str, Rule] = {
    "average_pool2d": _pool("average"),
    "max_pool2d": _pool("maximum"),
    "mean": _reduce("sum", mean=True),
    "sum": _reduce("sum"),
    "reduce_max": _reduce("maximum"),
    "reduce_min": _reduce("minimum"),
    "softmax": softmax,
    "layer_norm": layer_norm,
}
