# SPDX-License-Identifier: Apache-2.0
"""Kernels that only move elements: strided copies, padding, gathers."""

from __future__ import annotations

from math import prod

import numpy as np
from tvm import tirx

from edgebuild.kernels.specs import Copy, Gather, Pad
from edgebuild.kernels.tir.emit import Expr, Index, Memory, cast, const, index, splat
from edgebuild.kernels.tir.frame import Build, Frame, along, merged, nest, task_axes, unravel
from edgebuild.kernels.tir.scalars import offset


def stored(dtype: str) -> str:
    """The type that memory holds: a bool is a byte."""
    return "int8" if dtype == "bool" else dtype


def lanes_of(frame: Frame, dtype: str) -> int:
    """Elements of one vector register."""
    return max(1, frame.isa.vector_bits // (8 * np.dtype(dtype).itemsize))


def copy(spec: Copy, kernel: Build) -> None:
    """Axes are merged; the innermost is one along which the output is contiguous."""
    sizes, steps = merged(spec.shape, spec.input_strides, spec.output_strides)
    sizes, (ins, outs) = task_axes(sizes, steps)
    # stores are dearer than loads
    inner = min(range(1, len(sizes)), key=lambda axis: (abs(outs[axis]) != 1, -axis))
    order = [axis for axis in range(len(sizes)) if axis != inner] + [inner]
    sizes, ins, outs = ([v[axis] for axis in order] for v in (sizes, ins, outs))
    frame = kernel.frame(sizes[0])
    w = frame.w
    with frame.each_task() as task:
        source = w.let_index(task * ins[0] + spec.input_offset)
        place = w.let_index(task * outs[0] + spec.output_offset)
        with nest(frame, sizes[1:-1], [ins[1:-1], outs[1:-1]], [source, place]) as at:
            _line(frame, stored(spec.dtype), at[0], at[1], sizes[-1], ins[-1], outs[-1])
    frame.finish()


def _line(
    frame: Frame, dtype: str, source: Index, place: Index, count: int, step: int, out: int
) -> None:
    """One axis. A stride of one moves vectors, of zero spreads one value, else single elements."""
    w, memory = frame.w, frame.inputs["input"]
    lanes = lanes_of(frame, dtype)
    if step == 0 and out == 1:
        one = w.let(memory.load(source, dtype))
        along(w, count, lanes, lambda i, n: frame.output.store(place + i, splat(one, n)))
    elif step == 1 and out == 1:
        move(frame, memory, dtype, source, place, count, lanes)
    else:
        with w.loop(0, count, "e") as e:
            frame.output.store(place + e * out, w.let(memory.load(source + e * step, dtype)))


def move(
    frame: Frame, memory: Memory, dtype: str, source: Index, place: Index, count: int, lanes: int
) -> None:
    """A contiguous copy."""
    w = frame.w

    def some(i: Index, n: int) -> None:
        frame.output.store(place + i, w.let(memory.load(source + i, dtype, n)))

    along(w, count, lanes, some)


def pad(spec: Pad, kernel: Build) -> None:
    """Tasks are the output's lines along its last axis."""
    dtype = stored(spec.dtype)
    outer = spec.output[:-1]
    full = [prod(spec.input[a + 1 :]) for a in range(len(spec.input))]
    frame = kernel.frame(prod(outer))
    w = frame.w
    lanes = lanes_of(frame, dtype)
    width, lead, body = spec.output[-1], spec.before[-1], spec.input[-1]
    value = spec.value if dtype.startswith("float") else int(spec.value)

    def fill(base: Index, count: int) -> None:
        along(w, count, lanes, lambda i, n: frame.output.store(base + i, const(value, dtype, n)))

    with frame.each_task() as task:
        coordinates = unravel(w, task, outer)
        place = w.let_index(task * width)
        moved = [w.let_index(c - b) for c, b in zip(coordinates, spec.before[:-1], strict=True)]
        inside: Expr = const(True, "bool")
        for at, size in zip(moved, spec.input[:-1], strict=True):
            low = tirx.GE(index(at), const(0, "int64"))
            inside = tirx.And(inside, tirx.And(low, tirx.LT(index(at), const(size, "int64"))))
        inside = w.let(inside)
        with w.when(inside):
            source = w.let_index(offset(moved, full[:-1]))
            fill(place, lead)
            move(frame, frame.inputs["input"], dtype, source, place + lead, body, lanes)
            fill(place + (lead + body), width - lead - body)
        with w.when(w.let(tirx.Not(inside))):
            fill(place, width)
    frame.finish()


def gather(spec: Gather, kernel: Build) -> None:
    """Tasks are output rows; the index is clamped, whatever a stranger sent."""
    dtype = stored(spec.dtype)
    frame = kernel.frame(spec.outer * spec.count)
    w = frame.w
    lanes = lanes_of(frame, dtype)
    base = 0
    data = frame.inputs.get("data", frame.constants)
    if spec.constant:
        size = spec.outer * spec.size * spec.inner
        base = kernel.block.reserve("data", dtype, size, lambda c: c["data"])
    with frame.each_task() as task:
        o, i = unravel(w, task, [spec.outer, spec.count])
        raw = w.let(cast(frame.inputs["indices"].load(i, spec.index_dtype), "int64"))
        zero = const(0, "int64")
        at = w.let(tirx.Select(raw < zero, raw + spec.size, raw))
        at = w.let(tirx.Max(zero, tirx.Min(at, const(spec.size - 1, "int64"))))
        source = w.let((o * spec.size + at) * spec.inner + base)
        move(frame, data, dtype, source, w.let_index(task * spec.inner), spec.inner, lanes)
    frame.finish()
