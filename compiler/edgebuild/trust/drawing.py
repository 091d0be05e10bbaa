# SPDX-License-Identifier: Apache-2.0
"""SVG from values: a few elements, one way to write a number, and labels that fit.

Nothing here measures fonts, so the same values give the same bytes on every machine. Colours are
classes (``c0`` … ``c7``) of templates/report.css, which knows light, dark and paper.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = 8
LINE_HEIGHT = 15
CHARACTER_WIDTH = 6.6  # of the 11 px label font, on the generous side


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An SVG drawing of a fixed size in CSS pixels, with a sentence that says what it shows."""

    name: str
    title: str
    description: str
    width: float
    height: float
    body: str

    def svg(self) -> str:
        """A complete element for use inside HTML; scales with its container."""
        ids = f"{self.name}-title {self.name}-desc"
        head = element("title", escape(self.title), id=f"{self.name}-title")
        head += element("desc", escape(self.description), id=f"{self.name}-desc")
        return element(
            "svg",
            head + self.body,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {number(self.width)} {number(self.height)}",
            role="img",
            aria_labelledby=ids,
        )


def element(tag: str, content: str = "", **attributes: float | str | None) -> str:
    """One element; ``content`` is markup. ``class_`` becomes class, other ``_`` become ``-``."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def label(x: float, y: float, words: str, *, class_: str = "t", anchor: str | None = None) -> str:
    """A line of text; ``anchor`` is middle or end."""
    return element("text", escape(words), x=x, y=y, class_=class_, text_anchor=anchor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """A place in a picture, in pixels; y grows downwards."""

    x: float
    y: float
    width: float
    height: float


def box(place: Rectangle, class_: str, tooltip: str, *lines: str) -> str:
    """A rectangle with a tooltip, and as many lines of label as it has room for."""
    shape = element(
        "rect",
        element("title", escape(tooltip)),
        x=place.x,
        y=place.y,
        width=place.width,
        height=place.height,
        class_=class_,
    )
    for index, line in enumerate(lines[: int((place.height - 3) / LINE_HEIGHT)]):
        if fitted := fit_label(line, place.width - 8):
            y = place.y + LINE_HEIGHT * (index + 1) - 2
            shape += label(place.x + 4, y, fitted, class_="on")
    return shape


def fit_label(words: str, width: float) -> str:
    """``words``, shortened to a width in pixels; nothing if even that says too little."""
    room = int(width / CHARACTER_WIDTH)
    if len(words) <= room:
        return words
    return words[: room - 1] + "…" if room >= 5 else ""


def short_name(name: str) -> str:
    """A tensor's or operator's name without the scopes and fused names that frameworks add.

    ``functional_1/activation_2/Relu;functional_1/conv2d/BiasAdd`` becomes ``activation_2/Relu``.
    """
    return "/".join(name.partition(";")[0].split("/")[-2:])


def escape(words: str) -> str:
    return html.escape(words, quote=True)


def swatch(x: float, y: float, class_: str, words: str, width: float) -> str:
    """One entry of a legend: a square and what it stands for."""
    square = element("rect", x=x, y=y, width=12, height=12, class_=class_)
    return square + label(x + 18, y + 10, fit_label(words, width - 24))


def number(value: float) -> str:
    """Two decimals at most, no trailing zeros, no minus zero."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def colour(index: int) -> str:
    return f"c{index % COLOURS}"


def size(count: float) -> str:
    """Bytes for people, in binary units: 512 B, 1.5 KiB, 12.0 MiB."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, larger
    return f"{int(count)} B" if unit == "B" else f"{value:.1f} {unit}"


def quantity(value: float) -> str:
    """A count for people, with a decimal prefix: 950, 2.7 M, 1.2 G."""
    for limit, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= limit:
            return f"{value / limit:.1f}{prefix}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time for people: 12.0 µs, 3.4 ms, 1.2 s."""
    for limit, unit, scale in ((1.0, "s", 1.0), (1e-3, "ms", 1e3)):
        if seconds >= limit:
            return f"{seconds * scale:.1f} {unit}"
    return f"{seconds * 1e6:.1f} µs"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogScale:
    """Maps positive values to pixels, decade by decade."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (math.log10(value) - math.log10(self.low)) / (
            math.log10(self.high) - math.log10(self.low)
        )
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten within; with twice and five times them where there are few."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        wide = len(powers) > 4
        steps = [
            10.0**power * factor for power in powers for factor in ((1,) if wide else (1, 2, 5))
        ]
        return [step for step in steps if self.low <= step <= self.high]


def log_range(values: Sequence[float]) -> tuple[float, float]:
    """The range of positive values with some air; at least one decade."""
    low, high = min(values) / 1.6, max(values) * 1.6
    return low, max(high, low * 10)


def _value(value: float | str | None) -> str:
    return escape(value) if isinstance(value, str) else number(value or 0)
