# SPDX-License-Identifier: Apache-2.0
"""Winograd's forms of a 3x3 window, and the rule for when one of them pays.

F(m x m, 3 x 3) computes m * m outputs from n * n inputs, n = m + 2, by n * n multiplications per
pair of channels where the sum over the window takes 9 * m * m (A. Lavin, S. Gray, "Fast Algorithms
for Convolutional Neural Networks", 2015; points 0, 1, -1 and for m = 4 also 2, -2). Decision 0203.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

import numpy as np

from edgebuild.kernels.emission import Tiles
from edgebuild.kernels.specs import Conv2d
from edgebuild.kernels.tir.constants import Array
from edgebuild.kernels.tir.frame import even, padded, pieces
from edgebuild.kernels.tir.isa import Isa
from edgebuild.kernels.tir.products import form as products
from edgebuild.kernels.tir.tile_shape import Split, split

#: (a, x, b) -> a * x + b with a number a
Fma = Callable[[float, object, object], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One of the forms. ``into`` and ``out`` transform one axis; ``*_cost``: their operations."""

    m: int
    window: tuple[tuple[Fraction, ...], ...]
    into_cost: int
    out_cost: int

    @property
    def n(self) -> int:
        return self.m + 2

    def weights(self, natural: Array) -> Array:
        """(o, 3, 3, c) -> (n * n * o, 1, c), computed in double."""
        g = np.array([[float(x) for x in row] for row in self.window])
        both: Array = np.einsum("ia,oabc,jb->ijoc", g, natural.astype(np.float64), g)
        return both.reshape(-1, 1, natural.shape[3]).astype(np.float32)

    def into(self, d: list[object], fma: Fma) -> list[object]:
        """n neighbouring inputs of an axis."""
        if self.m == 2:
            return [fma(-1, d[2], d[0]), fma(1, d[1], d[2]), fma(-1, d[1], d[2]),
                    fma(-1, d[3], d[1])]  # fmt: skip
        even_part, odd = fma(-4, d[2], d[4]), fma(-4, d[1], d[3])
        near, far = fma(-1, d[2], d[4]), fma(-1, d[1], d[3])
        return [
            fma(4, d[0], fma(-5, d[2], d[4])),
            fma(1, even_part, odd), fma(-1, odd, even_part),
            fma(2, far, near), fma(-2, far, near),
            fma(4, d[1], fma(-5, d[3], d[5])),
        ]  # fmt: skip

    def out(self, y: list[object], fma: Fma) -> list[object]:
        """n products of an axis to its m outputs."""
        total, difference = fma(1, y[1], y[2]), fma(-1, y[2], y[1])
        if self.m == 2:
            return [fma(1, y[0], total), fma(-1, y[3], difference)]
        far, apart = fma(1, y[3], y[4]), fma(-1, y[4], y[3])
        return [
            fma(1, fma(1, y[0], total), far), fma(2, apart, difference),
            fma(4, far, total), fma(1, y[5], fma(8, apart, difference)),
        ]  # fmt: skip


def _rows(*rows: str) -> tuple[tuple[Fraction, ...], ...]:
    return tuple(tuple(Fraction(x) for x in row.split()) for row in rows)


TWO = Form(m=2, into_cost=4, out_cost=4,
           window=_rows("1 0 0", "1/2 1/2 1/2", "1/2 -1/2 1/2", "0 0 1"))  # fmt: skip
FOUR = Form(
    m=4, into_cost=12, out_cost=10,
    window=_rows("1/4 0 0", "-1/6 -1/6 -1/6", "-1/6 1/6 -1/6", "1/24 1/12 1/6",
                 "1/24 -1/12 1/6", "0 0 1"),
)  # fmt: skip

#: Tiles of a pass that may take more than their share of L2, so that loads of weights are shared.
ENOUGH_TILES = 8
#: As few are worth it where that gives every core a pass.
FEW_TILES = 4
#: Share of the plain convolution's cost that a form may take: the estimate knows no cache misses.
WORTH = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A form, the output as tiles, and how many of them one pass takes: ``rows`` x ``columns``.

    Sums are made and transformed back for ``cut.vectors`` vectors of channels at a time. A plan
    with ``makers`` has one pass: its rows of tiles are shared by the cores, then its blocks of
    channels, of which as many as that are in the making at a time.
    """

    form: Form
    channels: int  # of the input
    down: int
    across: int
    rows: int
    columns: int
    cut: Split
    makers: int = 0

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    @property
    def bands(self) -> int:
        return -(-self.down // self.rows)

    @property
    def spans(self) -> int:
        return -(-self.across // self.columns)

    @property
    def width(self) -> int:
        """Columns of input that a pass reads."""
        return self.form.m * self.columns + 2

    @property
    def depth(self) -> int:
        """Channels of input whose rows are in the making at a time."""
        return min(self.channels, 4 * self.cut.lanes)

    @property
    def row(self) -> int:
        """Elements of the input rows of one row of tiles, transformed down."""
        return self.form.n * self.width * self.depth

    @property
    def left(self) -> int:
        """Elements of the transformed input of a pass."""
        return self.form.n**2 * self.tiles * self.channels

    @property
    def block(self) -> int:
        """Elements of a block's sums."""
        return self.form.n**2 * self.tiles * self.cut.width

    @property
    def shared(self) -> int:
        """Elements that first hold rows, then sums: rows are done with when sums begin."""
        if self.makers:
            return max(self.rows * self.row, self.makers * self.block)
        return max(self.row, self.block)

    def counted(self, images: int) -> Tiles:
        """What the roofline asks for."""
        n, m = self.form.n, self.form.m
        return Tiles(
            side=m, count=images * self.down * self.across,
            into=(m + n) * (2 * n + self.form.into_cost),
            out=n * n + (n + m) * self.form.out_cost + m * m,
            passes=self.passes(images),
        )  # fmt: skip

    def passes(self, images: int) -> int:
        """Over so many images."""
        return images * self.bands * self.spans

    def scratch_bytes(self, tasks: int) -> int:
        return sum(padded(tasks * 4 * size) for size in (self.left, self.shared))


