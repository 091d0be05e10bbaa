# SPDX-License-Identifier: Apache-2.0
"""ONNX operators that select by position, and those that only shapes and masks need.

Exporters write masks and positions as gathers with indices that are known; ``_known`` computes
what is constant, and what remains is a plain gather.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.errors.kernels import MODEL_MALFORMED
from edgebuild.kernels import enlarge
from edgebuild.kernels.onnx_reader import OnnxNode
from edgebuild.kernels.shapes import normal_axis
from edgebuild.model.graph import DTYPES

Converter = Callable[[OnnxNode], None]
Array = NDArray[Any]


def _known(function: Callable[..., Array]) -> Converter:
    """An operator of constants: computed here, refused where an input is not one."""

    def convert(o: OnnxNode) -> None:
        if any(o.tensor(number).data is None for number in range(len(o.inputs))):
            raise o.unsupported("of values that only the running model knows has no kernel")
        value = np.asarray(function(o, *(o.constant(number) for number in range(len(o.inputs)))))
        o.give(o.builder.constant(o.outputs[0], value))

    return convert


def _mod(o: OnnxNode, a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu" and not b.all():
        raise MODEL_MALFORMED("Mod by zero", where=o.source)
    return np.fmod(a, b) if o.get("fmod", 0) else np.mod(a, b)


def _size(o: OnnxNode) -> None:
    o.give(o.builder.constant(o.outputs[0], np.array(prod(o.shape(0)), np.int64)))


def _product(o: OnnxNode, data: Array, axes: Array | None = None) -> Array:
    listed = o.get("axes", []) if axes is None else axes.reshape(-1).tolist()
    chosen = tuple(int(axis) for axis in listed) or None
    return np.asarray(data.prod(axis=chosen, keepdims=bool(o.get("keepdims", 1))), data.dtype)


def _nonzero(o: OnnxNode, data: Array) -> Array:
    return np.array(np.nonzero(data), np.int64)


def _scatter(o: OnnxNode, data: Array, indices: Array, updates: Array) -> Array:
    if o.get("reduction", "none") != "none":
        raise o.unsupported("that combines values")
    result = data.copy()
    result[tuple(np.moveaxis(indices, -1, 0))] = updates
    return result


def _trilu(o: OnnxNode) -> None:
    """A triangle of a matrix; the rest is 0."""
    shape, tensor = o.shape(0), o.tensor(0)
    if len(shape) < 2:
        raise MODEL_MALFORMED("Trilu of a vector", where=o.source)
    shift = int(o.constant(1).reshape(-1)[0]) if o.has(1) else 0
    mask = np.ones(shape[-2:], bool)
    mask = np.triu(mask, shift) if o.get("upper", 1) else np.tril(mask, shift)
    kept = o.builder.constant(f"{o.outputs[0]}/kept", mask)
    zero = o.builder.constant(f"{o.outputs[0]}/zero", np.zeros((), DTYPES[tensor.dtype]))
    o.result("select", [kept, tensor.name, zero], dtype=tensor.dtype)


def _gather_elements(o: OnnxNode) -> None:
    """With one row of data this is a plain gather; else the indices have to be known."""
    data, indices = o.tensor(0), o.tensor(1)
    axis = normal_axis(o.get("axis", 0), len(data.shape))
    if len(indices.shape) != len(data.shape):
        raise MODEL_MALFORMED("indices of another rank", where=o.source)
    if prod(data.shape) == data.shape[axis] and prod(indices.shape) == indices.shape[axis]:
        row = o.emit("reshape", [data.name], shape=(data.shape[axis],))
        o.result("gather", [row, indices.name], axis=0)
        return
    if indices.data is None:
        raise o.unsupported("of several rows with computed indices")
    positions = [
        np.arange(n).reshape([-1 if d == a else 1 for d in range(len(indices.shape))])
        for a, n in enumerate(indices.shape)
    ]
    positions[axis] = np.where(indices.data < 0, indices.data + data.shape[axis], indices.data)
    _flat_gather(o, np.ravel_multi_index(np.broadcast_arrays(*positions), data.shape), data.shape)


def _flat_gather(o: OnnxNode, positions: Array, taken: tuple[int, ...]) -> None:
    """Elements (or blocks, where ``taken`` are the leading axes only) by their flat number."""
    rest = o.shape(0)[len(taken) :]
    flat = o.emit("reshape", [o.name(0)], shape=(prod(taken), *rest))
    index = o.builder.constant(f"{o.outputs[0]}/positions", positions.astype(np.int64))
    o.result("gather", [flat, index], axis=0)


def _gather_nd(o: OnnxNode) -> None:
    if o.get("batch_dims", 0):
        raise o.unsupported("with batch dimensions")
    if o.tensor(1).data is None:
        raise o.unsupported("with computed indices")
    indices, shape = o.constant(1), o.shape(0)
    depth = indices.shape[-1]
    taken = shape[:depth]
    wrapped = np.where(indices < 0, indices + np.array(taken, np.int64), indices)
    _flat_gather(o, np.ravel_multi_index(tuple(np.moveaxis(wrapped, -1, 0)), taken), taken)


def _cumulative(o: OnnxNode) -> None:
    """Running sums: each round adds what lies twice as far away."""
    shape = o.shape(0)
    axis = normal_axis(int(o.constant(1).reshape(-1)[0]), len(shape))
    value = _backwards(o, o.name(0), axis) if o.get("reverse", 0) else o.name(0)
    if o.get("exclusive", 0):
        value = _moved(o, value, axis, 1)
    distance = 1
    while distance < shape[axis]:
        value = o.emit("add", [value, _moved(o, value, axis, distance)])
        distance *= 2
    o.give(_backwards(o, value, axis) if o.get("reverse", 0) else value)


def _moved(o: OnnxNode, value: str, axis: int, by: int) -> str:
    """``value`` some steps further along an axis, with zeros before it."""
    shape = o.shape(0)
    zeros = (0,) * len(shape)
    before = tuple(by if d == axis else 0 for d in range(len(shape)))
    wide = o.emit("pad", [value], before=before, after=zeros, value=0)
    return o.emit("slice", [wide], begin=zeros, size=shape, stride=(1,) * len(shape))


def _backwards(o: OnnxNode, value: str, axis: int) -> str:
    shape = o.shape(0)
    begin = tuple(n - 1 if d == axis else 0 for d, n in enumerate(shape))
    stride = tuple(-1 if d == axis else 1 for d in range(len(shape)))
    return o.emit("slice", [value], begin=begin, size=shape, stride=stride)


def _tile(o: OnnxNode) -> None:
    o.give(enlarge.repeated(o.builder, o.name(0), o.integers(1) or [], o.outputs[0], o.source))


def _extremum(kind: str) -> Converter:
    """ArgMax: the least position at which the extreme value stands."""

    def convert(o: OnnxNode) -> None:
        shape = o.shape(0)
        axis = normal_axis(o.get("axis", 0), len(shape))
        if o.get("select_last_index", 0) or not shape[axis]:
            raise o.unsupported("that takes the last of several")
        ranks = [-1 if d == axis else 1 for d in range(len(shape))]
        order = o.builder.constant(
            f"{o.outputs[0]}/order", np.arange(shape[axis], dtype=np.int32).reshape(ranks)
        )
        none = o.builder.constant(f"{o.outputs[0]}/none", np.array(shape[axis], np.int32))
        most = o.emit(kind, [o.name(0)], axes=(axis,), keep_dims=True)
        found = o.emit("equal", [o.name(0), most], dtype="bool")
        places = o.emit("select", [found, order, none], dtype="int32")
        keep = bool(o.get("keepdims", 1))
        first = o.emit("reduce_min", [places], axes=(axis,), keep_dims=keep)
        o.result("cast", [first], dtype="int64")

    return convert


def _of_numbers(function: Callable[[Array], Array]) -> Converter:
    """A function of constants, which positions are made of."""
    return _known(lambda o, data: np.asarray(function(data)).astype(data.dtype))


CONVERTERS: dict[str, Converter] = {
    "Sin": _of_numbers(np.sin),
    "Cos": _of_numbers(np.cos),
    "Mod": _known(_mod),
    "Size": _size,
    "ReduceProd": _known(_product),
    "NonZero": _known(_nonzero),
    "ScatterND": _known(_scatter),
    "Trilu": _trilu,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "CumSum": _cumulative,
    "Tile": _tile,
    "ArgMax": _extremum("reduce_max"),
    "ArgMin": _extremum("reduce_min"),
}
