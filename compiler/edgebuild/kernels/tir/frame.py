# SPDX-License-Identifier: Apache-2.0
"""The frame of every kernel function: its parameters, its tasks, its constants and scratch.

``void SYMBOL(inputs..., constants, output, scratch, int32 begin, int32 end)``. A kernel is one or
more phases that run in order; within a phase the tasks [0, tasks) are independent of each other,
so any split over threads gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from tvm import tirx

from edgebuild.kernels.emission import Strips, Tiles
from edgebuild.kernels.program import Program
from edgebuild.kernels.specs import Conv2d, Depthwise2d, Spec
from edgebuild.kernels.tir.constants import ALIGNMENT, Array, Block
from edgebuild.kernels.tir.emit import (
    Expr,
    Index,
    Memory,
    Writer,
    const,
    dtype_of,
    shuffle,
)  # fmt: skip
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.narrow import narrowed
from edgebuild.kernels.tir.scalars import Programs

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One function. ``func`` is a TIR function that TVM's code generator takes as it is."""

    func: Any
    symbol: str
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A compiled spec: phases to call in order, scratch they share, constants they read."""

    phases: tuple[Phase, ...]
    scratch_bytes: int
    constants_bytes: int
    pack: Callable[[Sequence[Array]], bytes]
    tiles: Tiles | Strips | None = None
    digits: int = 0  # products of bytes for each of floats


class Frame:
    """One phase being written."""

    def __init__(self, kernel: Build, tasks: int, *, noalias: bool = True) -> None:
        self.kernel, self.spec, self.isa = kernel, kernel.spec, kernel.isa
        self.w, self.tasks, self._noalias = Writer(), tasks, noalias
        arguments = kernel.spec.arguments()
        self.inputs = {
            a.name: self.w.pointer(a.name) for a in arguments if a.role == "input"
        }  # fmt: skip
        self.constants = self.w.pointer("constants", ALIGNMENT)
        self.output: Memory = self.w.pointer("output")
        if kernel.over is not None:
            # one memory under two names: read through the pointer that it is written through
            self.inputs[kernel.over] = self.output
        self.scratch: Memory = self.w.pointer("scratch", ALIGNMENT)
        self.begin, self.end = self.w.number("begin"), self.w.number("end")

    def programs(
        self, program: Program, domain: Sequence[int],
        strides: dict[int, tuple[int, ...]] | None = None,
    ) -> Programs:  # fmt: skip
        return Programs(self.w, self.isa, program, domain, self.inputs, self.kernel.block,
                        self.constants, strides)  # fmt: skip

    @contextmanager
    def each_task(self) -> Iterator[Expr]:
        with self.w.loop(self.begin, self.end, "task") as task:
            yield task

    def finish(self) -> None:
        number = len(self.kernel.phases)
        symbol = self.kernel.name if number == 0 else f"{self.kernel.name}_{number}"
        func = self.w.function(symbol, noalias=self._noalias)
        func = narrowed(func) if self.isa.narrow else func
        self.kernel.phases.append(Phase(func=func, symbol=symbol, tasks=self.tasks))


class Build:
    """A kernel being written.

    ``over``: the input whose memory the output takes over. ``free_bytes``: scratch that costs no
    memory, for all tasks that run at once; beyond it a kernel takes as little as it can do with.
    """

    def __init__(self, spec: Spec, isa: Isa, name: str, over: str | None, free_bytes: int) -> None:
        self.spec, self.isa, self.name = spec, isa, name
        self.over, self.free_bytes = over, free_bytes
        self.block, self.phases = Block(), list[Phase]()
        self.scratch_bytes = 0
        self.tiles: Tiles | Strips | None = None  # what the roofline has to know
        self.digits = 0

    def scratch(self, size_bytes: int) -> int:
        """Reserve scratch; returns its byte offset."""
        at = self.scratch_bytes
        self.scratch_bytes += padded(size_bytes)
        return at

    def frame(self, tasks: int, *, noalias: bool = True) -> Frame:
        return Frame(self, tasks, noalias=noalias)

    def kernel(self) -> Kernel:
        names = [a.name for a in self.spec.arguments() if a.role == "constant"]
        block = self.block
        return Kernel(
            phases=tuple(self.phases), scratch_bytes=self.scratch_bytes,
            constants_bytes=block.size_bytes,
            pack=lambda values: block.pack(names, values), tiles=self.tiles,
            digits=self.digits,
        )  # fmt: skip


def padded(size_bytes: int) -> int:
    """What a reservation of scratch takes."""
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


def pieces(count: int, lanes: int) -> list[int]:
    """``count`` < ``lanes`` as powers of two, largest first: the vectors of a tail."""
    return [1 << p for p in range(lanes.bit_length() - 1, -1, -1) if count >> p & 1]


def covers(count: int, lanes: int, native: int) -> list[tuple[int, int, int]]:
    """``count`` <= ``lanes`` as (first, lanes, lanes that exist) of vectors: those that cost least.

    The powers of two that it is made of, or the next one above, at least a register's ``native``.
    """
    parts = pieces(count, lanes) if count < lanes else [lanes]
    above = max(1 << (count - 1).bit_length(), min(lanes, native))
    if max(1, above // native) < sum(max(1, part // native) for part in parts):
        return [(0, above, count)]
    return [(sum(parts[:i]), part, part) for i, part in enumerate(parts)]


def along(
    w: Writer, count: int, lanes: int, body: Callable[[Index, int], None], *, twice: bool = False
) -> None:
    """Cover [0, count) with vectors: a loop of whole ones, then the tail in smaller ones.

    ``twice``: it does no harm to do some elements twice. A tail then is one vector that begins
    early enough to be whole.
    """
    if twice and count:
        lanes = min(lanes, 1 << (count.bit_length() - 1))
    whole = count // lanes
    if whole == 1:
        body(0, lanes)
    elif whole:
        with w.loop(0, whole, "v") as i:
            body(i * lanes, lanes)
    at = whole * lanes
    tail = pieces(count - at, lanes)
    if twice and len(tail) > 1:
        body(count - lanes, lanes)
        return
    for size in tail:
        body(at, size)
        at += size


def merged(shape: Sequence[int], *strides: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """The same positions with as few axes as all the strides allow; at least one axis."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        now = [s[axis] for s in strides]
        if sizes and all(p[-1] == n * size for p, n in zip(steps, now, strict=True)):
            sizes[-1] *= size
            for p, n in zip(steps, now, strict=True):
                p[-1] = n
        else:
            sizes.append(size)
            for p, n in zip(steps, now, strict=True):
                p.append(n)
    if not sizes:
        return [1], [[0] for _ in strides]
    return sizes, steps


