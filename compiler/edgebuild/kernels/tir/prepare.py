# SPDX-License-Identifier: Apache-2.0
"""The phase before a contraction: the left side padded and in the form that the products want.

One pass over the input buys an inner loop without a branch, a mask or a conversion.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm import tirx

from edgebuild.kernels.tir.emit import Expr, Index, cast, const
from edgebuild.kernels.tir.frame import Build, along
from edgebuild.kernels.tir.products import Form

_BYTES = {"int8": 1, "int16": 2, "float32": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Rows of ``width`` elements in scratch, from element ``at`` on."""

    at: int
    height: int
    width: int  # elements of a row: columns times channels

    @property
    def size(self) -> int:
        return self.height * self.width


def image(
    kernel: Build, how: Form, shape: tuple[int, int, int, int], *, zero: int,
    before: tuple[int, int], size: tuple[int, int],
) -> Image:  # fmt: skip
    """Write the phase. ``shape``: of the input; ``size``: rows and columns with the padding."""
    n, h, w, c = shape
    width = size[1] * c
    item = _BYTES[how.source]
    # vectors of the last row's end may read past it
    at = kernel.scratch((n * size[0] * width) * item + 64) // item
    frame = kernel.frame(n * size[0])
    lanes = max(1, kernel.isa.vector_bits // (8 * item))
    lead, body = min(before[1], size[1]) * c, min(w, size[1] - before[1]) * c

    def fill(base: Index, count: int) -> None:
        value = zero + how.bias
        value = value - 256 if item == 1 and value > 127 else value
        along(frame.w, count, lanes,
              lambda i, k: frame.scratch.store(base + i, const(value, how.source, k)))  # fmt: skip

    def copy(base: Index, source: Index, count: int) -> None:
        def some(i: Index, k: int) -> None:
            value = frame.w.let(frame.inputs["input"].load(source + i, _plain(how), k))
            frame.scratch.store(base + i, _changed(value, how, k))

        along(frame.w, count, lanes, some)

    padded = size != (h, w)
    with frame.each_task() as row:
        base = frame.w.let_index(row * width + at)
        if not padded:
            copy(base, row * (w * c), width)
        else:
            height = const(size[0], "int64")
            y = frame.w.let(tirx.Mod(row, height) - before[0])
            number = frame.w.let(tirx.Div(row, height) * h + y)
            inside = frame.w.let((y >= const(0, "int64")) & (y < const(h, "int64")))
            with frame.w.when(inside):
                fill(base, lead)
                copy(base + lead, number * (w * c), body)
                fill(base + (lead + body), width - lead - body)
            with frame.w.when(frame.w.let(tirx.Not(inside))):
                fill(base, width)
    frame.finish()
    return Image(at=at, height=size[0], width=width)


def _plain(how: Form) -> str:
    return "float32" if how.source == "float32" else "int8"


def _changed(value: Expr, how: Form, lanes: int) -> Expr:
    if how.bias:
        return value ^ const(-128, "int8", lanes)
    return cast(value, how.source)
