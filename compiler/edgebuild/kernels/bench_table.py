# SPDX-License-Identifier: Apache-2.0
"""Bench results as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BAR = 12  # characters that the longest bar takes
WIDTH = 100
SHORTEST = 12  # that a name is cut to
GAP = 2  # between columns

#: What bounds a predicted time, as a column has room for it.
BOUNDS = {"compute": "ops", "memory": "bytes", "call": "call"}
LEGEND = (
    "by: what bounds it, operations, bytes or the call; |: where the roofline would have it end"
)

Row = Sequence[str]


def table(result: Mapping[str, Any]) -> str:
    """The tables of ``bench.run``'s answer: all models, then each one's layers."""
    cpu = result["cpu"]
    head = f"{cpu['model']} ({', '.join(cpu['features']) or 'no extra features'}), "
    head += f"{result['threads']} thread{'s' if result['threads'] != 1 else ''}"
    parts = [head, models(result["models"])]
    if result["geometric_mean"] is not None:
        parts.append(
            f"geometric mean against the best peer: {result['geometric_mean']:.2f}× by medians, "
            f"{result['geometric_mean_min']:.2f}× by minima"
        )
    parts += [layers(each) for each in result["models"] if each["layers"]]
    return "\n\n".join(parts) + "\n"


def models(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line for each model, and one for each other runtime under it."""
    lines: list[Row] = [
        (
            *("model", "median", "p99", "min", "Gop/s", "bytes", "roofline"),
            *("speed-up", "by min", "differs"),
        )
    ]
    for row in rows:
        ours = row["runtimes"]["edgebuild"]
        for name, each in row["runtimes"].items():
            mine = name == "edgebuild"
            lines.append(
                (
                    row["name"] if mine else f"  {name}",
                    duration(each["median_s"]),
                    duration(each["p99_s"]),
                    duration(each["min_s"]),
                    rate(each["operations_per_s"]),
                    size(row["bytes_moved"]) if mine else "",
                    f"{row['roofline_share']:.0%}" if mine else "",
                    "" if mine else f"{each['median_s'] / ours['median_s']:.2f}×",
                    "" if mine else f"{each['min_s'] / ours['min_s']:.2f}×",
                    difference(row["difference"].get(name)),
                )
            )
    notes = [
        f"{row['name']}: no {name}, which says: {why[:WIDTH]}"
        for row in rows
        for name, why in row["absent"].items()
    ]
    return "\n".join([aligned(fitted(lines), left=1), *notes])


def difference(largest: float | None) -> str:
    """The largest difference of an output; nothing where there is nothing to compare."""
    return "" if largest is None else f"{largest:.2g}"


def layers(row: Mapping[str, Any]) -> str:
    """One line for each operator of a model, with its measured time as a bar.

    In the bar, ``|`` marks where the roofline says the operator could end.
    """
    longest = max(each["median_s"] for each in row["layers"])
    lines: list[Row] = [
        ("operator", "kind", "median", "p99", "predicted", "by", "Gop/s", "bytes", "roofline", "")
    ]
    lines += [
        (
            each["name"],
            each["kind"],
            duration(each["median_s"]),
            duration(each["p99_s"]),
            duration(each["predicted_s"]),
            BOUNDS[each["bound"]],
            rate(each["operations_per_s"]),
            size(each["bytes_moved"]),
            f"{each['roofline_share']:.0%}",
            bar(each["median_s"] / longest, each["roofline_share"]),
        )
        for each in row["layers"]
    ]
    predicted = f"predicted {duration(row['predicted_s'])} in all, {_within(row)}"
    table = aligned(fitted(lines), left=2)
    return f"{row['name']}, each operator\n{table}\n{predicted}\n{LEGEND}"


def fitted(lines: Sequence[Row]) -> list[Row]:
    """The first column cut in front, where names tell least, so that lines fit in WIDTH."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    room = max(SHORTEST, WIDTH - sum(widths[1:]) - GAP * (len(widths) - 1))
    return [(name if len(name) <= room else f"…{name[1 - room :]}", *rest) for name, *rest in lines]


def is_near(predicted_s: float, measured_s: float) -> bool:
    """Whether a prediction is within a quarter of what was measured."""
    return 0.75 * measured_s <= predicted_s <= 1.25 * measured_s


def _within(row: Mapping[str, Any]) -> str:
    near = sum(is_near(each["predicted_s"], each["median_s"]) for each in row["layers"])
    return f"{near} of {len(row['layers'])} operators within 25 %"


def bar(share: float, roofline_share: float) -> str:
    """A bar of ``share`` of the full length with the roofline's mark in it."""
    length = max(1, round(share * BAR))
    mark = min(length - 1, int(length * roofline_share))
    return "█" * mark + "|" + "█" * (length - 1 - mark)


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would choose, with three digits."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds * 1e9:.0f} ns"


def size(count: int) -> str:
    """Bytes with three digits: 999, 1.23k, 45.6M."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= scale * 0.9995:
            return three_digits(count / scale) + unit
    return str(count)


def rate(per_second: float) -> str:
    """Operations a second, in units of 10⁹."""
    return three_digits(per_second / 1e9) if per_second else ""


def three_digits(value: float) -> str:
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def aligned(lines: Sequence[Row], *, left: int) -> str:
    """Columns padded to their widest cell; the first ``left`` and the last to the left."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    last = len(widths) - 1
    return "\n".join(
        (" " * GAP)
        .join(
            cell.ljust(width) if column < left or column == last else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        .rstrip()
        for line in lines
    )


def counts(result: Mapping[str, Any]) -> str:
    """The tables of ``bench_count.run``'s answer."""
    cpu = result["cpu"]
    lines: list[Row] = [("model", "instructions", "MACs", "instructions per MAC")]
    lines += [
        (
            each["name"],
            f"{each['instructions']:,}",
            f"{each['macs']:,}",
            f"{each['instructions'] / max(1, each['macs']):.3f}",
        )
        for each in result["models"]
    ]
    head = f"{cpu['model']} ({', '.join(cpu['features']) or 'no extra features'}): "
    parts = [head + "instructions of one inference", aligned(fitted(lines), left=1)]
    parts += [operator_counts(each) for each in result["models"]]
    return "\n\n".join(parts) + "\n"


def operator_counts(row: Mapping[str, Any]) -> str:
    """One line for each operator of a model."""
    longest = max((each["instructions"] for each in row["operators"]), default=1)
    lines: list[Row] = [("operator", "kind", "instructions", "per MAC", "")]
    lines += [
        (
            each["name"],
            each["kind"],
            f"{each['instructions']:,}",
            f"{each['instructions'] / each['macs']:.3f}" if each["macs"] else "",
            "█" * max(1, round(BAR * each["instructions"] / longest)),
        )
        for each in row["operators"]
    ]
    return f"{row['name']}, each operator\n{aligned(fitted(lines), left=2)}"
