# SPDX-License-Identifier: Apache-2.0
"""The left side of a contraction, padded and in the form that the products want.

One pass over the input buys an inner loop without a branch, a mask or a conversion. A small image
is prepared whole, as a phase of its own. A large one is prepared strip by strip, inside of the
task that uses the strip, so that scratch stays small and the strip in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tvm import tirx

from edgebuild.kernels.tir.emit import Expr, Index, cast, const
from edgebuild.kernels.tir.frame import Build, Frame, along, divided, even
from edgebuild.kernels.tir.products import Form

BYTES = {"int8": 1, "int16": 2, "int32": 4, "float32": 4, "float64": 8}


def changed(how: Form, value: Expr, lanes: int) -> Expr:
    """An element as the form reads it; adding 128 to a signed byte turns its highest bit over."""
    return value ^ const(-128, "int8", lanes) if how.bias else cast(value, how.source)


class Copy:
    """How an input (n, h, w, c) becomes rows of ``size[1]`` columns, ``size[0]`` to an image."""

    def __init__(
        self, kernel: Build, how: Form, shape: tuple[int, int, int, int], *, zero: int,
        before: tuple[int, int], size: tuple[int, int], beyond: int,
    ) -> None:  # fmt: skip
        """``beyond``: elements that vectors may read behind the last one."""
        self.kernel, self.how, self.shape, self.zero = kernel, how, shape, zero
        self.before, self.height = before, size[0]
        self.width = size[1] * shape[3]
        self.item = BYTES[how.source]
        self.lead = min(before[1], size[1]) * shape[3]
        self.body = min(shape[2], size[1] - before[1]) * shape[3]
        self._beyond = beyond * self.item
        self._lanes = max(1, kernel.isa.vector_bits // (8 * self.item))

    @property
    def size(self) -> int:
        """Elements of one prepared image."""
        return self.height * self.width

    @property
    def budget(self) -> int:
        """Bytes of scratch that a strip may take: a share of the second cache, or what is free."""
        return min(self._share, (self.kernel.free_bytes - self._beyond) // self.kernel.isa.cores)

    @property
    def _share(self) -> int:
        """Where memory is tight, nothing beyond the least."""
        return 0 if self.kernel.isa.tight else self.kernel.isa.l2_bytes // 16

    @property
    def is_large(self) -> bool:
        bytes_ = self.shape[0] * self.size * self.item + self._beyond
        return bytes_ > min(self._share, self.kernel.free_bytes)

    def reserve(self, elements: int) -> int:
        """Scratch for that many elements."""
        return self.kernel.scratch(elements * self.item + self._beyond) // self.item

    def phase(self) -> int:
        """Prepare everything in a phase of its own; returns the first element in scratch."""
        at = self.reserve(self.shape[0] * self.size)
        frame = self.kernel.frame(self.shape[0] * self.height)
        with frame.each_task() as task:
            number, y = divided(frame, task, self.height)
            self.row(frame, frame.w.let_index(task * self.width + at), number, y)
        frame.finish()
        return at

    def row(self, frame: Frame, place: Index, number: Index, y: Index) -> None:
        """One row of the prepared image; all padding where it lies outside of the input."""
        _, h, w, c = self.shape
        line = frame.w.let_index(y - self.before[0])
        source = frame.w.let_index((number * h + line) * (w * c))
        if self.before[0] == 0 and self.height <= h:
            self._inside(frame, place, source)
            return
        inside = (line >= const(0, "int64")) & (line < const(h, "int64"))
        inside = frame.w.let(inside)
        with frame.w.when(inside):
            self._inside(frame, place, source)
        with frame.w.when(frame.w.let(tirx.Not(inside))):
            self._fill(frame, place, self.width)

    def _inside(self, frame: Frame, place: Index, source: Index) -> None:
        self._fill(frame, place, self.lead)
        self.convert(frame, place + self.lead, source, self.body)
        self._fill(frame, place + (self.lead + self.body), self.width - self.lead - self.body)

    def convert(self, frame: Frame, place: Index, source: Index, count: int) -> None:
        """Neighbouring elements, in the form that the products want."""
        dtype = "float32" if self.how.source == "float32" else "int8"

        def some(i: Index, n: int) -> None:
            value = frame.w.let(frame.inputs["input"].load(source + i, dtype, n))
            frame.scratch.store(place + i, changed(self.how, value, n))

        along(frame.w, count, self._lanes, some)

    def _fill(self, frame: Frame, place: Index, count: int) -> None:
        value = self.zero + self.how.bias
        value = value - 256 if self.item == 1 and value > 127 else value

        def some(i: Index, n: int) -> None:
            frame.scratch.store(place + i, const(value, self.how.source, n))

        along(frame.w, count, self._lanes, some)


class Strips:
    """Strips of output rows, and the rows of the prepared image that each of them reads."""

    def __init__(self, copy: Copy, *, outputs: tuple[int, int], stride: int, span: int) -> None:
        """``outputs``: images, rows of each; ``span``: rows that one output reads."""
        self._copy, self._stride = copy, stride
        self._images, self.height = outputs
        fitting = (copy.budget // max(1, copy.width * copy.item) - span) // stride + 1
        self.rows = even(self.height, fitting)
        self.reads = (self.rows - 1) * stride + span
        self._per_image = -(-self.height // self.rows)
        self.count = self._images * self._per_image

    @contextmanager
    def each(self) -> Iterator[tuple[Frame, Index, Index, Index]]:
        """(frame, image, first output row, first element in scratch) of a prepared strip."""
        copy, size = self._copy, self.reads * self._copy.width
        with shares(copy.kernel, self.count) as (frame, task, strip):
            at, w = copy.reserve(frame.tasks * size), frame.w
            place = w.let_index(task * size + at)
            number, part = divided(frame, strip, self._per_image)
            y = w.let_index(part * self.rows)
            with w.loop(0, self.reads, "q") as q:
                line = w.let_index(y * self._stride + q)
                copy.row(frame, w.let_index(place + q * copy.width), number, line)
            yield frame, number, y, place

    def rows_of(self, frame: Frame, top: Index, body: Callable[[Index, Index], None]) -> None:
        """``body(row of the strip, row of the image)`` for the output rows of a strip."""
        with frame.w.loop(0, self.rows, "r") as r:
            y = frame.w.let(top + r)
            if self.height % self.rows:
                with frame.w.when(y < const(self.height, "int64")):
                    body(r, y)
            else:
                body(r, y)


@contextmanager
def shares(kernel: Build, count: int) -> Iterator[tuple[Frame, Index, Index]]:
    """A phase with one task per core, each for a share of ``count``: (frame, task, number)."""
    each = -(-count // min(kernel.isa.cores, count))
    frame = kernel.frame(-(-count // each))
    with frame.each_task() as task:
        first = frame.w.let(task * each)
        last = frame.w.let(tirx.Min(first + each, const(count, "int64")))
        with frame.w.loop(first, last, "share") as number:
            yield frame, task, number
    frame.finish()
