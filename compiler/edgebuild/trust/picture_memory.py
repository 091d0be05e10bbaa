# SPDX-License-Identifier: Apache-2.0
"""Picture of a memory plan: operators along, arena offsets up, one box for each tensor's life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgebuild.trust import drawing
from edgebuild.trust.drawing import Picture, Rectangle

WIDTH, HEIGHT = 960.0, 300.0
_LEFT, _TOP, _BOTTOM = 78.0, 8.0, 34.0


def memory(model: Mapping[str, Any]) -> Picture:
    """``model``: name, arena_bytes, and memory_plan of tensor, offset, bytes, first, last.

    ``first`` and ``last`` are positions of the operators that write and last read the tensor.
    """
    plan: Sequence[Mapping[str, Any]] = model["memory_plan"]
    steps = max((entry["last"] for entry in plan), default=0) + 1
    arena = max(model["arena_bytes"], 1)
    across = (WIDTH - _LEFT) / steps
    up = (HEIGHT - _TOP - _BOTTOM) / arena
    floor = HEIGHT - _BOTTOM
    body = _axes(arena, steps, across, floor)
    for index, entry in enumerate(plan):
        life = entry["last"] - entry["first"] + 1
        tip = (
            f"{entry['tensor']}: {drawing.size(entry['bytes'])} at {entry['offset']}, "
            f"operators {entry['first']} to {entry['last']}"
        )
        place = Rectangle(
            x=_LEFT + entry["first"] * across,
            y=floor - (entry["offset"] + entry["bytes"]) * up,
            width=life * across,
            height=entry["bytes"] * up,
        )
        body += drawing.box(
            place, f"edge {drawing.colour(index)}", tip, drawing.short_name(entry["tensor"])
        )
    return Picture(
        name=f"memory-{model['name']}",
        title=f"Memory plan of {model['name']}",
        description=_summary(model),
        width=WIDTH,
        height=HEIGHT,
        body=body,
    )


def _summary(model: Mapping[str, Any]) -> str:
    """Arena, most that lives at once, and what it would be without reuse."""
    plan = model["memory_plan"]
    steps = max((entry["last"] for entry in plan), default=0) + 1
    live = max(
        (sum(e["bytes"] for e in plan if e["first"] <= step <= e["last"]) for step in range(steps)),
        default=0,
    )
    apart = sum(entry["bytes"] for entry in plan)
    return (
        f"The arena has {drawing.size(model['arena_bytes'])}. At most {drawing.size(live)} are "
        f"live at once; without reuse it would be {drawing.size(apart)} for {len(plan)} tensors."
    )


def _axes(arena: int, steps: int, across: float, floor: float) -> str:
    body = ""
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = floor - share * (floor - _TOP)
        body += drawing.element("line", x1=_LEFT, y1=y, x2=WIDTH, y2=y, class_="grid")
        body += drawing.label(_LEFT - 6, y + 4, drawing.size(arena * share), anchor="end")
    every = max(1, -(-steps // 16))
    for step in range(0, steps, every):
        x = _LEFT + (step + 0.5) * across
        body += drawing.label(x, floor + 14, str(step), anchor="middle")
    middle = (_LEFT + WIDTH) / 2
    return body + drawing.label(middle, HEIGHT - 4, "operator", class_="t quiet", anchor="middle")
