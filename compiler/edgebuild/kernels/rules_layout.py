# SPDX-License-Identifier: Apache-2.0
"""Operators that move elements and compute nothing."""

from __future__ import annotations

from math import prod

from edgebuild.kernels.calls import Scalars
from edgebuild.kernels.fixedpoint import quantise_multiplier
from edgebuild.kernels.lowering import Context, Rule, is_quantised, quantisation
from edgebuild.kernels.program import Shape
from edgebuild.kernels.rules_contraction import row_major
from edgebuild.kernels.specs import Copy, Gather, Pad
from edgebuild.model.graph import Operator


def reshape(context: Context, operator: Operator) -> None:
    """The same memory under another shape; a copy only between two of the caller's buffers."""
    source, output = operator.inputs[0], operator.outputs[0]
    root = context.root(source)
    outside = (*context.graph.inputs, *context.graph.outputs)
    if context.tensor(source).data is not None or (output in outside and root in outside):
        _copy(context, operator, context.shape(source), row_major(context.shape(source)))
    elif output in outside:
        context.views[root] = output
    else:
        context.views[output] = source


def _copy(
    context: Context, operator: Operator, shape: Shape, strides: Shape, offset: int = 0
) -> None:
    """Gather the input by ``strides`` into a dense output of ``shape``."""
    source, output = operator.inputs[0], operator.outputs[0]
    spec = Copy(
        shape=shape,
        dtype=context.tensor(source).dtype,
        input_size=prod(context.shape(source)),
        output_size=prod(context.shape(output)),
        input_offset=offset,
        input_strides=strides,
        output_strides=row_major(shape),
    )
    context.call(spec, (source,), (), output, operator)


def transpose(context: Context, operator: Operator) -> None:
    strides = row_major(context.shape(operator.inputs[0]))
    permuted = tuple(strides[axis] for axis in operator.attributes["perm"])
    _copy(context, operator, context.shape(operator.outputs[0]), permuted)


def broadcast(context: Context, operator: Operator) -> None:
    shape, wanted = context.shape(operator.inputs[0]), context.shape(operator.outputs[0])
    padded = (1,) * (len(wanted) - len(shape)) + shape
    strides = tuple(
        0 if have != want else stride
        for have, want, stride in zip(padded, wanted, row_major(padded), strict=True)
    )
    _copy(context, operator, wanted, strides)


def slice_(context: Context, operator: Operator) -> None:
    strides = row_major(context.shape(operator.inputs[0]))
    begin, step = operator.attributes["begin"], operator.attributes["stride"]
    offset = sum(b * s for b, s in zip(begin, strides, strict=True))
    stepped = tuple(a * s for a, s in zip(step, strides, strict=True))
    _copy(context, operator, context.shape(operator.outputs[0]), stepped, offset)


def pad(context: Context, operator: Operator) -> None:
    source, output = operator.inputs[0], operator.outputs[0]
    spec = Pad(
        input=context.shape(source),
        output=context.shape(output),
        before=tuple(operator.attributes["before"]),
        value=operator.attributes["value"],
        dtype=context.tensor(source).dtype,
    )
    context.call(spec, (source,), (), output, operator)


def concat(context: Context, operator: Operator) -> None:
    """One copy per part, each into its place."""
    output = operator.outputs[0]
    axis, strides = operator.attributes["axis"], row_major(context.shape(output))
    position = 0
    for name in operator.inputs:
        shape = context.shape(name)
        if prod(shape):
            spec = Copy(
                shape=shape,
                dtype=context.tensor(name).dtype,
                input_size=prod(shape),
                output_size=prod(context.shape(output)),
                output_offset=position * strides[axis],
                input_strides=row_major(shape),
                output_strides=strides,
            )
            context.call(spec, (_same_scale(context, operator, name),), (), output, operator)
        position += shape[axis]


def _same_scale(context: Context, operator: Operator, name: str) -> str:
    """``name`` in the output's quantisation."""
    x, y = context.tensor(name), context.tensor(operator.outputs[0])
    if not is_quantised(x) or not is_quantised(y) or x.quantisation == y.quantisation:
        return name
    (scale_in, zero_in), (scale_out, zero_out) = (
        quantisation(x, operator),
        quantisation(y, operator),
    )
    scalars = Scalars()
    numbers = (zero_in, *quantise_multiplier(scale_in / scale_out), zero_out, -128, 127)
    node = scalars.step("rescale", context.operand(scalars, name), numbers=numbers, dtype=y.dtype)
    rescaled = context.temporary(name, x.shape, x.dtype)
    context.elementwise(scalars, node, rescaled, operator)
    return rescaled


def gather(context: Context, operator: Operator) -> None:
    data, indices = (context.tensor(name) for name in operator.inputs)
    axis = operator.attributes["axis"]
    spec = Gather(
        outer=prod(data.shape[:axis]),
        size=data.shape[axis],
        inner=prod(data.shape[axis + 1 :]),
        count=prod(indices.shape),
        dtype=data.dtype,
        index_dtype=indices.dtype,
        constant=data.data is not None,
    )
    names = (indices.name,) if data.data is not None else (data.name, indices.name)
    constants = () if data.data is None else (data.data,)
    context.call(spec, names, constants, operator.outputs[0], operator)


RULES: dict[str, Rule] = {
    "reshape": reshape,
    "transpose": transpose,
    "broadcast": broadcast,
    "slice": slice_,
    "pad": pad,
    "concat": concat,
    "gather": gather,
}
