# SPDX-License-Identifier: Apache-2.0
"""Softmax of 8-bit rows, by the fixed-point arithmetic of TFLite's reference.

The difference to a row's maximum has 256 values, so its exponential is a table. Looking up is done
number by number; where there are vectors, into scratch, and all that follows from there.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from tvm import tirx

from edgebuild.kernels import fixedpoint
from edgebuild.kernels import softmax as tflite
from edgebuild.kernels.specs import Softmax
from edgebuild.kernels.tir.constants import Array
from edgebuild.kernels.tir.emit import Expr, Index, cast, const, llvm, shuffle, splat
from edgebuild.kernels.tir.frame import Build, Frame, along, even
from edgebuild.kernels.tir.normalise import fold_row
from edgebuild.kernels.tir.prepare import shares

#: Rows that are worked on together: the quotient of one is a long chain of multiplications, and
#: vectors wait for numbers that have just been stored.
TOGETHER = 4

_Quotient: TypeAlias = tuple[Expr, Expr, Expr]


def softmax(spec: Softmax, kernel: Build) -> None:
    """Tasks are rows, or each core's share of them."""
    if kernel.isa.vector_bits and spec.rows and spec.columns:
        _vectors(spec, kernel)
    else:
        _numbers(spec, kernel)


def _exponentials(spec: Softmax) -> Array:
    """exp of each difference 0, -1 ... -255 by the reference; 0 where it is not counted."""
    difference = -np.arange(256, dtype=np.int64)
    rescaled = fixedpoint.doubling_high_mul(
        np.maximum(difference, spec.diff_min) << spec.left_shift, spec.multiplier
    )
    values = fixedpoint.exp_on_negative(rescaled, tflite.SCALED_DIFF_BITS)
    return np.where(difference >= spec.diff_min, values, 0)


def _most(frame: Frame, spec: Softmax, base: Expr) -> Expr:
    """The largest number of a row, in 64 bits."""
    w, source = frame.w, frame.inputs["input"]
    most = fold_row(frame, spec.columns, "int8", -128,
                    lambda i, n: w.let(source.load(base + i, "int8", n)), tirx.Max)  # fmt: skip
    return w.let(cast(most, "int64"))


