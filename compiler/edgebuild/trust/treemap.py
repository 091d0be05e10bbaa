# SPDX-License-Identifier: Apache-2.0
"""Squarified treemap: areas in proportion to values, shapes near squares.

Source: Bruls, Huizing, van Wijk, "Squarified Treemaps", 2000.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgebuild.trust.drawing import Rectangle


def layout(values: Sequence[float], area: Rectangle) -> list[Rectangle]:
    """One rectangle for each value, in the given order, which must be descending and positive."""
    placed: list[Rectangle] = []
    total = sum(values)
    scale = area.width * area.height / total if total else 0.0
    rest = [value * scale for value in values]
    while rest:
        side = min(area.width, area.height)
        count = 1
        while count < len(rest) and _worst(rest[: count + 1], side) <= _worst(rest[:count], side):
            count += 1
        row, area = _row(rest[:count], area)
        placed += row
        rest = rest[count:]
    return placed


def _worst(areas: Sequence[float], side: float) -> float:
    """The worst ratio of sides in a row of rectangles along ``side``."""
    total = sum(areas)
    if not total or not side:
        return float("inf")
    return max(
        side * side * max(areas) / total**2,
        total**2 / (side * side * min(areas)),
    )


def _row(areas: Sequence[float], area: Rectangle) -> tuple[list[Rectangle], Rectangle]:
    """Lay a row along the shorter side; answer it and what is left of the area."""
    side = min(area.width, area.height)
    depth = sum(areas) / side if side else 0.0
    placed, at = [], 0.0
    for share in areas:
        length = share / depth if depth else 0.0
        if area.width >= area.height:
            placed.append(Rectangle(x=area.x, y=area.y + at, width=depth, height=length))
        else:
            placed.append(Rectangle(x=area.x + at, y=area.y, width=length, height=depth))
        at += length
    if area.width >= area.height:
        left = Rectangle(x=area.x + depth, y=area.y, width=area.width - depth, height=area.height)
    else:
        left = Rectangle(x=area.x, y=area.y + depth, width=area.width, height=area.height - depth)
    return placed, left
