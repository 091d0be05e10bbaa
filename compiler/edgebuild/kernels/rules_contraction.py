# SPDX-License-Identifier: Apache-2.0
"""Convolutions, dense layers and matrix products.

8-bit: multipliers as TFLite's PopulateConvolutionQuantizationParams makes them, in double.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.errors.kernels import TYPE_UNSUPPORTED
from edgebuild.kernels import activation, rounding, stored
from edgebuild.kernels.calls import Node, Scalars
from edgebuild.kernels.fixedpoint import quantise_multiplier
from edgebuild.kernels.lowering import Array, Context, Rule, is_quantised, per_channel, quantisation
from edgebuild.kernels.program import Program, Shape
from edgebuild.kernels.specs import Conv2d, Dense, Depthwise2d, Matmul, Window
from edgebuild.model.graph import Operator, Tensor


def _constant(context: Context, operator: Operator, number: int) -> Tensor:
    tensor = context.tensor(operator.inputs[number])
    if tensor.data is None:
        raise TYPE_UNSUPPORTED(
            f"{operator.kind} with weights that another operator computes",
            where=f"operator {operator.source}",
        )
    return tensor


def _real_scales(context: Context, operator: Operator, channels: int) -> NDArray[np.float64]:
    """Per channel: input scale * weight scale / output scale, in double."""
    x, w, y = (
        context.tensor(operator.inputs[0]),
        context.tensor(operator.inputs[1]),
        context.tensor(operator.outputs[0]),
    )
    found = w.quantisation
    if found is None or any(found.zero_point):
        raise TYPE_UNSUPPORTED(
            f"weights {w.name!r} are not symmetrically quantised",
            where=f"operator {operator.source}",
        )
    scale_in, scale_out = quantisation(x, operator)[0], quantisation(y, operator)[0]
    return scale_in * per_channel(found, channels) / scale_out


def _kept(weights: Tensor, axis: int) -> tuple[Array, Array | None, str]:
    """Weights as they are stored, their scale for each channel, and the type if it is a smaller."""
    assert weights.data is not None
    found = stored.smaller(weights.data, axis) if weights.dtype == "float32" else None
    if found is None:
        return weights.data, None, ""
    return found.data, found.scale, found.data.dtype.name


def _epilogue(
    context: Context, operator: Operator, shape: Shape, scale: Array | None = None
) -> tuple[Program, tuple[str, ...], tuple[Array, ...]]:
    """Scale of stored weights, bias, activation and, for 8 bits, requantisation.

    Over an accumulator of ``shape``.
    """
    scalars = Scalars()
    quantised = is_quantised(context.tensor(operator.inputs[0]))
    node = scalars.operand("accumulator", shape, "int32" if quantised else "float32")
    if scale is not None:
        node = scalars.step("mul", node, scalars.constant(scale))
    if len(operator.inputs) > 2:
        bias = _constant(context, operator, 2).data
        assert bias is not None
        node = scalars.step("add", node, scalars.constant(bias.reshape(-1)))
    if not quantised:
        return scalars.program(activation.apply(scalars, node, activation.of(operator)))
    return scalars.program(_requantised(context, operator, scalars, node, shape[-1]))


def _requantised(
    context: Context, operator: Operator, scalars: Scalars, node: Node, channels: int
) -> Node:
    y = context.tensor(operator.outputs[0])
    scale, zero = quantisation(y, operator)
    lo, hi = activation.stored_range(operator, scale, zero)
    real = _real_scales(context, operator, channels)
    if operator.kind == "dense":
        # measured: LiteRT's dense kernel multiplies by the real scale, its convolutions do not
        known = rounding.known_real(real, lo - zero, hi - zero)
        return scalars.step(
            "requantise_real",
            node,
            scalars.constant(real),
            numbers=(zero, lo, hi, known),
            dtype="int8",
        )
    pairs = [quantise_multiplier(float(value)) for value in real]
    multiplier, shift = (np.array(part, np.int32) for part in zip(*pairs, strict=True))
    return scalars.step(
        "requantise",
        node,
        scalars.constant(multiplier),
        scalars.constant(shift),
        numbers=(zero, lo, hi, rounding.known(multiplier, shift, lo - zero, hi - zero)),
        dtype="int8",
    )


def _operand_types(context: Context, operator: Operator) -> dict[str, Any]:
    x, w, y = (context.tensor(n) for n in (*operator.inputs[:2], operator.outputs[0]))
    if x.dtype == w.dtype == y.dtype == "float32":
        return {"dtype": "float32"}
    if is_quantised(x) and is_quantised(w) and is_quantised(y):
        return {"dtype": "int8", "input_zero": quantisation(x, operator)[1]}
    raise TYPE_UNSUPPORTED(
        f"{operator.kind} of {x.dtype} with {w.dtype} to {y.dtype}",
        where=f"operator {operator.source}",
        hint="export with float32 or int8 tensors throughout",
    )


def _is_symmetric(data: Array) -> bool:
    """TFLite's weights are by their specification; ONNX's need not be."""
    return data.dtype == np.int8 and int(data.min(initial=0)) > -128


def _window(operator: Operator, kernel: tuple[int, int]) -> Window:
    top, left = operator.attributes["padding"][:2]
    return Window(
        kernel=kernel,
        stride=tuple(operator.attributes["stride"]),
        dilation=tuple(operator.attributes["dilation"]),
        padding=(top, left),
    )


def _image(shape: Shape) -> tuple[int, int, int, int]:
    n, h, w, c = shape
    return n, h, w, c


def conv2d(context: Context, operator: Operator) -> None:
    weights = _constant(context, operator, 1)
    x, y = context.shape(operator.inputs[0]), context.shape(operator.outputs[0])
    kept, scale, smaller = _kept(weights, 0)
    epilogue, inputs, constants = _epilogue(context, operator, y, scale)
    spec = Conv2d(
        input=_image(x),
        output=_image(y),
        window=_window(operator, (weights.shape[1], weights.shape[2])),
        groups=operator.attributes["groups"],
        epilogue=epilogue,
        symmetric=_is_symmetric(kept),
        stored=smaller,
        **_operand_types(context, operator),
    )
    data = (kept, *constants)
    context.call(spec, (operator.inputs[0], *inputs), data, operator.outputs[0], operator)


def depthwise(context: Context, operator: Operator) -> None:
    weights = _constant(context, operator, 1)
    x, y = context.shape(operator.inputs[0]), context.shape(operator.outputs[0])
    kept, scale, smaller = _kept(weights, 2)
    epilogue, inputs, constants = _epilogue(context, operator, y, scale)
    spec = Depthwise2d(
        input=_image(x),
        output=_image(y),
        window=_window(operator, (weights.shape[0], weights.shape[1])),
        epilogue=epilogue,
        stored=smaller,
        **_operand_types(context, operator),
    )
    data = (kept, *constants)
    context.call(spec, (operator.inputs[0], *inputs), data, operator.outputs[0], operator)


def dense(context: Context, operator: Operator) -> None:
    weights = context.tensor(operator.inputs[1])
    x = context.shape(operator.inputs[0])
    n, k = weights.shape
    m = prod(x[:-1])
    if weights.data is None:
        _dense_of_two(context, operator, m, k, n)
        return
    kept, scale, smaller = _kept(weights, 0)
    epilogue, inputs, constants = _epilogue(context, operator, (m, n), scale)
    spec = Dense(
        m=m, k=k, n=n, epilogue=epilogue, symmetric=_is_symmetric(kept), stored=smaller,
        **_operand_types(context, operator),
    )  # fmt: skip
    data = (kept, *constants)
    context.call(spec, (operator.inputs[0], *inputs), data, operator.outputs[0], operator)


def _dense_of_two(context: Context, operator: Operator, m: int, k: int, n: int) -> None:
    """A dense layer whose weights are computed: a product of two inputs."""
    epilogue, inputs, constants = _epilogue(context, operator, (m, n))
    types = _operand_types(context, operator)
    spec = Matmul(
        batch=(), m=m, k=k, n=n, dtype=types["dtype"], left_zero=types.get("input_zero", 0),
        left_size=m * k, right_size=n * k, output_size=m * n,
        left_strides=(k, 1), right_strides=(1, k), output_strides=(n, 1),
        epilogue=epilogue,
    )  # fmt: skip
    names = (*operator.inputs[:2], *inputs)
    context.call(spec, names, constants, operator.outputs[0], operator)


def row_major(shape: Shape) -> Shape:
    """Strides of a dense array, in elements."""
    strides: list[int] = []
    step = 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def _batch_strides(shape: Shape, batch: Shape) -> Shape:
    """Strides of the leading dimensions of ``shape``, broadcast to ``batch``."""
    own = row_major(shape)[:-2]
    missing = len(batch) - len(own)
    return (0,) * missing + tuple(
        0 if extent == 1 and wanted != 1 else stride
        for extent, stride, wanted in zip(shape[:-2], own, batch[missing:], strict=True)
    )


def matmul(context: Context, operator: Operator) -> None:
    left, right = (context.tensor(name) for name in operator.inputs[:2])
    y = context.tensor(operator.outputs[0])
    swap_left = operator.attributes["transpose_left"]
    swap_right = operator.attributes["transpose_right"]
    batch, (m, n) = y.shape[:-2], y.shape[-2:]
    k = left.shape[-2] if swap_left else left.shape[-1]
    scalars = Scalars()
    quantised = is_quantised(y)
    node = scalars.operand("accumulator", y.shape, "int32" if quantised else "float32")
    zeros: dict[str, int] = {}
    if quantised:
        (scale_left, zero_left), (scale_right, zero_right), (scale, zero) = (
            quantisation(t, operator) for t in (left, right, y)
        )
        zeros = {"left_zero": zero_left, "right_zero": zero_right}
        multiplier, shift = quantise_multiplier(
            float(np.float32(scale_left) * np.float32(scale_right)) / scale
        )
        node = scalars.step(
            "requantise",
            node,
            scalars.constant(np.array([multiplier], np.int32)),
            scalars.constant(np.array([shift], np.int32)),
            numbers=(zero, -128, 127, rounding.known(multiplier, shift, -128 - zero, 127 - zero)),
            dtype="int8",
        )
    program, inputs, constants = scalars.program(node)
    spec = Matmul(
        batch=batch, m=m, k=k, n=n, dtype=left.dtype, **zeros,
        left_size=prod(left.shape), right_size=prod(right.shape), output_size=prod(y.shape),
        left_strides=_batch_strides(left.shape, batch) + ((1, m) if swap_left else (k, 1)),
        right_strides=_batch_strides(right.shape, batch) + ((1, k) if swap_right else (n, 1)),
        output_strides=row_major(y.shape),
        epilogue=program,
    )  # fmt: skip
    context.call(spec, (*operator.inputs, *inputs), constants, operator.outputs[0], operator)


RULES: dict[str, Rule] = {
    "conv2d": conv2d,
    "depthwise_conv2d": depthwise,
    "dense": dense,
    "matmul": matmul,
}
