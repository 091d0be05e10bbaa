# SPDX-License-Identifier: Apache-2.0
"""Convolutions and dense layers as one contraction without an im2col copy.

The walk goes over the window's rows (and columns, where dilation or groups keep them apart); a
run is all that is contiguous below: column times channel. A 1x1 window without stride is a
matrix product over all positions, and so is a dense layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from tvm import tirx

from edgebuild.kernels.specs import Conv2d, Dense, Window
from edgebuild.kernels.tir import across, digits, expanded, position_pairs, winograd_rule, words
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import (
    Right,
    Rows,
    Tile,
    Walk,
    Weights,
    bias_first,
)  # fmt: skip
from edgebuild.kernels.tir.emit import Index, Memory, const
from edgebuild.kernels.tir.frame import (
    Build,
    Frame,
    but_last,
    divided,
    merged,
    nest,
    unravel,
    window_reach,
)  # fmt: skip
from edgebuild.kernels.tir.prepare import Copy, Strips, shares
from edgebuild.kernels.tir.products import Form, form, stored_as
from edgebuild.kernels.tir.scalars import strides_over
from edgebuild.kernels.tir.tile_shape import rows_of, split
from edgebuild.kernels.tir.winograd import winograd


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
        epilogue=spec.epilogue, symmetric=spec.symmetric, stored=spec.stored,
    )  # fmt: skip
    _build(flat, kernel, (spec.m, spec.n))


def conv2d(spec: Conv2d, kernel: Build) -> None:
    faster = winograd_rule.choose(spec, kernel.isa, kernel.free_bytes)
    if faster is not None:
        winograd(spec, faster, kernel)
    else:
        _build(spec, kernel, spec.output)


def _build(spec: Conv2d, kernel: Build, domain: tuple[int, ...]) -> None:
    plain = spec.window.kernel == (1, 1) and spec.window.stride == (1, 1)
    steps = [strides_over(o.shape, domain) for o in spec.epilogue.operands]
    joined = merged(domain[:-1], *(s[:-1] for s in steps))[0] if domain else []
    flat = plain and spec.input[:3] == spec.output[:3] and spec.groups == 1 and len(joined) == 1
    depth, run = prod(spec.window.kernel) * spec.input[3] // spec.groups, _run(spec)
    how = form(kernel.isa, spec.dtype, symmetric=spec.symmetric, depth=depth, run=run,
               rows=prod(spec.output[:3]),
               columns=prod(spec.output[:3]) if flat else spec.output[2])  # fmt: skip
    if flat:
        domain = (prod(domain[:-1]), domain[-1])
        pixels = prod(spec.output[:3])
        shape: tuple[int, int, int, int] = (1, 1, pixels, spec.input[3])
        output: tuple[int, int, int, int] = (1, 1, pixels, spec.output[3])
    else:
        shape, output = spec.input, spec.output
    if flat and words.suits(kernel.isa, spec.dtype, output[2], spec.input[3]):
        at = replace(spec, input=shape, output=output)
        words.Words(at, kernel, domain, _flat_strides(steps)).build()
        return
    if flat and digits.suits(replace(spec, input=shape, output=output), kernel):
        at = replace(spec, input=shape, output=output)
        digits.Digits(at, kernel, domain, _flat_strides(steps)).build()
        return
    if how.real and position_pairs.suits(spec, kernel.isa):
        at = replace(spec, input=shape, output=output)
        tile = position_pairs.plan(at, kernel, flat=flat)
        if tile is not None:
            strides = _flat_strides(steps) if flat else None
            position_pairs.Pairs(at, kernel, tile, domain, strides).build()
            return
    if how.across:
        strides = _flat_strides(steps) if len(domain) == 2 else None
        across.build(spec, kernel, how, across.Shape(
            input=shape, output=output, domain=domain, strides=strides))  # fmt: skip
        return
    size = (shape[1], shape[2]) if flat else (window_reach(spec, 0), window_reach(spec, 1))
    walk = _walk(spec, how, size[1])
    copy = None
    apart = kernel.over != "input"
    before = (0, 0) if flat else spec.window.padding
    inside = size == shape[1:3] and not any(before)
    if not apart or how.prepared or not inside or walk.run % how.end != 0:
        copy = Copy(kernel, how, shape, zero=spec.input_zero, before=before, size=size,
                    beyond=0 if walk.short(how) else -walk.run % walk.group)  # fmt: skip
    geometry = Geometry(
        rows=output[0] * output[1], height=output[1], columns=output[2],
        image_stride=size[0] * size[1] * shape[3],
        row_stride=spec.window.stride[0] * size[1] * shape[3] if not flat else 0,
        column_stride=spec.window.stride[1] * shape[3],
    )  # fmt: skip
    Convolution(spec, kernel, how, walk, geometry, domain, steps).build(copy, flat=flat)


def _walk(spec: Conv2d, how: Form, columns: int) -> Walk:
    c = spec.input[3]
    (kh, kw), (dh, dw) = spec.window.kernel, spec.window.dilation
    down = (kh, dh * columns * c)
    run = _run(spec)
    if run == kw * c:
        return Walk(outer=(down,), run=run, group=how.group)
    return Walk(outer=(down, (kw, dw * c)), run=run, group=how.group)


def _run(spec: Conv2d) -> int:
    """Neighbouring elements that one output reads."""
    c, kw = spec.input[3], spec.window.kernel[1]
    whole = spec.groups == 1 and (spec.window.dilation[1] == 1 or kw == 1)
    return kw * c if whole else c // spec.groups


def _natural(spec: Conv2d, walk: Walk, constants: Constants) -> Array:
    return constants["weights"].reshape(spec.output[3], walk.positions, walk.run)


def _flat_strides(steps: list[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """Strides over (position, channel): all positions of a flat image are one axis.

    Its stride is the innermost one's: a row of channels, or 1 for one number per position.
    """
    return {
        n: (min((step for step in s[:-1] if step), default=0), s[-1]) for n, s in enumerate(steps)
    }


class Convolution:
    """Emits the tiles of a convolution whose geometry is known."""

    def __init__(
        self, spec: Conv2d, kernel: Build, how: Form, walk: Walk, g: Geometry,
        domain: tuple[int, ...], steps: list[tuple[int, ...]],
    ) -> None:  # fmt: skip
        self.spec, self.kernel, self.how, self.walk, self.g = spec, kernel, how, walk, g
        self.domain = domain
        self.strides = _flat_strides(steps) if len(domain) == 2 else None
        channels = spec.output[3] // spec.groups
        self.cut = split(kernel.isa, how, channels, g.columns)
        self.rows = rows_of(kernel.isa, how, self.cut.vectors, max(1, g.columns))
        self.bias = bias_first(spec.epilogue, spec.output[3])
        stored = Weights(
            kernel.block, how, self.cut, walk, groups=spec.groups,
            dtype=stored_as(spec.stored, kernel.isa) or spec.dtype,
            bias=self.bias, zero=spec.input_zero, natural=lambda c: _natural(spec, walk, c),
        )  # fmt: skip
        tiles = self.g.rows * -(-self.g.columns // self.rows)
        many = expanded.suits(kernel, stored.dtype, tiles, stored.size)
        self.expanded = expanded.Expanded(stored, kernel) if many and self.real else None
        self.weights: Right = self.expanded or stored
        self.chunk = self._chunk()

    @property
    def real(self) -> bool:
        """Whether sums are floats that start with zero."""
        return self.spec.dtype == "float32" and self.bias is None

    def build(self, copy: Copy | None, *, flat: bool) -> None:
        if self.expanded is not None:
            self.expanded.phase()
        if copy is not None and copy.is_large:
            self._flat_strips(copy) if flat else self._strips(copy)
            return
        at = 0 if copy is None else copy.phase()
        spans = -(-self.g.columns // self.chunk) if self.g.columns else 0
        counts = self._order(spans)
        frame = self.kernel.frame(prod(n for _, n in counts))
        tile = self._tile(frame)
        with frame.each_task() as task:
            numbers = unravel(frame.w, task, [n for _, n in counts])
            where = dict(zip((name for name, _ in counts), numbers, strict=True))
            number, y = divided(frame, where["row"], self.g.height)
            number, y = (0, where["row"]) if self.g.rows == self.g.height else (number, y)
            base = number * self.g.image_stride + y * self.g.row_stride + at
            left = frame.inputs["input"] if copy is None else frame.scratch
            self._task(frame, tile, left, base, (number, y), where)
        frame.finish()

    def _tile(self, frame: Frame) -> Tile:
        programs = frame.programs(self.spec.epilogue, self.domain, self.strides)
        if self.expanded is not None:
            self.expanded.memory = frame.scratch
        skip = 0 if self.bias is None else 1
        return Tile(frame, self.how, self.walk, self.cut, self.weights, programs, skip)

    def _strips(self, copy: Copy) -> None:
        """Strips of output rows; blocks of channels turn outside of a strip's rows."""
        g, window = self.g, self.spec.window
        self.chunk = self.rows * -(-g.columns // self.rows)  # whole rows, of a signal too
        span = (window.kernel[0] - 1) * window.dilation[0] + 1
        strips = Strips(copy, outputs=(g.rows // g.height, g.height), stride=window.stride[0],
                        span=span)  # fmt: skip
        with strips.each() as (frame, number, top, place):
            tile, w = self._tile(frame), frame.w
            sizes = [self.spec.groups, self.cut.blocks]
            with nest(frame, sizes, [[1, 0], [0, 1]], [0, 0]) as (group, block):

                def row(r: Index, y: Index) -> None:
                    line = w.let_index(number * g.height + y)
                    where = {"row": line, "span": 0, "group": group, "block": block}
                    base = place + r * g.row_stride
                    self._task(frame, tile, frame.scratch, base, (number, y), where)

                strips.rows_of(frame, top, row)

    def _flat_strips(self, copy: Copy) -> None:
        """Strips of positions, for a product over all of them."""
        channels = self.spec.input[3]
        position = channels * copy.item
        self.chunk = self.rows * max(1, copy.budget // (self.rows * position))
        count = -(-self.g.columns // self.chunk)
        rest = self.g.columns - (count - 1) * self.chunk
        with shares(self.kernel, count) as (frame, task, strip):
            w, tile = frame.w, self._tile(frame)
            at = copy.reserve(frame.tasks * self.chunk * channels)
            place = w.let_index(task * (self.chunk * channels) + at)
            source = w.let_index(strip * (self.chunk * channels))

            def convert(columns: int) -> None:
                copy.convert(frame, place, source, columns * channels)

            but_last(w, strip, count, convert, self.chunk, rest)
            # tiles count their columns from the whole image's first
            base = w.let_index(place - strip * (self.chunk * channels))
            with w.loop(0, self.cut.blocks, "b") as block:
                where = {"row": 0, "span": strip, "group": 0, "block": block}
                self._task(frame, tile, frame.scratch, base, (0, 0), where)

    def _chunk(self) -> int:
        """Columns of one task: a whole row, or as many tiles of a long one as leave L2 room."""
        tiles = -(-self.g.columns // self.rows)
        if self.g.rows > 1 or tiles <= 1:
            return self.rows * max(1, tiles)
        item = {"int8": 1, "int16": 2, "float32": 4}[self.how.source]
        fitting = self.kernel.isa.l2_bytes // 8 // max(1, self.rows * self.walk.run * item)
        # at least 8 tasks where there is work for several cores
        return self.rows * max(1, min(fitting, -(-tiles // 8)))

    def _order(self, spans: int) -> list[tuple[str, int]]:
        """Which axis of tasks turns slowest: the one that costs less to be read again."""
        g, isa, depth = self.g, self.kernel.isa, self.walk.run * self.walk.positions
        item = 4 if self.spec.dtype == "float32" else 1
        left = item * g.rows * g.columns * depth
        right = item * self.cut.padded * self.spec.groups * depth
        places = [("row", g.rows), ("span", spans)]
        blocks = [("group", self.spec.groups), ("block", self.cut.blocks)]
        again_left = left * (self.cut.blocks - 1) if left > isa.l2_bytes // 2 else 0
        again_right = right * (g.rows * spans - 1) if right > isa.l2_bytes // 2 else 0
        if again_left == again_right == 0:
            # all in L2: the weights stay inside if L1 holds them
            return [*blocks, *places] if right > isa.l1_bytes // 2 else [*places, *blocks]
        return [*blocks, *places] if again_left < again_right else [*places, *blocks]

    def _task(
        self, frame: Frame, tile: Tile, left: Memory, start: Index,
        at: tuple[Index, Index], where: dict[str, Index],
    ) -> None:  # fmt: skip
        """The tiles of one row (or span of it) and one block of channels.

        ``start``: the element of the left side that the row's first output reads first;
        ``at``: image and row; ``where``: the axes of the tasks.
        """
        w, spec, cut, columns = frame.w, self.spec, self.cut, self.g.columns
        group, block = where["group"], where["block"]
        base = w.let_index(start + group * (spec.input[3] // spec.groups))
        place = w.let_index(where["row"] * columns)

        def some(first: Index, count: int, *, tail: bool) -> None:
            numbers = [first + m for m in range(count)]
            stride = self.g.column_stride
            rows = Rows(first=w.let_index(base + first * stride), stride=stride, count=count)
            stored = w.let_index((place + first) * spec.output[3])
            stores = Rows(first=stored, stride=spec.output[3], count=count)
            # a flattened image has its position as the only coordinate before the channel
            flat = len(self.domain) == 2
            points: list[tuple[Index, ...]] = [(c,) if flat else (*at, c) for c in numbers]
            tile.emit(left, rows, points, stores, group, block, tail=tail)

        def span(tail: bool) -> None:
            self._span(frame, where["span"], lambda f, n: some(f, n, tail=tail))

        but_last(w, block, cut.blocks, span, False, cut.tail > 0)

    def _span(self, frame: Frame, span: Index, some: Callable[[Index, int], None]) -> None:
        """Whole tiles in a loop, and the row's odd end."""
        w, columns, rows = frame.w, self.g.columns, self.rows
        whole, rest = divmod(columns, rows)
        spans = -(-columns // self.chunk)
        if spans <= 1:
            if whole == 1:
                some(0, rows)
            elif whole:
                with w.loop(0, whole, "x") as x:
                    some(w.let(x * rows), rows)
            if rest:
                some(whole * rows, rest)
            return
        per = self.chunk // rows
        first = w.let(span * per)
        last = w.let(tirx.Min(first + const(per, "int64"), const(whole, "int64")))
        with w.loop(first, last, "x") as x:
            some(w.let(x * rows), rows)
        if rest:
            with w.when(span >= const(spans - 1, "int64")):
                some(whole * rows, rest)
