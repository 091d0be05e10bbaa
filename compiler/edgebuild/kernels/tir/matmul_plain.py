# SPDX-License-Identifier: Apache-2.0
"""Products of two inputs without packing: few rows, odd strides, and integers."""

from __future__ import annotations

from math import prod

from edgebuild.kernels.specs import Matmul
from edgebuild.kernels.tir.emit import Expr, Index, cast, const, llvm, splat
from edgebuild.kernels.tir.frame import Build, Frame, along, store, unravel
from edgebuild.kernels.tir.scalars import Point, offset


def matmul(spec: Matmul, kernel: Build) -> None:
    """Tasks are rows of the output."""
    outer = (*spec.batch, spec.m)
    frame = kernel.frame(prod(outer))
    w = frame.w
    programs = frame.programs(spec.epilogue, (*outer, spec.n))
    kind = "float32" if spec.dtype == "float32" else "int32"
    with frame.each_task() as task:
        where = unravel(w, task, outer)
        left = w.let_index(offset(where, spec.left_strides[:-1]))
        right = w.let_index(offset(where[:-1], spec.right_strides[:-2]))
        place = w.let_index(offset(where, spec.output_strides[:-1]))
        step = spec.output_strides[-1]

        def body(j: Index, n: int) -> None:
            total = w.registers(kind, n, 1, "sum")
            total.set(0, const(0, kind, n))
            with w.loop(0, spec.k, "k") as k:
                a = frame.inputs["left"].load(left + k * spec.left_strides[-1], spec.dtype)
                at = right + k * spec.right_strides[-2] + j * spec.right_strides[-1]
                b = frame.inputs["right"].load(at, spec.dtype, n, spec.right_strides[-1])
                total.set(0, _add(frame, spec, total.get(0), w.let(splat(a, n)), w.let(b), n))
            value = programs.run(Point(coordinates=(*where, j), lanes=n), w.let(total.get(0)))
            if step == 1 or n == 1:
                store(frame.output, place + j * step, value)
            else:
                frame.output.store(place + j * step, value, step)

        along(w, spec.n, frame.isa.lanes, body)
    frame.finish()


def _add(frame: Frame, spec: Matmul, total: Expr, a: Expr, b: Expr, n: int) -> Expr:
    if spec.dtype == "float32":
        return llvm("float32", n, "llvm.fma", a, b, total) if frame.isa.fma else total + a * b
    wide_a = cast(a, "int32") - const(spec.left_zero, "int32", n)
    wide_b = cast(b, "int32") - const(spec.right_zero, "int32", n)
    return total + wide_a * wide_b
