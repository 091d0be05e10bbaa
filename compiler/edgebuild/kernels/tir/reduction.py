# SPDX-License-Identifier: Apache-2.0
"""Sums and extremes over axes: along vectors where the kept axis is last, else across them."""

from __future__ import annotations

from math import prod

from tvm import tirx

from edgebuild.kernels.specs import Reduce
from edgebuild.kernels.tir.emit import Expr, Index, Registers, cast, const, shuffle
from edgebuild.kernels.tir.floats import Floats
from edgebuild.kernels.tir.frame import Build, Frame, along, nest, store, unravel
from edgebuild.kernels.tir.scalars import Point, offset, strides_over


def kind_of(spec: Reduce) -> str:
    return "int32" if spec.function == "sum" and spec.dtype == "int8" else spec.dtype


def start_of(spec: Reduce) -> float:
    if spec.function == "sum":
        return 0
    lowest = spec.function == "maximum"
    if spec.dtype == "float32":
        return -float("inf") if lowest else float("inf")
    bits = {"int8": 8, "uint8": 8, "int32": 32, "int64": 64}[spec.dtype]
    return -(1 << (bits - 1)) if lowest else (1 << (bits - 1)) - 1


def join(frame: Frame, spec: Reduce, a: Expr, b: Expr) -> Expr:
    """Two partial results of one reduction."""
    if spec.function == "sum":
        return a + b
    if spec.dtype == "float32":
        floats = Floats(frame.w, frame.isa)
        a, b = frame.w.let(a), frame.w.let(b)
        return floats.maximum(a, b) if spec.function == "maximum" else floats.minimum(a, b)
    return tirx.Max(a, b) if spec.function == "maximum" else tirx.Min(a, b)


def reduce(spec: Reduce, kernel: Build) -> None:
    """Tasks are positions of the kept axes before the last."""
    last = len(spec.input) - 1
    across = last in spec.axes
    kept = [n for axis, n in enumerate(spec.output) if axis != last]
    frame = kernel.frame(prod(kept))
    programs = frame.programs(spec.epilogue, spec.output)
    ins, outs = strides_over(spec.input, spec.input), strides_over(spec.output, spec.output)
    with frame.each_task() as task:
        coordinates = tuple(unravel(frame.w, task, kept)) if kept else ()
        base = frame.w.let_index(offset(coordinates, ins[:-1]))
        place = frame.w.let_index(offset(coordinates, outs[:-1]))

        def body(c: Index, lanes: int) -> None:
            total = _vector(frame, spec, ins, base, c, lanes)
            point = Point(coordinates=(*coordinates, c), lanes=lanes)
            store(frame.output, place + c, programs.run(point, frame.w.let(total.get(0))))

        if across:
            value = _scalar(frame, spec, ins, base)
            point = Point(coordinates=(*coordinates, 0), lanes=1)
            store(frame.output, place, programs.run(point, value))
        else:
            isa = kernel.isa
            lanes = isa.byte_lanes if spec.dtype == "int8" else isa.lanes
            along(frame.w, spec.input[last], lanes, body)
    frame.finish()


def _vector(
    frame: Frame, spec: Reduce, strides: tuple[int, ...], base: Index, c: Index, lanes: int
) -> Registers:
    kind = kind_of(spec)
    total = frame.w.registers(kind, lanes, 1, "sum")
    total.set(0, const(start_of(spec), kind, lanes))

    sizes, steps = _reduced(spec, strides, spec.axes)
    with nest(frame, sizes, [steps], [base]) as (at,):
        x = frame.w.let(cast(frame.inputs["input"].load(at + c, spec.dtype, lanes), kind))
        total.set(0, join(frame, spec, total.get(0), x))
    return total


def _reduced(
    spec: Reduce, strides: tuple[int, ...], axes: tuple[int, ...]
) -> tuple[list[int], list[int]]:
    """Sizes and strides of some axes."""
    return [spec.input[axis] for axis in axes], [strides[axis] for axis in axes]


def _scalar(frame: Frame, spec: Reduce, strides: tuple[int, ...], base: Index) -> Expr:
    """The last axis too: whole vectors first, folded at the end, then what is left."""
    w, kind, lanes = frame.w, kind_of(spec), frame.isa.lanes
    last = len(spec.input) - 1
    size, whole = spec.input[last], spec.input[last] // lanes * lanes
    wide = w.registers(kind, lanes, 1, "wide")
    wide.set(0, const(start_of(spec), kind, lanes))
    single = w.registers(kind, 1, 1, "single")
    single.set(0, const(start_of(spec), kind))

    sizes, steps = _reduced(spec, strides, tuple(a for a in spec.axes if a != last))
    with nest(frame, sizes, [steps], [base]) as (at,):
        source = frame.inputs["input"]
        if whole:
            with w.loop(0, whole // lanes, "v") as v:
                x = w.let(cast(source.load(at + v * lanes, spec.dtype, lanes), kind))
                wide.set(0, join(frame, spec, wide.get(0), x))
        with w.loop(whole, size, "e") as e:
            x = w.let(cast(source.load(at + e, spec.dtype), kind))
            single.set(0, join(frame, spec, single.get(0), x))

    value = w.let(single.get(0))
    vector = w.let(wide.get(0))
    return w.let(join(frame, spec, value, fold(frame, spec, vector, lanes)))


def fold(frame: Frame, spec: Reduce, vector: Expr, lanes: int) -> Expr:
    """One value of a vector's lanes, halving."""
    while lanes > 1:
        half = lanes // 2
        low = frame.w.let(shuffle([vector], list(range(half))))
        high = frame.w.let(shuffle([vector], list(range(half, lanes))))
        vector, lanes = frame.w.let(join(frame, spec, low, high)), half
    return vector
