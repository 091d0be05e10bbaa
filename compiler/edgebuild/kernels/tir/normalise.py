# SPDX-License-Identifier: Apache-2.0
"""Softmax and layer normalisation: several passes over one row that stays in the first cache."""

from __future__ import annotations

from collections.abc import Callable

from tvm import tirx

from edgebuild.kernels.specs import LayerNorm, Softmax
from edgebuild.kernels.tir.emit import Expr, Index, Writer, const, shuffle, splat
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
