# SPDX-License-Identifier: Apache-2.0
"""Convolutions and dense layers as one contraction without an im2col copy.

The walk goes over the window's rows (and columns, where dilation or groups keep them apart); a
run is all that is contiguous below: column times channel. A 1x1 window without stride is a
matrix product over all positions, and so is a dense layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tvm import tirx

from edgebuild.kernels.specs import Conv2d, Dense, Window
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import (
    Split,
    Tile,
    Walk,
    Weights,
    bias_first,
    rows_of,
    split,
)  # fmt: skip
from edgebuild.kernels.tir.emit import Expr, Index, Memory, const
from edgebuild.kernels.tir.frame import Build, Frame, merged, unravel, window_reach
from edgebuild.kernels.tir.prepare import image
from edgebuild.kernels.tir.products import Form, form
from edgebuild.kernels.tir.scalars import strides_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """A convolution with the left side where the tiles read it."""

    rows: int  # output rows of all images
    height: int  # output rows of one image
    columns: int  # outputs in a row
    image_stride: int  # elements between images, rows of outputs, outputs
    row_stride: int
    column_stride: int


def dense(spec: Dense, kernel: Build) -> None:
    """One row of m positions."""
    flat = Conv2d(
        input=(1, 1, spec.m, spec.k), output=(1, 1, spec.m, spec.n),
        window=Window(kernel=(1, 1)), dtype=spec.dtype, input_zero=spec.input_zero,
        epilogue=spec.epilogue,
    )  # fmt: skip
    _build(flat, kernel, (spec.m, spec.n))


def conv2d(spec: Conv2d, kernel: Build) -> None:
    _build(spec, kernel, spec.output)


def _build(spec: Conv2d, kernel: Build, domain: tuple[int, ...]) -> None:
    how = form(kernel.isa, spec.dtype)
    plain = spec.window.kernel == (1, 1) and spec.window.stride == (1, 1)
    steps = [strides_over(o.shape, domain) for o in spec.epilogue.operands]
    joined = merged(domain[:-1], *(s[:-1] for s in steps))[0] if domain else []
    flat = plain and spec.input[:3] == spec.output[:3] and spec.groups == 1 and len(joined) == 1
    if flat:
        domain = (prod(domain[:-1]), domain[-1])
        pixels = prod(spec.output[:3])
        shape: tuple[int, int, int, int] = (1, 1, pixels, spec.input[3])
        output: tuple[int, int, int, int] = (1, 1, pixels, spec.output[3])
    else:
        shape, output = spec.input, spec.output
    size = (shape[1], shape[2]) if flat else (window_reach(spec, 0), window_reach(spec, 1))
    walk = _walk(spec, how, size[1])
    needs = how.prepared or size != shape[1:3] or walk.run % walk.group != 0
    at = 0
    if needs:
        before = (0, 0) if flat else spec.window.padding
        at = image(kernel, how, shape, zero=spec.input_zero, before=before, size=size).at
    geometry = Geometry(
        rows=output[0] * output[1], height=output[1], columns=output[2],
        image_stride=size[0] * size[1] * shape[3],
        row_stride=spec.window.stride[0] * size[1] * shape[3] if not flat else 0,
        column_stride=spec.window.stride[1] * shape[3],
    )  # fmt: skip
    _tiles(spec, kernel, how, walk, geometry, domain, needs, at, steps)


def _walk(spec: Conv2d, how: Form, columns: int) -> Walk:
    c = spec.input[3]
    (kh, kw), (dh, dw) = spec.window.kernel, spec.window.dilation
    down = (kh, dh * columns * c)
    if spec.groups == 1 and (dw == 1 or kw == 1):
        return Walk(outer=(down,), run=kw * c, group=how.group)
    return Walk(outer=(down, (kw, dw * c)), run=c // spec.groups, group=how.group)


def _natural(spec: Conv2d, walk: Walk, constants: Constants) -> Array:
    return constants["weights"].reshape(spec.output[3], walk.positions, walk.run)


def _tiles(
    spec: Conv2d, kernel: Build, how: Form, walk: Walk, g: Geometry, domain: tuple[int, ...],
    prepared: bool, at: int, steps: list[tuple[int, ...]],
) -> None:  # fmt: skip
    channels = spec.output[3] // spec.groups
    cut = split(kernel.isa, how, channels, g.columns)
    rows = rows_of(kernel.isa, how, cut.vectors, max(1, g.columns))
    bias = bias_first(spec.epilogue, spec.output[3])
    weights = Weights(
        kernel.block, how, cut, walk, groups=spec.groups, dtype=spec.dtype, bias=bias,
        zero=spec.input_zero, natural=lambda c: _natural(spec, walk, c),
    )  # fmt: skip
    chunk = _chunk(kernel, how, walk, g, rows)
    spans = -(-g.columns // chunk) if g.columns else 0
    counts = _order(kernel, cut, walk, g, spec, spans)
    frame = kernel.frame(prod(n for _, n in counts))
    flat: dict[int, tuple[int, ...]] = dict(enumerate(_joined(steps, domain)))
    programs = frame.programs(spec.epilogue, domain, flat if len(domain) == 2 else None)
    tile = Tile(frame, how, walk, cut, weights, programs, 0 if bias is None else 1)
    with frame.each_task() as task:
        where = dict(zip(
            (name for name, _ in counts), unravel(frame.w, task, [n for _, n in counts]),
            strict=True,
        ))  # fmt: skip
        _task(spec, frame, tile, cut, g, where, domain, rows, chunk, prepared, at)
    frame.finish()


def _joined(steps: list[tuple[int, ...]], domain: tuple[int, ...]) -> list[tuple[int, int]]:
    """Strides over (position, channel): all positions of a flat image are one axis."""
    return [(max((*s[:-1], 0)) and domain[-1], s[-1]) for s in steps]


def _chunk(kernel: Build, how: Form, walk: Walk, g: Geometry, rows: int) -> int:
    """Columns of one task: a whole row, or as many tiles of a long one as leave L2 room."""
    tiles = -(-g.columns // rows)
    if g.rows > 1 or tiles <= 1:
        return rows * max(1, tiles)
    item = {"int8": 1, "int16": 2, "float32": 4}[how.source]
    fitting = kernel.isa.l2_bytes // 8 // max(1, rows * walk.run * item)
    # at least 8 tasks where there is work for several cores
    return rows * max(1, min(fitting, -(-tiles // 8)))


def _order(
    kernel: Build, cut: Split, walk: Walk, g: Geometry, spec: Conv2d, spans: int
) -> list[tuple[str, int]]:
    """Which axis of tasks turns slowest: the one that makes less to be read again from afar."""
    item = 4 if spec.dtype == "float32" else 1
    near = kernel.isa.l2_bytes // 2
    left = item * g.rows * g.columns * walk.run * walk.positions
    right = item * cut.padded * spec.groups * walk.run * walk.positions
    places = [("row", g.rows), ("span", spans)]
    blocks = [("group", spec.groups), ("block", cut.blocks)]
    again_left = left * (cut.blocks - 1) if left > near else 0
    again_right = right * (g.rows * spans - 1) if right > near else 0
    if again_left == again_right == 0:
        # all in L2: the operand that fits L1 stays inside
        again_right = right * (g.rows * spans - 1) if right > kernel.isa.l1_bytes // 2 else 0
        again_left = left * (cut.blocks - 1) if again_right else 1
    return [*blocks, *places] if again_left < again_right else [*places, *blocks]


def _task(
    spec: Conv2d, frame: Frame, tile: Tile, cut: Split, g: Geometry, where: dict[str, Index],
    domain: tuple[int, ...], rows: int, chunk: int, prepared: bool, at: int,
) -> None:  # fmt: skip
    w = frame.w
    left: Memory = frame.scratch if prepared else frame.inputs["input"]
    row, group, block = where["row"], where["group"], where["block"]
    number, y = _image_row(frame, row, g)
    base = w.let_index(
        number * g.image_stride + y * g.row_stride + at
        + group * (spec.input[3] // spec.groups)
    )  # fmt: skip
    place = w.let_index(row * g.columns)

    def some(first: Index, count: int, *, tail: bool) -> None:
        columns = [first + m for m in range(count)]
        bases = [w.let_index(base + c * g.column_stride) for c in columns]
        stores = [w.let_index((place + c) * spec.output[3]) for c in columns]
        points = [_point(domain, number, y, place, c) for c in columns]
        tile.emit(left, bases, points, stores, group, block, tail=tail)

    def span(*, tail: bool) -> None:
        _span(frame, g, where["span"], rows, chunk, lambda f, n: some(f, n, tail=tail))

    if not cut.tail:
        span(tail=False)
    elif cut.blocks == 1:
        span(tail=True)
    else:
        last = const(cut.blocks - 1, "int64")
        with w.when(block < last):
            span(tail=False)
        with w.when(block >= last):
            span(tail=True)


def _image_row(frame: Frame, row: Index, g: Geometry) -> tuple[Index, Index]:
    if g.rows == g.height:
        return 0, row
    height = const(g.height, "int64")
    return frame.w.let(tirx.Div(row, height)), frame.w.let(tirx.Mod(row, height))


def _point(
    domain: tuple[int, ...], number: Index, y: Index, place: Index, column: Index
) -> tuple[Index, ...]:
    """Epilogue coordinates before the channel; a flattened image has its position in the last."""
    if len(domain) == 2:
        return (column,)
    return (number, y, column)


def _span(
    frame: Frame, g: Geometry, span: Index, rows: int, chunk: int,
    some: object,
) -> None:  # fmt: skip
    """The tiles of one task: whole ones in a loop, and the row's odd end."""
    w = frame.w
    whole = g.columns // rows
    rest = g.columns - whole * rows
    per = chunk // rows
    spans = -(-g.columns // chunk)
    if spans == 1:
        if whole == 1:
            some(0, rows)  # type: ignore[operator]
        elif whole:
            with w.loop(0, whole, "x") as x:
                some(w.let(x * rows), rows)  # type: ignore[operator]
    elif whole:
        first = w.let(span * per)
        last: Expr = w.let(tirx.Min(first + const(per, "int64"), const(whole, "int64")))
        with w.loop(first, last, "x") as x:
            some(w.let(x * rows), rows)  # type: ignore[operator]
    if rest:
        if spans == 1:
            some(whole * rows, rest)  # type: ignore[operator]
        else:
            with w.when(span >= const(spans - 1, "int64")):
                some(whole * rows, rest)  # type: ignore[operator]