def _vectors(spec: Softmax, kernel: Build) -> None:
    """A few rows at a time: what one waits for, the others fill.

    The last few may have the last row more than once, read before any of it is written.
    """
    fitting = kernel.free_bytes // (4 * spec.columns * min(kernel.isa.cores, spec.rows))
    together = even(spec.rows, min(TOGETHER, fitting))
    with shares(kernel, -(-spec.rows // together)) as (frame, task, number):
        row = _Row(frame, spec)
        place = row.reserve(task, together)
        first, bases, quotients = (
            frame.w.let_index(number * together),
            list[Expr](),
            list[_Quotient](),
        )
        for r in range(together):
            line = tirx.Min(first + r, const(spec.rows - 1, "int64"))
            bases.append(frame.w.let(line * spec.columns))
            row.look_up(bases[r], place + r * spec.columns)
        for r in range(together):
            quotients.append(row.quotient(place + r * spec.columns))
        for r in range(together):
            row.finish(bases[r], place + r * spec.columns, quotients[r])


class _Row:
    """Emits the passes over a row; between them its exponentials are in scratch."""

    def __init__(self, frame: Frame, spec: Softmax) -> None:
        self.frame, self.spec = frame, spec
        self.table = frame.kernel.block.reserve(
            "exp", "int32", 256, lambda c: _exponentials(spec)[::-1]
        )

    def reserve(self, task: Index, rows: int) -> Index:
        """Scratch of each task for that many rows."""
        size = rows * self.spec.columns
        at = self.frame.kernel.scratch(4 * self.frame.tasks * size) // 4
        return self.frame.w.let_index(task * size + at)

    def look_up(self, base: Expr, place: Index) -> None:
        frame, w = self.frame, self.frame.w
        top = _most(frame, self.spec, base)
        first = w.let(const(self.table + 255, "int64") - top)
        with w.loop(0, self.spec.columns, "c") as c:
            x = cast(frame.inputs["input"].load(base + c, "int8"), "int64")
            frame.scratch.store(place + c, w.let(frame.constants.load(first + x, "int32")))

    def quotient(self, place: Index) -> _Quotient:
        """(factor, half, shift): a result is (its product with the factor + half) >> shift."""
        frame, w, dropped = self.frame, self.frame.w, tflite.ACCUMULATION_BITS

        def counted(i: Index, n: int) -> Expr:
            """What is added up: rounded to fewer bits."""
            e = cast(w.let(frame.scratch.load(place + i, "int32", n)), "uint32")
            rounded = w.let(e + const(1 << (dropped - 1), "uint32", n))
            return w.let(cast(w.let(rounded >> const(dropped, "uint32", n)), "int32"))

        total = fold_row(frame, self.spec.columns, "int32", 0, counted, lambda a, b: a + b)
        factor, shift = _reciprocal(frame, total)
        # a product below 2**31 is nothing where 32 bits and more are dropped
        most = w.let(tirx.Min(shift, const(31, "int64")))
        half = w.let(const(1, "int64") << (most - const(1, "int64")))
        half = w.let(tirx.Select(shift > most, const(0, "int64"), half))
        return (
            w.let(cast(factor, "int32")),
            w.let(cast(half, "uint32")),
            w.let(cast(most, "uint32")),
        )

    def finish(self, base: Expr, place: Index, quotient: _Quotient) -> None:
        frame, w = self.frame, self.frame.w
        factor, half, shift = quotient

        def some(i: Index, n: int) -> None:
            e = w.let(frame.scratch.load(place + i, "int32", n))
            high = w.let(cast(_product(frame, e, factor, n), "uint32") + splat(half, n))
            value = tirx.Min(w.let(high >> splat(shift, n)), const(255, "uint32", n))
            # what is not counted has a zero in the table, and gives -128 by itself
            value = w.let(cast(w.let(value), "int32")) - const(128, "int32", n)
            frame.output.store(base + i, w.let(cast(w.let(value), "int8")))

        along(w, self.spec.columns, frame.isa.lanes, some)


def _product(frame: Frame, e: Expr, factor: Expr, lanes: int) -> Expr:
    """(e * factor + 2**30) >> 31 of numbers that are not negative."""
    w = frame.w
    if frame.isa.arch == "aarch64" and lanes % 4 == 0:
        name, parts = "llvm.aarch64.neon.sqrdmulh", list[Expr]()
        for at in range(0, lanes, 4):
            part = shuffle([e], list(range(at, at + 4))) if lanes > 4 else e
            parts.append(w.let(llvm("int32", 4, name, w.let(part), splat(factor, 4))))
        return w.let(shuffle(parts, list(range(lanes)))) if lanes > 4 else parts[0]
    product = w.let(cast(e, "int64") * splat(cast(factor, "int64"), lanes))
    total = cast(w.let(product + const(1 << 30, "int64", lanes)), "uint64")
    return w.let(cast(w.let(total >> const(31, "uint64", lanes)), "int32"))


def _numbers(spec: Softmax, kernel: Build) -> None:
    frame = kernel.frame(spec.rows, noalias=False)
    w, source = frame.w, frame.inputs["input"]
    table = kernel.block.reserve("exp", "int32", 256, lambda c: _exponentials(spec))
    addends = kernel.block.reserve("addend", "int32", 256, lambda c: fixedpoint.rounding_shift(
        _exponentials(spec), tflite.ACCUMULATION_BITS))  # fmt: skip
    with frame.each_task() as row:
        base = w.let(row * spec.columns)
        top = _most(frame, spec, base)

        def difference(i: Index) -> Expr:
            return w.let(top - cast(source.load(base + i, "int8"), "int64"))

        total = w.registers("int32", 1, 1, "sum")
        total.set(0, const(0, "int32"))
        with w.loop(0, spec.columns, "c") as c:
            total.set(0, total.get(0) + frame.constants.load(difference(c) + addends, "int32"))
        reciprocal, shift = _reciprocal(frame, w.let(total.get(0)))
        half = w.let(const(1, "int64") << (shift - const(1, "int64")))
        with w.loop(0, spec.columns, "c") as c:
            e = cast(frame.constants.load(difference(c) + table, "int32"), "int64")
            high = w.let((reciprocal * e + const(1 << 30, "int64")) >> const(31, "int64"))
            value = w.let(((high + half) >> shift) - const(128, "int64"))
            limited = tirx.Min(value, const(127, "int64"))
            # what is not counted has a zero in the table, and gives -128 by itself
            frame.output.store(base + c, cast(w.let(limited), "int8"))
    frame.finish()


def _reciprocal(frame: Frame, total: Expr) -> tuple[Expr, Expr]:
    """(1 / total as Q0, shift of the products), by gemmlowp's Newton steps."""
    w = frame.w

    def number(value: int) -> Expr:
        return const(value, "int64")

    def high(a: Expr, b: Expr) -> Expr:
        return w.let((a * b + number(1 << 30)) >> number(31))

    zeros = llvm("int32", 1, "llvm.ctlz", total, const(False, "bool"))
    headroom = w.let(cast(zeros, "int64"))
    a = w.let((cast(total, "int64") << headroom) - number(1 << 31))
    # a >= 0, so the reference's rounding half sum is this one
    half = w.let((a + number((1 << 31) - 1) + number(1)) >> number(1))
    x = w.let(high(half, number(-1010580540)) + number(1515870810))
    for _ in range(3):
        rest = w.let(number(1 << 29) - high(half, x))
        step = w.let(high(x, rest) << number(2))
        step = w.let(tirx.Max(number(-(1 << 31)), tirx.Min(step, number((1 << 31) - 1))))
        x = w.let(cast(cast(x + step, "int32"), "int64"))
    doubled = w.let(x << number(1))
    doubled = w.let(tirx.Max(number(-(1 << 31)), tirx.Min(doubled, number((1 << 31) - 1))))
    return doubled, w.let(number(tflite.ACCUMULATION_BITS + 31 - 8) - headroom)
