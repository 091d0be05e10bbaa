# SPDX-License-Identifier: Apache-2.0
"""Element-wise kernels: a program over a shape, axes merged so that vectors run long."""

from __future__ import annotations

from math import prod

from edgebuild.kernels.specs import Elementwise
from edgebuild.kernels.tir.emit import Index
from edgebuild.kernels.tir.frame import Build, along, merged, store, task_axes, unravel
from edgebuild.kernels.tir.scalars import Point, offset, strides_over


def build(spec: Elementwise, kernel: Build) -> None:
    """Tasks are positions of all axes but the last."""
    own = [strides_over(o.shape, spec.shape) for o in spec.program.operands]
    sizes, steps = merged(spec.shape, strides_over(spec.shape, spec.shape), *own)
    sizes, (out, *ins) = task_axes(sizes, steps)
    outer = sizes[:-1]
    # an operand may be the output's own memory, hence no promise that they are apart
    frame = kernel.frame(prod(outer), noalias=False)
    strides = {number: tuple(s) for number, s in enumerate(ins)}
    programs = frame.programs(spec.program, sizes, strides)
    with frame.each_task() as task:
        coordinates = unravel(frame.w, task, outer)
        base = frame.w.let_index(offset(coordinates, out[:-1]))

        def body(at: Index, lanes: int) -> None:
            value = programs.run(Point(coordinates=(*coordinates, at), lanes=lanes))
            store(frame.output, base + at, value)

        isa = kernel.isa
        lanes = isa.byte_lanes if spec.program.dtype == "int8" else isa.lanes
        along(frame.w, sizes[-1], lanes, body)
    frame.finish()
