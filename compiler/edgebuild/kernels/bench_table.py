# SPDX-License-Identifier: Apache-2.0
"""Bench results as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BAR = 20  # characters that the longest bar takes

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
    """One line for each model and runtime."""
    lines: list[Row] = [
        (
            *("model", "runtime", "median", "p99", "min", "Gop/s", "bytes", "roofline"),
            *("speed-up", "by min", "differs by"),
        )
    ]
    for row in rows:
        ours = row["runtimes"]["edgebuild"]
        for name, each in row["runtimes"].items():
            mine = name == "edgebuild"
            lines.append(
                (
                    row["name"],
                    name,
                    duration(each["median_s"]),
                    duration(each["p99_s"]),
                    duration(each["min_s"]),
                    f"{each['operations_per_s'] / 1e9:.1f}",
                    str(row["bytes_moved"]) if mine else "",
                    f"{row['roofline_share']:.0%}" if mine else "",
                    "" if mine else f"{each['median_s'] / ours['median_s']:.2f}×",
                    "" if mine else f"{each['min_s'] / ours['min_s']:.2f}×",
                    difference(row["difference"].get(name)),
                )
            )
    return aligned(lines, left=2)


def difference(largest: float | None) -> str:
    """The largest difference of an output; nothing where there is nothing to compare."""
    return "" if largest is None else f"{largest:.4g}"


def layers(row: Mapping[str, Any]) -> str:
    """One line for each operator of a model, with its measured time as a bar.

    In the bar, ``|`` marks where the roofline says the operator could end.
    """
    longest = max(each["median_s"] for each in row["layers"])
    lines: list[Row] = [
        (
            "operator",
            "kind",
            "median",
            "p99",
            "predicted",
            "bound",
            "Gop/s",
            "bytes",
            "roofline",
            "",
        )
    ]
    lines += [
        (
            each["name"][-36:],
            each["kind"],
            duration(each["median_s"]),
            duration(each["p99_s"]),
            duration(each["predicted_s"]),
            each["bound"],
            f"{each['operations_per_s'] / 1e9:.1f}",
            str(each["bytes_moved"]),
            f"{each['roofline_share']:.0%}",
            bar(each["median_s"] / longest, each["roofline_share"]),
        )
        for each in row["layers"]
    ]
    predicted = f"predicted {duration(row['predicted_s'])} in all, {_within(row)}"
    return f"{row['name']}, each operator\n{aligned(lines, left=2)}\n{predicted}"


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


def aligned(lines: Sequence[Row], *, left: int) -> str:
    """Columns padded to their widest cell; the first ``left`` and the last to the left."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    last = len(widths) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < left or column == last else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
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
    parts = [head + "instructions of one inference", aligned(lines, left=1)]
    parts += [operator_counts(each) for each in result["models"]]
    return "\n\n".join(parts) + "\n"


def operator_counts(row: Mapping[str, Any]) -> str:
    """One line for each operator of a model."""
    longest = max((each["instructions"] for each in row["operators"]), default=1)
    lines: list[Row] = [("operator", "kind", "instructions", "per MAC", "")]
    lines += [
        (
            each["name"][-36:],
            each["kind"],
            f"{each['instructions']:,}",
            f"{each['instructions'] / each['macs']:.3f}" if each["macs"] else "",
            "█" * max(1, round(BAR * each["instructions"] / longest)),
        )
        for each in row["operators"]
    ]
    return f"{row['name']}, each operator\n{aligned(lines, left=2)}"