def choose(spec: Conv2d, isa: Isa, free_bytes: int) -> Plan | None:
    """The plan that costs least, if its scratch is free and it beats the plain sums."""
    window = spec.window
    fits = (
        spec.dtype == "float32" and window.kernel == (3, 3) and window.stride == (1, 1)
        and window.dilation == (1, 1) and spec.groups == 1 and max(window.padding) <= 2
        and min(*spec.output, *spec.input) > 0
    )  # fmt: skip
    # without a second cache it is a microcontroller: its flash has no room for more weights
    if not fits or isa.l2_bytes == 0:
        return None
    plans = [p for form in (TWO, FOUR) for p in plans_of(spec, form, isa, free_bytes)]
    best = min(plans, key=lambda p: _cost(spec, p, isa), default=None)
    if best is None or _cost(spec, best, isa) >= WORTH * _plain_cost(spec, isa):
        return None
    return best


def plans_of(spec: Conv2d, form: Form, isa: Isa, free_bytes: int) -> Iterator[Plan]:
    """For whole and for half blocks of channels, the one with the most tiles that fits."""
    how = products(isa, "float32")
    tiles = prod(-(-size // form.m) for size in spec.output[1:3])
    whole = split(isa, how, spec.output[3], tiles)
    half = replace(whole, vectors=-(-whole.vectors // 2))
    for cut in dict.fromkeys((whole, half)):
        item = 4 * form.n**2 * (spec.input[3] + cut.width)
        for most in range(max(ENOUGH_TILES, isa.l2_bytes // 16 // item), 0, -1):
            plan = _cover(spec, form, isa, cut, most)
            passes = plan.passes(spec.output[0])
            makers = min(isa.cores, cut.blocks)
            if passes == 1 and makers > 1:
                plan = replace(plan, makers=makers)
            if plan.scratch_bytes(min(isa.cores, passes)) <= free_bytes:
                yield plan
                break


def _cover(spec: Conv2d, form: Form, isa: Isa, cut: Split, most: int) -> Plan:
    """At most ``most`` tiles to a pass, a pass for every core if that leaves enough."""
    down, across = (-(-size // form.m) for size in spec.output[1:3])
    rows, columns = 1, even(across, most)
    if across <= most:
        share = max(-(-FEW_TILES // across), -(-down // isa.cores))
        rows = even(down, min(most // across, share))
    return Plan(form=form, channels=spec.input[3], down=down, across=across, rows=rows,
                columns=columns, cut=cut)  # fmt: skip


def _streamed(vectors: int, isa: Isa) -> float:
    """Reading packed weights once, in vector operations: from L2, or from beyond it."""
    size = 4 * isa.lanes
    return vectors if vectors * size <= isa.l2_bytes else vectors * size / 4


def _plain_cost(spec: Conv2d, isa: Isa) -> float:
    n, h, w, k = spec.output
    vectors = 9 * spec.input[3] * -(-k // isa.lanes)
    return vectors * n * h * w + _streamed(vectors, isa)


def _cost(spec: Conv2d, plan: Plan, isa: Isa) -> float:
    """In vector operations: multiplications, transforms with their loads and stores, weights."""
    form = plan.form
    n = form.n
    c, k = spec.input[3], spec.output[3]
    vectors = n * n * c * plan.cut.total
    counted = plan.counted(spec.output[0])
    each = 1.0 * counted.into * _vectors(c, isa.lanes) + counted.out * _vectors(k, isa.lanes)
    # half of an operand's load hides behind the multiplications
    each += vectors * (1 + 0.5 / plan.cut.vectors) + n * n * plan.cut.total
    opening = _opening(form) * c * plan.cut.total if spec.stored else 0
    return counted.count * each + counted.passes * _streamed(vectors, isa) + opening


def _opening(form: Form) -> float:
    """Transforming the stored weights of a window: loads that widen, two axes, stores to L2."""
    return 9 * 3 + (3 + form.n) * (2 * form.n - 2) + 2 * form.n**2


def _vectors(count: int, lanes: int) -> int:
    return count // lanes + len(pieces(count % lanes, lanes))
