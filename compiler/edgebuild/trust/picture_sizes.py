# SPDX-License-Identifier: Apache-2.0
"""Pictures of sizes: the executable as one bar, the image's content as a treemap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgebuild.trust import drawing, treemap
from edgebuild.trust.drawing import Picture, Rectangle

WIDTH = 960.0
_SMALLEST_SHARE = 0.004  # of an area; below it a rectangle is a line


def executable(parts: Sequence[Mapping[str, Any]], name: str) -> Picture:
    """``parts``: name and bytes of consecutive parts of the executable."""
    total = sum(part["bytes"] for part in parts) or 1
    body, x = "", 0.0
    for index, part in enumerate(parts):
        width = WIDTH * part["bytes"] / total
        amount = drawing.size(part["bytes"])
        place = Rectangle(x=x, y=0, width=width, height=44)
        tip = f"{part['name']}: {amount}"
        body += drawing.box(place, drawing.colour(index), tip, part["name"], amount)
        x += width
    body += _legend(parts, total)
    rows = (len(parts) + 2) // 3
    return Picture(
        name="executable",
        title=f"What takes room in {name}",
        description="; ".join(f"{p['name']} {drawing.size(p['bytes'])}" for p in parts),
        width=WIDTH,
        height=56 + 20 * rows,
        body=body,
    )


def _legend(parts: Sequence[Mapping[str, Any]], total: int) -> str:
    body = ""
    for index, part in enumerate(parts):
        x, y = (index % 3) * WIDTH / 3, 56 + (index // 3) * 20
        share = f"{100 * part['bytes'] / total:.1f} %"
        words = f"{part['name']}  {drawing.size(part['bytes'])}, {share}"
        body += drawing.swatch(x, y, drawing.colour(index), words, WIDTH / 3)
    return body


def image(packages: Sequence[Mapping[str, Any]], name: str) -> Picture:
    """``packages``: name and bytes of what the image's files come from, largest first."""
    shown = _gather([p for p in packages if p["bytes"] > 0])
    area = Rectangle(x=0, y=0, width=WIDTH, height=300)
    places = treemap.layout([p["bytes"] for p in shown], area)
    body = ""
    for index, (package, place) in enumerate(zip(shown, places, strict=True)):
        amount = drawing.size(package["bytes"])
        tip = f"{package['name']}: {amount}"
        body += drawing.box(place, drawing.colour(index), tip, package["name"], amount)
    return Picture(
        name="image",
        title=f"What takes room in {name}, before compression",
        description="; ".join(f"{p['name']} {drawing.size(p['bytes'])}" for p in shown),
        width=WIDTH,
        height=300,
        body=body,
    )


def _gather(packages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Join what is too small to see into one."""
    total = sum(p["bytes"] for p in packages)
    large = [p for p in packages if p["bytes"] >= total * _SMALLEST_SHARE]
    small = [p for p in packages if p["bytes"] < total * _SMALLEST_SHARE]
    if len(small) < 2:
        return [*large, *small]
    joined = {"name": f"{len(small)} others", "bytes": sum(p["bytes"] for p in small)}
    return sorted([*large, joined], key=lambda p: (-p["bytes"], p["name"]))
