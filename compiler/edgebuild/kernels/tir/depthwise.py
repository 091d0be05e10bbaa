# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions: vectors run along the channels, register tiles along the columns.

A column that is loaded serves every output of the tile under whose window it lies, and a weight
every output. The image is read where it is: rows outside of it are another branch, and tiles at
the left and right edge are written out. There floats skip what is not there, and integers take the
zero point instead, for which the start of the sums already accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import gcd, prod

import numpy as np
from tvm import tirx

from edgebuild.kernels.emission import SETS_BYTES, Strips
from edgebuild.kernels.specs import Depthwise2d
from edgebuild.kernels.tir import depthwise_planes, depthwise_quads, depthwise_words
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import bias_first
from edgebuild.kernels.tir.depthwise_quads import WRITTEN_OUT, inside_columns, spans, taps
from edgebuild.kernels.tir.emit import (
    Expr,
    Index,
    Memory,
    Registers,
    cast,
    const,
    index,
    llvm,
    splat,
)
from edgebuild.kernels.tir.frame import Build, Frame, along, divided, even, store, window_reach
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.products import stored_as
from edgebuild.kernels.tir.scalars import Point, Programs


class Weights:
    """Weights and the start of the accumulators in the kernel's constants."""

    def __init__(self, spec: Depthwise2d, kernel: Build) -> None:
        o, taps = spec.output[3], spec.window.kernel[0] * spec.window.kernel[1]
        self.bias = bias_first(spec.epilogue, o)
        self.kind = "float32" if spec.dtype == "float32" else "int32"

        def start(c: Constants) -> Array:
            sums = c["weights"].astype(np.int64).reshape(taps, o).sum(axis=0)
            first = np.zeros(o) if self.kind == "float32" else sums * -spec.input_zero
            return first if self.bias is None else first + c[f"p{self.bias}"].reshape(-1)

        self.start_at = kernel.block.reserve("start", self.kind, o, start)
        smaller = stored_as(spec.stored, kernel.isa) if kernel.isa.tight else ""
        self.dtype = smaller or spec.dtype
        self.at = kernel.block.reserve("weights", self.dtype, taps * o, lambda c: c["weights"])