def divided(frame: Frame, number: Index, by: int) -> tuple[Index, Index]:
    """Quotient and remainder of a counter."""
    if by == 1:
        return number, 0
    divisor = const(by, "int64")
    quotient, rest = tirx.Div(number, divisor), tirx.Mod(number, divisor)
    return frame.w.let(quotient), frame.w.let(rest)


def but_last(
    w: Writer, number: Index, count: int, body: Callable[[T], None], usual: T, last: T
) -> None:
    """``body(usual)``, but ``body(last)`` where ``number`` is the last of ``count``."""
    if count == 1 or usual == last:
        body(last)
        return
    end = const(count - 1, "int64")
    with w.when(number < end):
        body(usual)
    with w.when(number >= end):
        body(last)


def even(count: int, most: int) -> int:
    """The size of tiles of at most ``most`` that cover ``count`` most evenly."""
    most = max(1, most)
    return -(-count // max(1, -(-count // most))) if count else 1


def window_reach(spec: Conv2d | Depthwise2d, axis: int) -> int:
    """Rows or columns that the windows touch; all there are where no padding is needed."""
    touched = (spec.output[axis + 1] - 1) * spec.window.stride[axis] + 1
    touched += (spec.window.kernel[axis] - 1) * spec.window.dilation[axis]
    whole = spec.input[axis + 1]
    return touched if spec.window.padding[axis] or touched > whole else whole


@contextmanager
def nest(
    frame: Frame, sizes: Sequence[int], strides: Sequence[Sequence[int]], bases: Sequence[Index]
) -> Iterator[list[Index]]:
    """Loops over ``sizes``; gives each of ``bases`` moved by its strides."""
    moved = list(bases)
    with ExitStack() as stack:
        for axis, size in enumerate(sizes):
            i = stack.enter_context(frame.w.loop(0, size, "n"))
            moved = [base + i * step[axis] for base, step in zip(moved, strides, strict=True)]
        yield [frame.w.let_index(base) for base in moved]


#: Elements of one task of a long axis: enough work to outweigh handing it to a thread.
CHUNK = 4096


def task_axes(sizes: list[int], steps: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Cut a single long axis in two, so that there are tasks; the cut must divide it."""
    if len(sizes) > 1 or sizes[0] < 2 * CHUNK:
        return ([1, *sizes], [[0, *s] for s in steps]) if len(sizes) == 1 else (sizes, steps)
    cut = next((c for c in range(2 * CHUNK, CHUNK // 4, -1) if sizes[0] % c == 0), sizes[0])
    return [sizes[0] // cut, cut], [[s[0] * cut, s[0]] for s in steps]


def store(memory: Memory, at: Index, value: Expr, only: range | None = None) -> None:
    """Write a program's result, or some of its lanes; a bool is a byte of 0 or 1."""
    dtype, lanes = dtype_of(value)
    if dtype == "bool":
        value = tirx.Select(value, const(1, "int8", lanes), const(0, "int8", lanes))
    if only is None or len(only) == lanes:
        memory.store(at, value)
        return
    # apart from each other: a load that spans two stores waits until both are in the cache
    first = only.start
    for size in pieces(len(only), lanes):
        part = shuffle([value], list(range(first, first + size)))
        memory.store(at + (first - only.start), part)
        first += size


def unravel(w: Writer, number: Index, sizes: Sequence[int]) -> list[Index]:
    """Row-major coordinates of a task's number."""
    if not sizes:
        return []
    result: list[Index] = []
    for size in reversed(sizes[1:]):
        divisor = tirx.const(size, "int64")
        result.append(w.let(tirx.Mod(number, divisor)) if size > 1 else 0)
        number = w.let(tirx.Div(number, divisor)) if size > 1 else number
    result.append(number if sizes[0] > 1 else 0)
    return result[::-1]
