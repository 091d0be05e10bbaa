# SPDX-License-Identifier: Apache-2.0
"""8-bit depthwise convolutions without vectors: channels apart, two positions to a double.

A depthwise window has few products, so that what they cost besides decides: loads, conversions and
addresses. A few channels of the rows under the windows are kept in scratch, one plane to a channel
and rows in a ring, as doubles of two positions (``position_pairs.py``): those of two halves of the
image, upper and lower ones or left and right ones. Each element is converted once for all of its
windows, and a channel's weights stay in registers along a row. Decision 0215 has the counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from tvm import tirx

from edgebuild.kernels.specs import Depthwise2d
from edgebuild.kernels.tir.constants import Array, Constants
from edgebuild.kernels.tir.contraction import bias_first
from edgebuild.kernels.tir.depthwise_quads import WRITTEN_OUT, taps
from edgebuild.kernels.tir.emit import Expr, Index, Registers, cast, const, index, llvm
from edgebuild.kernels.tir.frame import Build, Frame, divided, even, padded, store
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.prepare import shares
from edgebuild.kernels.tir.products import LOWER, POSITIONS, Steps
from edgebuild.kernels.tir.scalars import Point

_BYTES = 8
#: Channels that are kept at once: one line of the cache then serves several.
_TOGETHER = 16
#: Pairs of outputs that are summed at once.
_PAIRS = 4
#: Instructions: of a packed pair, a kept weight, a channel's row, a pair's sums and two results.
_PACK, _WEIGHT, _ROW, _RESULTS = 7.3, 5, 16, 16
#: Of a product without planes, and of what an output takes besides.
_PLAIN, _PLAIN_RESULT = 3, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The form of the planes."""

    axis: int  # 0: rows have their pairs below, 1: columns theirs on the right
    half: int  # outputs from one of a pair to the other
    ring: int  # rows
    columns: int  # of a plane
    channels: int  # of the input, at once
    weights: int  # doubles of one channel of the input

    @property
    def row(self) -> int:
        """Doubles of a row of all planes."""
        return self.channels * self.columns

    @property
    def scratch(self) -> int:
        """Bytes of a task."""
        return padded((self.ring * self.row + self.channels * self.weights) * _BYTES)