def depthwise(spec: Depthwise2d, kernel: Build) -> None:
    """Tasks are output rows of a part of the channels."""
    if spec.dtype == "int8" and depthwise_quads.suits(spec, kernel.isa):
        depthwise_quads.build(spec, kernel)
        return
    if depthwise_words.suits(spec, kernel.isa):
        words = depthwise_words.Words(spec, kernel)
        if words.fits(kept_bytes(spec, kernel)):
            words.build()
            return
    planes = depthwise_planes.plan(spec, kernel)
    if planes is not None:
        depthwise_planes.build(spec, kernel, planes)
        return
    weights, count = Weights(spec, kernel), spec.output[0] * spec.output[1]
    behind = kernel.over == "input"
    # a row that follows is kept whole
    pieces = 1 if behind else parts(spec, kernel.isa)
    frame = kernel.frame(1 if behind else count * pieces)
    rows = Rows(spec, frame, weights, spec.output[3] // pieces)
    kernel.tiles = Strips(columns=rows.columns, parts=pieces)
    with ExitStack() as stack:
        line = stack.enter_context(frame.each_task())
        if behind:
            line = stack.enter_context(frame.w.loop(0, count, "line"))
        part, line = (0, line) if pieces == 1 else divided(frame, line, count)
        number, y = divided(frame, line, spec.output[1])
        number, y = (0, line) if spec.output[0] == 1 else (number, y)
        base = frame.w.let_index(number * prod(spec.input[1:]))
        if behind:
            rows.keep(y, base)
        rows.emit(number, y, base, part)
    frame.finish()


def parts(spec: Depthwise2d, isa: Isa) -> int:
    """Parts of the channels, such that the rows of a window stay in half of the first cache.

    All rows of a part are computed before the next one's, so that each is loaded from L2 once and
    not once for every row of the window. Only whole vectors, equally many to a part.
    """
    channels, item = spec.output[3], 4 if spec.dtype == "float32" else 1
    vectors, rest = divmod(channels, 2 * isa.lanes)
    places = spec.window.kernel[0] * spec.input[2]
    size = prod(spec.input) * item
    if rest or spec.input[3] != channels or spec.window.kernel[0] == 1 or size > isa.l2_bytes:
        return 1
    # positions this far apart fall on the same lines of the cache
    apart = gcd(channels * item, SETS_BYTES) if size > isa.l2_bytes // 2 else 0
    for count in range(1, vectors + 1):
        part = channels * item // count
        if vectors % count == 0 and places * max(part, apart) <= isa.l1_bytes // 2:
            return count
    return 1


def follows(spec: Depthwise2d) -> bool:
    """Whether the output may follow its input through the same memory, row by row."""
    return spec.window.stride == (1, 1) and spec.input == spec.output and taps(spec) <= WRITTEN_OUT


def kept_bytes(spec: Depthwise2d, kernel: Build) -> int:
    """Rows that are overwritten and read again, where the output follows its input."""
    rows = spec.window.padding[0] + 1 if kernel.over == "input" else 0
    return rows * spec.input[2] * spec.input[3] * (1 if spec.dtype == "int8" else 4)


class Rows:
    """Emits output rows.

    Where the output follows its input, the rows that are overwritten and read again are kept in
    scratch, in a ring: the row that is about to be written and those above it under its windows.
    """

    def __init__(self, spec: Depthwise2d, frame: Frame, weights: Weights, channels: int) -> None:
        """``channels`` of a part."""
        self.spec, self.frame, self.weights, self.channels = spec, frame, weights, channels
        self.left, self.padding = frame.inputs["input"], spec.window.padding
        self.size = spec.input[1:3]
        self.programs: Programs = frame.programs(spec.epilogue, spec.output)
        self.multiplier = spec.output[3] // max(1, spec.input[3])
        wide = self.multiplier == 1 or spec.input[3] == 1
        lanes = frame.isa.lanes if spec.dtype == "float32" else frame.isa.byte_lanes
        neon = frame.isa.arch == "aarch64" and spec.dtype == "int8"
        self.lanes = (8 if neon else lanes) if wide else 1
        self.ring = self.padding[0] + 1 if frame.kernel.over == "input" else 0
        self.width = spec.input[2] * spec.input[3]
        item = 1 if spec.dtype == "int8" else 4
        self.kept = frame.kernel.scratch(kept_bytes(spec, frame.kernel)) // item

    @property
    def columns(self) -> int:
        """Neighbouring outputs of a tile."""
        if taps(self.spec) > WRITTEN_OUT:
            return 1
        most = 8 if self.frame.isa.registers >= 32 else 4
        if self.lanes > self.frame.isa.lanes:
            most = min(most, 4)
        return even(self.spec.output[2], most)

    def keep(self, y: Index, base: Index) -> None:
        """Copy row ``y`` of the image at ``base``, which is written over next."""
        w, frame, dtype = self.frame.w, self.frame, self.spec.dtype
        source, place = w.let_index(base + y * self.width), self._kept(y)

        def some(i: Index, lanes: int) -> None:
            frame.scratch.store(place + i, w.let(self.left.load(source + i, dtype, lanes)))

        along(w, self.width, self.lanes, some)

    def _kept(self, line: Index) -> Index:
        """Where the ring has a row that is one of the last."""
        turn = const(self.ring, "int64")
        return self.frame.w.let(tirx.Mod(line + turn, turn) * self.width + self.kept)

    def emit(self, number: Index, y: Index, base: Index, part: Index) -> None:
        """Row ``y`` of the image that begins at element ``base``, a part of the channels."""
        spec, w = self.spec, self.frame.w
        ow, columns = spec.output[2], self.columns
        first, last = (0, ow) if taps(spec) > WRITTEN_OUT else inside_columns(spec)
        top = w.let_index(y * spec.window.stride[0] - self.padding[0])
        row = w.let_index(number * spec.output[1] + y)
        self._where = (number, y, top, row, base)
        self._first = w.let_index(part * self.channels)
        for x, count in spans(ow, columns, first, last):
            if count == 1:
                self._tile(x, min(columns, ow - x))
            else:
                with w.loop(0, count, "x") as i:
                    self._tile(w.let(i * columns + x), columns)

    def _tile(self, x: Index, count: int) -> None:
        """``count`` neighbouring outputs, all channels."""
        spec, w, ow = self.spec, self.frame.w, self.spec.output[2]
        number, y, top, row, base = self._where
        place = w.let_index((row * ow + x) * spec.output[3])
        left = w.let_index(x * spec.window.stride[1] - self.padding[1])

        def body(i: Index, lanes: int) -> None:
            c = w.let_index(self._first + i)
            sums = self._sums(base, top, left, x, count, c, lanes)
            is_even = not isinstance(i, int) or i % 2 == 0
            for m in range(count):
                point = Point(coordinates=(number, y, x + m, c), lanes=lanes, even=is_even)
                skip = 0 if self.weights.bias is None else 1
                done = self.programs.run(point, w.let(sums.get(m)), skip=skip)
                store(self.frame.output, place + (c + m * spec.output[3]), done)

        along(w, self.channels, self.lanes, body, twice=self.frame.kernel.over is None)

    def _sums(
        self, base: Index, top: Index, left: Index, x: Index, count: int, c: Index, lanes: int
    ) -> Registers:
        w, spec, weights = self.frame.w, self.spec, self.weights
        sums = w.registers(weights.kind, lanes, count, "sum")
        start = w.let(self.frame.constants.load(weights.start_at + c, weights.kind, lanes))
        for m in range(count):
            sums.set(m, start)
        (kh, kw), down = spec.window.kernel, spec.window.dilation[0]
        inside = self.padding[0] == 0 and window_reach(spec, 0) <= self.size[0]

        def line(ky: Index) -> None:
            at = w.let_index(top + ky * down)

            def read() -> None:
                row = w.let_index((at * self.size[1] + left) * spec.input[3] + base)
                if taps(spec) > WRITTEN_OUT:
                    self._long_row(sums, ky, row, x, c, lanes)
                elif self.ring and ky * down <= self.padding[0]:
                    row = w.let_index(self._kept(at) + left * spec.input[3])
                    self._row(sums, ky, self.frame.scratch, row, x, count, c, lanes)
                else:
                    self._row(sums, ky, self.left, row, x, count, c, lanes)

            def pad() -> None:
                with self._columns(kw) as columns:
                    for kx in columns:
                        self._add_padding(sums, count, self._tap(ky, kx, c, lanes), lanes)

            read() if inside else self._either(at, self.size[0], read, pad)

        with self._columns(kh) as numbers:
            for ky in numbers:
                line(ky)
        return sums

    @contextmanager
    def _columns(self, count: int) -> Iterator[Sequence[Index]]:
        """The numbers below ``count``, written out or as a loop's counter: code must not grow."""
        if taps(self.spec) <= WRITTEN_OUT:
            yield range(count)
            return
        with self.frame.w.loop(0, count, "k") as k:
            yield [k]

    def _either(
        self, at: Index, size: int, inside: Callable[[], None], outside: Callable[[], None]
    ) -> None:
        """One of the two, as ``at`` lies in [0, size) or not."""
        w, at = self.frame.w, index(at)
        found = w.let((at >= const(0, "int64")) & (at < const(size, "int64")))
        with w.when(found):
            inside()
        if self._padding:
            with w.when(w.let(tirx.Not(found))):
                outside()

    @property
    def _padding(self) -> int:
        """What a position outside of the image holds; a float's zero adds nothing."""
        return 0 if self.spec.dtype == "float32" else self.spec.input_zero

    def _add_padding(self, sums: Registers, count: int, tap: Expr, lanes: int) -> None:
        """One tap of ``count`` outputs that lies outside of the image."""
        product = self.frame.w.let(cast(tap, "int32") * const(self._padding, "int32", lanes))
        for m in range(count):
            sums.set(m, sums.get(m) + product)

    def _long_row(
        self, sums: Registers, ky: Index, row: Index, x: Index, c: Index, lanes: int
    ) -> None:
        """One row of a large window for one output, tap by tap."""
        w, spec = self.frame.w, self.spec
        step = spec.window.dilation[1]
        first = index(x * spec.window.stride[1] - self.padding[1])
        with w.loop(0, spec.window.kernel[1], "kx") as kx:
            tap = self._tap(ky, kx, c, lanes)

            def read(kx: Expr = kx, tap: Expr = tap) -> None:
                value = self._load(self.left, w.let(row + kx * (step * spec.input[3])), c, lanes)
                sums.set(0, self._multiply_add(value, tap, sums.get(0), lanes))

            def pad(tap: Expr = tap) -> None:
                self._add_padding(sums, 1, tap, lanes)

            self._either(w.let(first + kx * step), self.size[1], read, pad)

    def _row(
        self, sums: Registers, ky: Index, left: Memory, row: Index, x: Index, count: int,
        c: Index, lanes: int,
    ) -> None:  # fmt: skip
        """One row of the window, for all outputs of the tile."""
        w, spec = self.frame.w, self.spec
        kw, step, stride = spec.window.kernel[1], spec.window.dilation[1], spec.window.stride[1]
        kinds = [self._tap(ky, kx, c, lanes) for kx in range(kw)]
        users: dict[int, list[tuple[int, int]]] = {}
        for m in range(count):
            for kx in range(kw):
                users.setdefault(m * stride + kx * step, []).append((m, kx))
        for column in sorted(users):
            if isinstance(x, int) and not 0 <= x * stride - self.padding[1] + column < self.size[1]:
                for m, kx in users[column] if self._padding else ():
                    value = const(self._padding, "int16", lanes)
                    sums.set(m, self._multiply_add(value, kinds[kx], sums.get(m), lanes))
                continue
            at = w.let_index(row + column * spec.input[3])
            value = self._load(left, at, c, lanes)
            for m, kx in users[column]:
                sums.set(m, self._multiply_add(value, kinds[kx], sums.get(m), lanes))

    def _tap(self, ky: Index, kx: Index, c: Index, lanes: int) -> Expr:
        number = ky * self.spec.window.kernel[1] + kx
        at = self.weights.at + number * self.spec.output[3] + c
        return self._wide(self.frame.constants.load(at, self.weights.dtype, lanes))

    def _load(self, left: Memory, at: Expr, c: Index, lanes: int) -> Expr:
        if self.multiplier == 1:
            return self._wide(left.load(at + c, self.spec.dtype, lanes))
        if self.spec.input[3] == 1:
            return self._wide(splat(left.load(at, self.spec.dtype), lanes))
        factor = const(self.multiplier, "int64")
        channel = c // self.multiplier if isinstance(c, int) else tirx.Div(c, factor)
        return self._wide(left.load(at + channel, self.spec.dtype, lanes))

    def _wide(self, value: Expr) -> Expr:
        """Integers as 16 bits: what NEON's and x86's widening products start from."""
        kind = "float32" if self.spec.dtype == "float32" else "int16"
        return self.frame.w.let(cast(value, kind))

    def _multiply_add(self, x: Expr, tap: Expr, total: Expr, lanes: int) -> Expr:
        if self.spec.dtype != "float32":
            return total + cast(x, "int32") * cast(tap, "int32")
        if self.frame.isa.fma:
            return llvm("float32", lanes, "llvm.fma", x, tap, total)
        return total + x * tap
