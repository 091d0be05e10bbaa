# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite operators on shapes: what is left of a free batch when it is fixed.

Keras exports a model whose batch is free with SHAPE, STRIDED_SLICE, PACK and the like before each
RESHAPE. With fixed inputs all of them are constants, and are computed while reading.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.errors.kernels import MODEL_MALFORMED
from edgebuild.kernels import enlarge
from edgebuild.kernels.shapes import normal_axis
from edgebuild.kernels.tflite_reader import TfliteOperator

Converter = Callable[[TfliteOperator], None]

#: shapes are short; a forged file must not have the tool fill its memory
LIMIT_ELEMENTS = 1 << 24


def checked_axis(o: TfliteOperator, axis: int, rank: int) -> int:
    """An axis of a tensor of that rank, counted from the front. Raises MODEL_MALFORMED."""
    try:
        return normal_axis(axis, rank)
    except ValueError as error:
        raise MODEL_MALFORMED(f"{o.kind}: {error}", where=o.source) from error


def reshape_to(o: TfliteOperator, value: str, shape: tuple[int, ...]) -> str:
    """``value`` under another shape; itself when it has that one."""
    tensor = o.builder.tensors[value]
    if tensor.shape == shape:
        return value
    return o.builder.emit("reshape", [value], f"{value}_flat", o.source,
                          quantisation=tensor.quantisation, shape=shape)  # fmt: skip


def _shape(o: TfliteOperator) -> None:
    o.give(np.array(o.shape(0), np.int64))


def _rank(o: TfliteOperator) -> None:
    o.give(np.array(len(o.shape(0)), np.int64))


def _size(shape: tuple[int, ...]) -> tuple[int, ...]:
    """``shape``, if an array of it may be made. Raises ValueError."""
    if min(shape, default=0) < 0 or prod(shape) > LIMIT_ELEMENTS:
        raise ValueError(f"the shape {list(shape)}")
    return shape


def _fill(o: TfliteOperator) -> None:
    o.give(np.full(_size(tuple(o.integers(0))), o.constant(1).reshape(-1)[0]))


def _zeros(o: TfliteOperator) -> None:
    o.give(np.zeros(_size(o.shape(0))))


def _range(o: TfliteOperator) -> None:
    start, limit, delta = (o.constant(n).reshape(-1)[:1] for n in range(3))
    if not (start.size == limit.size == delta.size == 1) or not delta[0]:
        raise MODEL_MALFORMED("RANGE without a step", where=o.source)
    if abs(float(limit[0] - start[0]) / float(delta[0])) > LIMIT_ELEMENTS:
        raise MODEL_MALFORMED("a range without end", where=o.source)
    o.give(np.arange(start[0], limit[0], delta[0]))


def _reduce_prod(o: TfliteOperator) -> None:
    data = o.constant(0)
    axes = tuple(sorted({checked_axis(o, axis, data.ndim) for axis in o.integers(1)}))
    o.give(data.prod(axis=axes, keepdims=bool(o.option(0, "<?", False))))


def _integers_only(function: Callable[[Any, Any], NDArray[Any]]) -> Converter:
    """Arithmetic that only shapes need: both sides are constants."""

    def convert(o: TfliteOperator) -> None:
        left, right = o.constant(0), o.constant(1)
        if not right.all():
            raise MODEL_MALFORMED(f"{o.kind} by zero", where=o.source)
        o.give(function(left, right))

    return convert


def _pack(o: TfliteOperator) -> None:
    """Parts joined along a new axis."""
    shape = o.shape(0)
    axis = checked_axis(o, o.option(1), len(shape) + 1)
    wanted = (*shape[:axis], 1, *shape[axis:])
    parts = [reshape_to(o, o.name(number), wanted) for number in range(len(o.inputs))]
    o.add("concat", parts, axis=axis)


def _unpack(o: TfliteOperator) -> None:
    shape = o.shape(0)
    axis = checked_axis(o, o.option(1), len(shape))
    if len(o.outputs) != shape[axis]:
        raise MODEL_MALFORMED(f"{len(o.outputs)} parts of {list(shape)}", where=o.source)
    rest = (*shape[:axis], *shape[axis + 1 :])
    for number, output in enumerate(o.outputs):
        part = o.builder.emit(
            "slice", [o.name(0)], f"{output}_part", o.source,
            quantisation=o.builder.tensors[o.name(0)].quantisation,
            begin=tuple(number if d == axis else 0 for d in range(len(shape))),
            size=tuple(1 if d == axis else n for d, n in enumerate(shape)),
            stride=(1,) * len(shape),
        )  # fmt: skip
        o.builder.add("reshape", [part], output, o.source, shape=rest)


def _reshape(o: TfliteOperator) -> None:
    shape = o.declared()
    if shape is None:
        # new_shape 0 of the options, where there is no input for it
        wanted = o.integers(1) if o.has(1) else [
            int(n) for n in (o.options.vector(0, "<i4") if o.options else ())
        ]  # fmt: skip
        known = prod(n for n in wanted if n != -1)
        rest = prod(o.shape(0)) // known if known else 0
        shape = tuple(rest if n == -1 else n for n in wanted)
    o.add("reshape", [o.name(0)], shape=shape)


def _squeeze(o: TfliteOperator) -> None:
    shape = o.declared()
    if shape is None:
        have = o.shape(0)
        named = [int(n) for n in (o.options.vector(0, "<i4") if o.options else ())]
        axes = {checked_axis(o, axis, len(have)) for axis in named} or set(range(len(have)))
        shape = tuple(n for d, n in enumerate(have) if d not in axes or n != 1)
    o.add("reshape", [o.name(0)], shape=shape)


def _expand_dims(o: TfliteOperator) -> None:
    shape = o.declared()
    if shape is None:
        have = list(o.shape(0))
        have.insert(checked_axis(o, (o.integers(1) or [0])[0], len(have) + 1), 1)
        shape = tuple(have)
    o.add("reshape", [o.name(0)], shape=shape)


def _broadcast(o: TfliteOperator) -> None:
    shape = o.declared()
    o.add("broadcast", [o.name(0)], shape=tuple(o.integers(1)) if shape is None else shape)


def _tile(o: TfliteOperator) -> None:
    value = enlarge.repeated(o.builder, o.name(0), o.integers(1), o.output, o.source)
    o.add("reshape", [value], shape=o.builder.tensors[value].shape)


def _reverse(o: TfliteOperator) -> None:
    shape = o.shape(0)
    axes = {checked_axis(o, axis, len(shape)) for axis in o.integers(1)}
    o.add("slice", [o.name(0)],
          begin=tuple(n - 1 if d in axes else 0 for d, n in enumerate(shape)), size=shape,
          stride=tuple(-1 if d in axes else 1 for d in range(len(shape))))  # fmt: skip


CONVERTERS: dict[str, Converter] = {
    "REVERSE_V2": _reverse,
    "SHAPE": _shape,
    "RANK": _rank,
    "FILL": _fill,
    "ZEROS_LIKE": _zeros,
    "RANGE": _range,
    "REDUCE_PROD": _reduce_prod,
    "FLOOR_DIV": _integers_only(np.floor_divide),
    "FLOOR_MOD": _integers_only(np.mod),
    "PACK": _pack,
    "UNPACK": _unpack,
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
    "EXPAND_DIMS": _expand_dims,
    "BROADCAST_TO": _broadcast,
    "TILE": _tile,
}