def plan(spec: Depthwise2d, kernel: Build) -> Plan | None:
    """The planes that free memory and half of the first cache have room for, if they pay."""
    isa = kernel.isa
    # what lies below would be overwritten before it is read
    axis = 1 if kernel.over == "input" or spec.output[1] < 2 else 0
    if not suits(spec, isa) or not _pays(spec, _plan(spec, axis, 1)):
        return None
    free = min(kernel.free_bytes // isa.cores, isa.l1_bytes // 2)
    for count in range(min(_TOGETHER, spec.input[3]), 0, -1):
        made = _plan(spec, axis, count)
        if spec.input[3] % count == 0 and made.scratch <= free:
            return made
    return None


def rewrites(spec: Depthwise2d, isa: Isa) -> bool:
    """Whether planes pay where the output takes over the input's memory."""
    return suits(spec, isa) and _pays(spec, _plan(spec, 1, 1))


def _plan(spec: Depthwise2d, axis: int, channels: int) -> Plan:
    (_, oh, ow, o), window = spec.output, spec.window
    half = -(-(oh, ow)[axis] // 2)
    reach = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilation, strict=True)]
    columns = ((half if axis else ow) - 1) * window.stride[1] + reach[1]
    return Plan(axis=axis, half=half, ring=reach[0], columns=columns, channels=channels,
                weights=taps(spec) * (o // spec.input[3]))  # fmt: skip


def _pays(spec: Depthwise2d, p: Plan) -> bool:
    """Whether planes take fewer instructions for a channel of the output."""
    (_, oh, ow, _), (kh, kw), stride = spec.output, spec.window.kernel, spec.window.stride
    lines, pairs = (oh, p.half) if p.axis else (p.half, ow)
    packed = (lines - 1) * min(stride[0], p.ring) + p.ring
    loads = kh * (stride[1] * (_PAIRS - 1) + kw) / _PAIRS
    row = kh * kw + _ROW + pairs * (kh * kw + loads + _RESULTS)
    factor = spec.output[3] // spec.input[3]
    cost = _WEIGHT * kh * kw + packed * p.columns * _PACK / factor + lines * row
    return cost < oh * ow * (_PLAIN * kh * kw + _PLAIN_RESULT)


def suits(spec: Depthwise2d, isa: Isa) -> bool:
    """Whether sums can be those of doubles, and there are two of them."""
    able = isa.doubles and isa.products == "pairs" and spec.dtype == "int8"
    several = min(spec.output) > 0 and max(spec.output[1:3]) > 1 and min(spec.input) > 0
    return able and several and taps(spec) <= WRITTEN_OUT


def build(spec: Depthwise2d, kernel: Build, p: Plan) -> None:
    """Shares are some channels of an image, or of a band of its rows."""
    blocks = spec.input[3] // p.channels
    lines = p.half if p.axis == 0 else spec.output[1]
    cores = 1 if kernel.over == "input" else kernel.isa.cores
    bands = min(lines, max(1, -(-cores // (blocks * spec.output[0]))))
    with shares(kernel, spec.output[0] * bands * blocks) as (frame, task, number):
        at = kernel.scratch(frame.tasks * p.scratch) // _BYTES
        place = frame.w.let_index(task * (p.scratch // _BYTES) + at)
        rest, block = divided(frame, number, blocks)
        image, band = divided(frame, rest, bands)
        planes = _Planes(spec, kernel, p, frame, place, image, block)
        planes.emit(band, -(-lines // bands), lines)


class _Planes:
    """Emits the rows of some channels."""

    def __init__(
        self, spec: Depthwise2d, kernel: Build, p: Plan, frame: Frame, place: Index,
        image: Index, block: Index,
    ) -> None:  # fmt: skip
        self.spec, self.plan, self.frame, self.place = spec, p, frame, place
        self.image = image
        self.first = frame.w.let_index(block * p.channels)
        self.factor = spec.output[3] // spec.input[3]
        self.programs = frame.programs(spec.epilogue, spec.output)
        self.bias = bias_first(spec.epilogue, spec.output[3])
        self.steps = Steps(frame.w, frame.isa, POSITIONS)
        o = spec.output[3]
        self.start_at = kernel.block.reserve("start", "float64", o, self._start)
        self.weights_at = kernel.block.reserve(
            "weights", "int8", taps(spec) * o, lambda c: c["weights"].reshape(-1, o).T
        )
        self.weights = frame.w.let_index(place + p.ring * p.row)

    def _start(self, c: Constants) -> Array:
        sums = c["weights"].astype("int64").reshape(taps(self.spec), -1).sum(axis=0)
        start: Array = sums * -self.spec.input_zero
        return start if self.bias is None else start + c[f"p{self.bias}"].reshape(-1)

    def emit(self, band: Index, each: int, lines: int) -> None:
        """Rows of a band. Each packs what its windows see and the row before has not packed."""
        w, p, stride = self.frame.w, self.plan, self.spec.window.stride[0]
        self._keep_weights()
        begin = w.let_index(band * each)
        end = w.let(tirx.Min(index(begin) + each, const(lines, "int64")))
        with w.loop(begin, end, "y") as y:
            top = w.let_index(y * stride)
            fresh = index(top)
            if stride < p.ring:
                seen = top + (p.ring - stride)
                fresh = w.let(tirx.Select(y == begin, index(top), seen))
            with w.loop(fresh, top + p.ring, "q") as q:
                self._pack(q)
            with w.loop(0, p.channels * self.factor, "c") as c:
                self._channel(y, top, c)

    def _keep_weights(self) -> None:
        w, count = self.frame.w, self.plan.channels * self.plan.weights
        source = w.let_index(self.first * self.plan.weights + self.weights_at)
        with w.loop(0, count, "t") as t:
            value = cast(self.frame.constants.load(source + t, "int8"), "float64")
            self.frame.scratch.store(self.weights + t, w.let(value))

    # ---- planes ----

    def _slot(self, q: Index) -> Index:
        """Where the ring has row ``q``, counted with the padding."""
        w, p = self.frame.w, self.plan
        turn = tirx.Mod(index(q), const(p.ring, "int64"))
        return w.let_index(turn * p.row + self.place)

    def _pack(self, q: Index) -> None:
        """One row of all planes; a pair may lie half outside of the image."""
        w, p, spec = self.frame.w, self.plan, self.spec
        line = w.let_index(q - spec.window.padding[0])
        below = p.half * spec.window.stride[0] if p.axis == 0 else 0
        place = self._slot(q)
        low = self._inside(line)
        high = self._inside(w.let_index(line + below)) if below else low
        cases = [(True, True), (True, False), (False, True), (False, False)]
        for case in cases if below else (cases[0], cases[-1]):
            found = [
                x if so else w.let(tirx.Not(x)) for x, so in zip((low, high), case, strict=True)
            ]
            with w.when(w.let(found[0] & found[1])):
                self._row(place, line, below, case)

    def _inside(self, line: Index) -> Expr:
        line, last = index(line), const(self.spec.input[1], "int64")
        return self.frame.w.let((line >= const(0, "int64")) & (line < last))

    def _row(self, place: Index, line: Index, below: int, rows: tuple[bool, bool]) -> None:
        """Runs of columns of which the same halves lie inside."""
        spec, p = self.spec, self.plan
        _, height, width, depth = spec.input
        right = p.half * spec.window.stride[1] if p.axis else 0
        apart = (below * width + right) * depth
        base = (self.image * height + line) * width - spec.window.padding[1]
        base = self.frame.w.let_index(base * depth + self.first)

        def there(j: int) -> tuple[bool, bool]:
            at = j - spec.window.padding[1]
            found = [
                inside and 0 <= x < width for inside, x in zip(rows, (at, at + right), strict=True)
            ]
            return found[0], found[1]

        for (low, high), run in groupby(range(p.columns), there):
            columns = list(run)
            halves = [at for at, inside in ((0, low), (apart, high)) if inside]
            self._columns(place, base, columns[0], len(columns), halves, (low, high))

    def _columns(
        self, place: Index, base: Index, first: int, count: int, sources: list[int],
        inside: tuple[bool, bool],
    ) -> None:  # fmt: skip
        """``count`` columns from ``first`` on, of all planes."""
        w, p, depth = self.frame.w, self.plan, self.spec.input[3]
        zero, image = self.spec.input_zero, self.frame.inputs["input"]
        outside = sum(zero << at for at, so in zip((0, LOWER), inside, strict=True) if not so)

        def pair(j: Index, c: Index) -> Expr:
            if not sources:
                return const(float(outside), "float64")
            parts = [cast(image.load(base + (j * depth + (at + c)), "int8"), "int64")
                     for at in sources]  # fmt: skip
            if inside[1]:
                parts[-1] = parts[-1] << const(LOWER, "int64")
            total = parts[0] + (parts[1] if len(parts) > 1 else const(outside, "int64"))
            return w.let(cast(w.let(total), "float64"))

        some = next(n for n in (4, 3, 5, 2, 1) if p.channels % n == 0)
        with w.loop(0, p.channels // some, "g") as g, w.loop(first, first + count, "j") as j:
            for c in range(some):
                at = w.let_index(g * (some * p.columns) + j + place)
                self.frame.scratch.store(at + c * p.columns, pair(j, g * some + c))

    # ---- sums ----

    def _channel(self, y: Index, top: Index, c: Index) -> None:
        """A row of one output channel."""
        w, p, spec = self.frame.w, self.plan, self.spec
        (kh, kw), step = spec.window.kernel, spec.window.dilation[0]
        plane, _ = divided(self.frame, c, self.factor)
        rows = [w.let_index(self._slot(top + ky * step) + plane * p.columns) for ky in range(kh)]
        mine = w.let_index(self.weights + c * (kh * kw))
        kept = [w.let(self.frame.scratch.load(mine + t, "float64")) for t in range(kh * kw)]
        channel = w.let_index(self.first * self.factor + c)
        start = w.let(self.frame.constants.load(channel + self.start_at, "float64"))

        def tile(x: Index, pairs: int, odd: bool) -> None:
            sums = self._sums(rows, kept, x, pairs)
            self._finish(sums, start, (y, x, channel), pairs, odd=odd)

        for x, count, pairs, odd in self._tiles():
            if count == 1:
                tile(x, pairs, odd)
                continue
            with w.loop(0, count, "x") as i:
                tile(w.let_index(i * pairs + x), pairs, odd)

    def _tiles(self) -> Iterator[tuple[int, int, int, bool]]:
        """(first output, tiles, pairs, whether the last pair is a single one) of a row."""
        p, width = self.plan, self.spec.output[2]
        across = p.half if p.axis else width
        pairs = even(across, _PAIRS)
        whole, rest = divmod(across, pairs)
        odd = p.axis == 1 and width % 2 == 1
        last = whole - (1 if odd and not rest else 0)
        if last:
            yield 0, last, pairs, False
        if last < whole:
            yield last * pairs, 1, pairs, True
        if rest:
            yield whole * pairs, 1, rest, odd

    def _sums(self, rows: list[Index], kept: list[Expr], x: Index, pairs: int) -> Registers:
        w, window = self.frame.w, self.spec.window
        kw, step, stride = window.kernel[1], window.dilation[1], window.stride[1]
        sums = w.registers("float64", 1, pairs, "sum")
        for m in range(pairs):
            sums.set(m, const(0.0, "float64"))
        users: dict[int, list[tuple[int, int]]] = {}
        for m in range(pairs):
            for kx in range(kw):
                users.setdefault(m * stride + kx * step, []).append((m, kx))
        for ky, row in enumerate(rows):
            at = w.let_index(row + x * stride)
            for column in sorted(users):
                value = w.let(self.frame.scratch.load(at + column, "float64"))
                for m, kx in users[column]:
                    tap = kept[ky * kw + kx]
                    sums.set(m, llvm("float64", 1, "llvm.fma", value, tap, sums.get(m)))
        return sums

    def _finish(
        self, sums: Registers, start: Expr, at: tuple[Index, Index, Index], pairs: int, *,
        odd: bool,
    ) -> None:  # fmt: skip
        w, p, (y, x, channel) = self.frame.w, self.plan, at
        below = None
        if p.axis == 0 and self.spec.output[1] % 2:
            below = w.let(index(y) < const(self.spec.output[1] // 2, "int64"))
        for m in range(pairs):
            low, high = self.steps.halves(w.let(sums.get(m)))
            column = w.let_index(x + m)
            self._store(w.let(low + start), (y, column), channel)
            if odd and m == pairs - 1:
                continue
            place = (y, column + p.half) if p.axis else (y + p.half, column)
            total = w.let(high + start)
            if below is None:
                self._store(total, place, channel)
                continue
            with w.when(below):
                self._store(total, place, channel)

    def _store(self, total: Expr, at: tuple[Index, Index], channel: Index) -> None:
        w, (_, oh, ow, o), (y, x) = self.frame.w, self.spec.output, at
        skip = 0 if self.bias is None else 1
        value = total if self.programs.doubles(skip) else w.let(cast(total, "int32"))
        where = Point(coordinates=(self.image, y, x, channel), lanes=1)
        done = self.programs.run(where, value, skip=skip)
        store(self.frame.output, ((self.image * oh + y) * ow + x) * o + channel, done)
