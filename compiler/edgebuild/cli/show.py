# SPDX-License-Identifier: Apache-2.0
"""Tables for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebuild.model.fit import Fit
from edgebuild.model.plan import Plan
from edgebuild.planning.fit import mib

if TYPE_CHECKING:
    from edgebuild.pipeline import Built


NAME_WIDTH = 40


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns padded with spaces; those in ``right`` are aligned to the right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    shown = [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([shown[0], "  ".join("─" * width for width in widths), *shown[1:]])


def release(built: Built, *, as_json: bool, key: str | None) -> None:
    """The release that a build made: each file with its size, and what to do next."""
    files = sorted(built.release.iterdir())
    if as_json:
        print(json.dumps(_release_json(built, files), indent=1))
        return
    shown = [path for path in files if not path.name.endswith(".sigstore.json")]
    signatures = len(files) - len(shown)
    print(table(("file", "bytes"), [(p.name, f"{p.stat().st_size:,}") for p in shown], right=(1,)))
    print(f"and {signatures} signature bundles, in {built.release}")
    if not built.changed and not built.events:
        print("nothing changed")
    if key:
        print(f"verify:  edgebuild verify {built.release} --key {key}")
    print(f"boot:    edgebuild run {built.release}")


def _release_json(built: Built, files: list[Path]) -> dict[str, Any]:
    return {
        "target": built.plan.target,
        "release": str(built.release),
        "changed": built.changed,
        "files": [{"name": path.name, "bytes": path.stat().st_size} for path in files],
        "steps": [
            {"name": e.step, "what": e.what, "seconds": e.seconds}
            for e in built.events
            if e.what != "start"
        ],
    }


def plan(planned: Plan) -> None:
    """The steps of a build, in order."""
    rows = [(step.name, step.title, ", ".join(step.outputs)) for step in planned.steps]
    print(table(("step", "what it does", "outputs"), rows))


def fit(result: Fit) -> None:
    """The arithmetic of a fit, and the best time of each model."""
    rows = [("gateway", mib(result.gateway_bytes))]
    for model in result.models:
        rows.append((f"{model.name}: weights", mib(model.weights_bytes)))
        rows.append((f"{model.name}: arena", mib(model.arena_bytes)))
    rows.append(("memory needed", mib(result.memory_needed_bytes)))
    rows.append((f"memory free on {result.target}", mib(result.memory_free_bytes)))
    rows.append(("storage needed", mib(result.storage_needed_bytes)))
    rows.append((f"storage of {result.target}", mib(result.storage_bytes)))
    print(table(("what", "size"), rows, right=(1,)))
    for model in result.models:
        print(f"\n{model.name}: about {model.time_s * 1e3:.3f} ms on one core")
        operators = [
            (
                brief(str(row["name"])),
                str(row["kind"]),
                f"{row['macs']:,}",
                f"{row['bytes_moved']:,}",
                f"{row['time_s'] * 1e6:.1f}",
                str(row["bound"]),
            )
            for row in model.operators
        ]
        head = ("operator", "kind", "MACs", "bytes moved", "µs", "bound by")
        print(table(head, operators, right=(2, 3, 4)))


def brief(name: str) -> str:
    """An operator's name without what a converter appended, at most 40 characters."""
    first = name.split(";", 1)[0]
    return first if len(first) <= NAME_WIDTH else "…" + first[1 - NAME_WIDTH :]


def fetching(what: str, done: int, total: int) -> None:
    """Progress of a download, on a terminal only: elsewhere the step's line says enough."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{what}: {done / 1e6:.1f} of {total / 1e6:.1f} MB")
        if done == total:
            sys.stderr.write("\n")
