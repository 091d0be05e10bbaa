# SPDX-License-Identifier: Apache-2.0
"""Roofline picture: for each operator, multiply-adds per byte against multiply-adds per second.

Source of the model: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgebuild.trust import drawing
from edgebuild.trust.drawing import LogScale, Picture

WIDTH, HEIGHT = 960.0, 380.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 78.0, 16.0, 14.0, 40.0
_NAMED = 4  # as many operators, the slowest, get their number written above them
_TOGETHER = 20.0  # pixels; points nearer than this are in one place
_BOUNDS = {"compute": "c0", "memory": "c1", "call": "c4"}
_MEANING = {"compute": "bound by arithmetic", "memory": "by traffic", "call": "by calls"}


def roofline(model: Mapping[str, Any], machine: Mapping[str, Any]) -> Picture:
    """``model``: name and operators of name, macs, bytes_moved, time_s, bound.

    ``machine``: peak_macs_per_s by element type, bandwidth_bytes_per_s by level of memory.
    """
    points = [
        {
            **operator,
            "number": position,
            "intensity": operator["macs"] / operator["bytes_moved"],
            "speed": operator["macs"] / operator["time_s"],
        }
        for position, operator in enumerate(model["operators"])
        if operator["macs"] > 0 and operator["bytes_moved"] > 0 and operator["time_s"] > 0
    ]
    x, y = _scales(points, machine)
    body = _axes(x, y) + _roofs(x, y, machine) + _points(points, x, y)
    slowest = sorted(points, key=lambda p: (-p["time_s"], p["name"]))[:_NAMED]
    named = ", ".join(
        f"{p['number']} {p['kind']} ({drawing.duration(p['time_s'])})" for p in slowest
    )
    return Picture(
        name=f"roofline-{model['name']}",
        title=f"Roofline of {model['name']}: predicted speed of each operator under the limits",
        description=f"{len(points)} operators with arithmetic. Slowest: {named or 'none'}.",
        width=WIDTH,
        height=HEIGHT,
        body=body,
    )


def _scales(
    points: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]
) -> tuple[LogScale, LogScale]:
    peaks = list(machine["peak_macs_per_s"].values())
    bands = list(machine["bandwidth_bytes_per_s"].values())
    ridge = max(peaks) / min(bands)
    low, high = drawing.log_range([ridge, 0.1, *(p["intensity"] for p in points)])
    bottom, top = drawing.log_range([max(peaks), *(p["speed"] for p in points)])
    x = LogScale(low=low, high=high, start=_LEFT, end=WIDTH - _RIGHT)
    return x, LogScale(low=bottom, high=top, start=HEIGHT - _BOTTOM, end=_TOP)


def _axes(x: LogScale, y: LogScale) -> str:
    body = ""
    for value in x.ticks():
        at = x.at(value)
        body += drawing.element("line", x1=at, y1=y.start, x2=at, y2=y.end, class_="grid")
        body += drawing.label(at, y.start + 14, drawing.quantity(value), anchor="middle")
    for value in y.ticks():
        at = y.at(value)
        body += drawing.element("line", x1=x.start, y1=at, x2=x.end, y2=at, class_="grid")
        body += drawing.label(x.start - 6, at + 4, drawing.quantity(value), anchor="end")
    middle = (x.start + x.end) / 2
    body += drawing.label(
        middle, HEIGHT - 8, "multiply-adds per byte moved", class_="t quiet", anchor="middle"
    )
    body += drawing.label(x.start + 4, y.end + 10, "multiply-adds per second", class_="t quiet")
    for position, (bound, words) in enumerate(_MEANING.items()):
        left = x.start + 190 + 150 * position
        body += drawing.swatch(left, y.end, _BOUNDS[bound], words, 170)
    return body


def _roofs(x: LogScale, y: LogScale, machine: Mapping[str, Any]) -> str:
    """A slanted line for each level of memory, and a level one for each peak."""
    peaks: Mapping[str, float] = machine["peak_macs_per_s"]
    highest = max(peaks.values())
    body = ""
    for position, (name, band) in enumerate(machine["bandwidth_bytes_per_s"].items()):
        first = max(x.low, y.low / band)
        last = min(x.high, highest / band)
        if first < last:
            body += _line(x, y, (first, first * band), (last, last * band))
            at = first * (last / first) ** (0.75 - 0.2 * position)  # so that labels keep apart
            words = f"{name} {drawing.quantity(band)}B/s"
            body += drawing.label(x.at(at) + 8, y.at(at * band) + 10, words)
    widest = max(machine["bandwidth_bytes_per_s"].values())
    for name, peak in peaks.items():
        body += _line(x, y, (max(x.low, peak / widest), peak), (x.high, peak))
        words = f"{name} {drawing.quantity(peak)}MAC/s"
        body += drawing.label(x.end - 4, y.at(peak) - 5, words, anchor="end")
    return body


def _line(x: LogScale, y: LogScale, one: tuple[float, float], other: tuple[float, float]) -> str:
    return drawing.element(
        "line", x1=x.at(one[0]), y1=y.at(one[1]), x2=x.at(other[0]), y2=y.at(other[1]),
        class_="roof",
    )  # fmt: skip


def _points(points: Sequence[Mapping[str, Any]], x: LogScale, y: LogScale) -> str:
    total = sum(point["time_s"] for point in points) or 1.0
    ranked = sorted(points, key=lambda p: (-p["time_s"], p["name"]))
    body = ""
    for point in ranked:
        share = point["time_s"] / total
        at = x.at(point["intensity"]), y.at(point["speed"])
        radius = 3 + 15 * math.sqrt(share)
        tip = (
            f"{point['name']}: {drawing.duration(point['time_s'])}, {100 * share:.0f} % of the "
            f"time, bound by {point['bound']}"
        )
        class_ = f"dot {_BOUNDS.get(point['bound'], 'c5')}"
        body += drawing.element(
            "circle", drawing.element("title", drawing.escape(tip)), cx=at[0], cy=at[1], r=radius,
            class_=class_,
        )  # fmt: skip
    return body + "".join(_numbers(ranked[:_NAMED], x, y))


def _numbers(points: Sequence[Mapping[str, Any]], x: LogScale, y: LogScale) -> Iterator[str]:
    """The operators' numbers above their points; points in one place share a label."""
    places: dict[tuple[int, int], list[int]] = {}
    for point in sorted(points, key=lambda p: int(p["number"])):
        at = x.at(point["intensity"]), y.at(point["speed"])
        place = round(at[0] / _TOGETHER), round(at[1] / _TOGETHER)
        places.setdefault(place, []).append(point["number"])
    for (column, row), numbers in places.items():
        words = ", ".join(str(number) for number in numbers)
        yield drawing.label(column * _TOGETHER, row * _TOGETHER - _TOGETHER, words, anchor="middle")
