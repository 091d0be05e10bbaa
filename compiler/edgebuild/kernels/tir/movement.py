# SPDX-License-Identifier: Apache-2.0
"""Kernels that only move elements: strided copies, padding, gathers."""

from __future__ import annotations

from math import prod

from tvm import tirx

from edgebuild.kernels.specs import Copy, Gather, Pad
from edgebuild.kernels.tir.emit import Expr, Index, Memory, cast, const, splat
from edgebuild.kernels.tir.frame import Build, Frame, along, merged, task_axes, unravel
from edgebuild.kernels.tir.scalars import offset, strides_over


def stored(dtype: str) -> str:
    """The type that memory holds: a bool is a byte."""
    return "int8" if dtype == "bool" else dtype


def _lanes(frame: Frame, dtype: str) -> int:
    """Elements of one vector register."""
    return max(1, frame.isa.vector_bits // tirx.const(0, dtype).ty.itemsize // 8) if (
        hasattr(tirx.const(0, dtype).ty, "itemsize")
    ) else frame.isa.lanes  # fmt: skip


def copy(spec: Copy, kernel: Build) -> None:
    """Axes are merged; the innermost moves in vectors where both sides allow it."""
    sizes, steps = merged(spec.shape, spec.input_strides, spec.output_strides)
    sizes, (ins, outs) = task_axes(sizes, steps)
    # the axis on which the output is contiguous goes last: stores are dearer than loads
    order = sorted(range(1, len(sizes)), key=lambda a: abs(outs[a]) != 1 or sizes[a] == 1)
    order = [0, *order[1:], order[0]] if len(sizes) > 1 and sizes[0] > 1 else (
        [0, *order[1:], order[0]]
    )
    sizes, ins, outs = ([v[a] for a in order] for v in (sizes, ins, outs))
    dtype, inner = stored(spec.dtype), sizes[1:-1]
    frame = kernel.frame(sizes[0])
    w = frame.w
    with frame.each_task() as task:
        source = w.let_index(task * ins[0] + spec.input_offset)
        place = w.let_index(task * outs[0] + spec.output_offset)
        _nest(frame, inner, [ins[1:-1], outs[1:-1]], [source, place],
              lambda at: _line(frame, dtype, at[0], at[1], sizes[-1], ins[-1], outs[-1]))  # fmt: skip
    frame.finish()


def _nest(
    frame: Frame, sizes: list[int], strides: list[list[int]], bases: list[Index], body: object
) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        for axis, size in enumerate(sizes):
            i = stack.enter_context(frame.w.loop(0, size, "c"))
            bases = [b + i * s[axis] for b, s in zip(bases, strides, strict=True)]
        body([frame.w.let_index(b) for b in bases])  # type: ignore[operator]


def _line(
    frame: Frame, dtype: str, source: Index, place: Index, count: int, step: int, out: int
) -> None:
    """One axis. A stride of one moves vectors, of zero spreads one value, else single elements."""
    w, memory = frame.w, frame.inputs["input"]
    lanes = frame.isa.lanes * (4 if dtype in ("int8", "uint8") else 1)
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
    along(w, count, lanes,
          lambda i, n: frame.output.store(place + i, w.let(memory.load(source + i, dtype, n))))  # fmt: skip


def pad(spec: Pad, kernel: Build) -> None:
    """Tasks are the output's lines along its last axis."""
    dtype = stored(spec.dtype)
    outer, ins = spec.output[:-1], strides_over(spec.input, spec.input)
    full = [prod(spec.input[a + 1 :]) for a in range(len(spec.input))]
    frame = kernel.frame(prod(outer))
    w = frame.w
    lanes = frame.isa.lanes * (4 if dtype in ("int8", "uint8") else 1)
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
            low = tirx.GE(_index(at), const(0, "int64"))
            inside = tirx.And(inside, tirx.And(low, tirx.LT(_index(at), const(size, "int64"))))
        inside = w.let(inside)
        with w.when(inside):
            source = w.let_index(offset(moved, full[:-1]))
            fill(place, lead)
            move(frame, frame.inputs["input"], dtype, source, place + lead, body, lanes)
            fill(place + (lead + body), width - lead - body)
        with w.when(w.let(tirx.Not(inside))):
            fill(place, width)
    frame.finish()
    del ins


def _index(value: Index) -> Expr:
    return const(value, "int64") if isinstance(value, int) else value


def gather(spec: Gather, kernel: Build) -> None:
    """Tasks are output rows; the index is clamped, whatever a stranger sent."""
    dtype = stored(spec.dtype)
    frame = kernel.frame(spec.outer * spec.count)
    w = frame.w
    lanes = frame.isa.lanes * (4 if dtype in ("int8", "uint8") else 1)
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
