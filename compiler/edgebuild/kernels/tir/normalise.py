# SPDX-License-Identifier: Apache-2.0
"""Softmax and layer normalisation: several passes over one row that stays in the first cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tvm import tirx

from edgebuild.kernels import fixedpoint
from edgebuild.kernels import softmax as tflite
from edgebuild.kernels.specs import LayerNorm, Softmax
from edgebuild.kernels.tir.constants import Array
from edgebuild.kernels.tir.emit import Expr, Index, Writer, cast, const, llvm, shuffle, splat
from edgebuild.kernels.tir.floats import Floats
from edgebuild.kernels.tir.frame import Build, Frame, along, pieces, store
from edgebuild.kernels.tir.scalars import Point

Join = Callable[[Expr, Expr], Expr]
#: Vectors accumulated side by side, to hide the latency of an addition.
WIDE = 4


def fold_row(
    frame: Frame, count: int, dtype: str, start: float, load: Callable[[Index, int], Expr],
    join: Join,
) -> Expr:  # fmt: skip
    """One value of a row's elements. ``load(i, lanes)`` may write as it goes."""
    w, lanes = frame.w, frame.isa.lanes
    chains = min(WIDE, max(1, count // lanes))
    span = lanes * chains
    total = w.registers(dtype, lanes, chains, "row")
    for chain in range(chains):
        total.set(chain, const(start, dtype, lanes))
    if count >= span:
        with w.loop(0, count // span, "v") as v:
            for chain in range(chains):
                x = load(w.let(v * span + chain * lanes), lanes)
                total.set(chain, join(w.let(total.get(chain)), x))
    at = count // span * span
    for chain in range((count - at) // lanes):
        total.set(chain, join(w.let(total.get(chain)), load(at, lanes)))
        at += lanes
    vector = w.let(total.get(0))
    for chain in range(1, chains):
        vector = w.let(join(vector, w.let(total.get(chain))))
    result = across(w, vector, lanes, join)
    for size in pieces(count - at, lanes):
        result = w.let(join(result, across(w, load(at, size), size, join)))
        at += size
    return result


def across(w: Writer, vector: Expr, lanes: int, join: Join) -> Expr:
    """One value of a vector's lanes."""
    while lanes > 1:
        lanes //= 2
        low = w.let(shuffle([vector], list(range(lanes))))
        high = w.let(shuffle([vector], list(range(lanes, 2 * lanes))))
        vector = w.let(join(low, high))
    return vector


def softmax(spec: Softmax, kernel: Build) -> None:
    """Tasks are rows."""
    if spec.dtype == "int8":
        _softmax_int8(spec, kernel)
        return
    frame = kernel.frame(spec.rows, noalias=False)
    w, floats, source = frame.w, Floats(frame.w, frame.isa), frame.inputs["input"]
    exp = floats.exp_of_negative if spec.beta >= 0 else floats.exp
    with frame.each_task() as row:
        base = w.let(row * spec.columns)

        def read(i: Index, n: int) -> Expr:
            return w.let(source.load(base + i, "float32", n))

        most = fold_row(frame, spec.columns, "float32", -float("inf"), read,
                        lambda a, b: w.let(tirx.Select(a > b, a, b)))  # fmt: skip

        def weigh(i: Index, n: int) -> Expr:
            x = w.let(read(i, n) - splat(most, n))
            if spec.beta != 1.0:
                x = w.let(x * const(spec.beta, "float32", n))
            value = exp(x)
            frame.output.store(base + i, value)
            return value

        total = fold_row(frame, spec.columns, "float32", 0.0, weigh, lambda a, b: a + b)
        scale = w.let(tirx.Div(const(1.0, "float32"), total))

        def finish(i: Index, n: int) -> None:
            value = frame.output.load(base + i, "float32", n) * splat(scale, n)
            frame.output.store(base + i, w.let(value))

        along(w, spec.columns, frame.isa.lanes, finish)
    frame.finish()


def _exponentials(spec: Softmax) -> Array:
    """exp of each difference 0, -1 ... -255 by the reference; 0 where it is not counted."""
    difference = -np.arange(256, dtype=np.int64)
    rescaled = fixedpoint.doubling_high_mul(
        np.maximum(difference, spec.diff_min) << spec.left_shift, spec.multiplier
    )
    values = fixedpoint.exp_on_negative(rescaled, tflite.SCALED_DIFF_BITS)
    return np.where(difference >= spec.diff_min, values, 0)


def _softmax_int8(spec: Softmax, kernel: Build) -> None:
    """The difference to the maximum has 256 values, so its exponential is a table."""
    frame = kernel.frame(spec.rows, noalias=False)
    w, source = frame.w, frame.inputs["input"]
    table = kernel.block.reserve("exp", "int32", 256, lambda c: _exponentials(spec))
    addends = kernel.block.reserve("addend", "int32", 256, lambda c: fixedpoint.rounding_shift(
        _exponentials(spec), tflite.ACCUMULATION_BITS))  # fmt: skip
    with frame.each_task() as row:
        base = w.let(row * spec.columns)
        most = fold_row(frame, spec.columns, "int8", -128,
                        lambda i, n: w.let(source.load(base + i, "int8", n)), tirx.Max)  # fmt: skip
        top = w.let(cast(most, "int64"))

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


def layer_norm(spec: LayerNorm, kernel: Build) -> None:
    """Tasks are rows. Mean, then squares of what is left of it, then the result."""
    frame = kernel.frame(spec.rows, noalias=False)
    w, floats = frame.w, Floats(frame.w, frame.isa)
    programs = frame.programs(spec.epilogue, (spec.rows, spec.columns))
    share = 1.0 / spec.columns if spec.columns else 0.0
    with frame.each_task() as row:
        base = w.let(row * spec.columns)

        def read(i: Index, n: int) -> Expr:
            x = frame.inputs["input"].load(base + i, "float32", n)
            if spec.addend:
                x = x + frame.inputs["addend"].load(base + i, "float32", n)
            return w.let(x)

        total = fold_row(frame, spec.columns, "float32", 0.0, read, lambda a, b: a + b)
        mean = w.let(total * const(share, "float32"))

        def square(i: Index, n: int) -> Expr:
            d = w.let(read(i, n) - splat(mean, n))
            return w.let(d * d)

        squares = fold_row(frame, spec.columns, "float32", 0.0, square, lambda a, b: a + b)
        spread = w.let(squares * const(share, "float32") + const(spec.epsilon, "float32"))
        scale = floats.rsqrt(spread)

        def finish(i: Index, n: int) -> None:
            value = w.let((read(i, n) - splat(mean, n)) * splat(scale, n))
            point = Point(coordinates=(row, i), lanes=n)
            store(frame.output, base + i, programs.run(point, value))

        along(w, spec.columns, frame.isa.lanes, finish)
    frame.finish()
