# SPDX-License-Identifier: Apache-2.0
"""Winograd's forms of a 3x3 window, and the rule for when one of them pays.

F(m x m, 3 x 3) computes m * m outputs from n * n inputs, n = m + 2, by n * n multiplications per
pair of channels where the sum over the window takes 9 * m * m (A. Lavin, S. Gray, "Fast Algorithms
for Convolutional Neural Networks", 2015; points 0, 1, -1 and for m = 4 also 2, -2). Decision 0203.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from edgebuild.kernels.specs import Conv2d
from edgebuild.kernels.tir.constants import Array
from edgebuild.kernels.tir.frame import even, padded, pieces
from edgebuild.kernels.tir.isa import Isa

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
#: With fewer, a weight that is loaded would be used once.
LEAST_TILES = 2
#: Share of the plain convolution's cost that a form may take: the estimate knows no cache misses.
WORTH = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """The output as tiles, and how many of them one pass takes: ``rows`` x ``columns``."""

    down: int
    across: int
    rows: int
    columns: int

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    @property
    def bands(self) -> int:
        return -(-self.down // self.rows)

    @property
    def spans(self) -> int:
        return -(-self.across // self.columns)


def cover(spec: Conv2d, form: Form, isa: Isa, free_bytes: int) -> Cover:
    """As many tiles to a pass as a sixteenth of L2 holds transformed; a pass for every core.

    Fewer where the scratch for that would not be free, but as many as loads of weights need.
    """
    item = 4 * form.n**2 * (spec.input[3] + spec.output[3] + isa.lanes - 1)
    most = max(ENOUGH_TILES, isa.l2_bytes // 16 // item)
    for tiles in range(most, LEAST_TILES, -1):
        found = _cover(spec, form, isa, tiles)
        if scratch_bytes(spec, form, isa, found) <= free_bytes:
            return found
    return _cover(spec, form, isa, LEAST_TILES)


def _cover(spec: Conv2d, form: Form, isa: Isa, most: int) -> Cover:
    down, across = (-(-size // form.m) for size in spec.output[1:3])
    if across > most:
        return Cover(down=down, across=across, rows=1, columns=even(across, most))
    share = max(-(-FEW_TILES // across), -(-down // isa.cores))
    rows = even(down, min(most // across, share))
    return Cover(down=down, across=across, rows=rows, columns=across)


def pass_elements(spec: Conv2d, form: Form, isa: Isa, cover: Cover, rows: int) -> tuple[int, int]:
    """Floats of scratch of a pass: for rows and then sums, and for the left side.

    ``rows``: rows of tiles that are transformed at the same time. They are done with before the
    first sum is written to where they are.
    """
    inner, places = spec.input[3], form.n**2
    row = form.n * (form.m * cover.columns + 2) * inner
    sums = places * cover.tiles * -(-spec.output[3] // isa.lanes) * isa.lanes
    return max(rows * row, sums), places * cover.tiles * inner


def scratch_bytes(spec: Conv2d, form: Form, isa: Isa, cover: Cover) -> int:
    """Of all passes that run at once."""
    passes = spec.output[0] * cover.bands * cover.spans
    each = -(-passes // min(isa.cores, passes))
    rows = cover.rows if passes == 1 and isa.cores > 1 else 1
    sizes = pass_elements(spec, form, isa, cover, rows)
    return sum(padded(4 * -(-passes // each) * size) for size in sizes)


def choose(spec: Conv2d, isa: Isa, free_bytes: int) -> Form | None:
    """The form that costs least, if one beats the plain sums; None for all other windows.

    ``free_bytes``: scratch beyond this would make the arena larger, as no form may.
    """
    window = spec.window
    fits = (
        spec.dtype == "float32" and window.kernel == (3, 3) and window.stride == (1, 1)
        and window.dilation == (1, 1) and spec.groups == 1 and max(window.padding) <= 2
        and min(*spec.output, *spec.input) > 0
    )  # fmt: skip
    # without a second cache it is a microcontroller: its flash has no room for more weights
    if not fits or isa.l2_bytes == 0:
        return None
    fitting = [
        (_cost(spec, form, isa, found), form)
        for form in (TWO, FOUR)
        for found in [cover(spec, form, isa, free_bytes)]
        if scratch_bytes(spec, form, isa, found) <= free_bytes
    ]
    cost, best = min(fitting, key=lambda pair: pair[0], default=(0.0, None))
    return best if cost < WORTH * _plain_cost(spec, isa) else None


def _streamed(vectors: int, isa: Isa) -> float:
    """Reading packed weights once, in vector operations: from L2, or from beyond it."""
    size = 4 * isa.lanes
    return vectors if vectors * size <= isa.l2_bytes else vectors * size / 4


def _plain_cost(spec: Conv2d, isa: Isa) -> float:
    n, h, w, k = spec.output
    vectors = 9 * spec.input[3] * -(-k // isa.lanes)
    return vectors * n * h * w + _streamed(vectors, isa)


def _cost(spec: Conv2d, form: Form, isa: Isa, found: Cover) -> float:
    """In vector operations: multiplications, transforms with their loads and stores, weights."""
    n, m = form.n, form.m
    c, k = spec.input[3], spec.output[3]
    blocks = -(-k // isa.lanes)
    vectors = n * n * c * blocks
    each = (m + n) * (2 * n + form.into_cost) * _vectors(c, isa.lanes)
    each += (n * n + (n + m) * form.out_cost + m * m) * _vectors(k, isa.lanes)
    each += vectors + n * n * blocks
    passes = spec.output[0] * found.bands * found.spans
    return spec.output[0] * found.down * found.across * each + passes * _streamed(vectors, isa)


def _vectors(count: int, lanes: int) -> int:
    return count // lanes + len(pieces(count % lanes, lanes))
