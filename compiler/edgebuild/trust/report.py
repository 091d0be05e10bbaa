# SPDX-License-Identifier: Apache-2.0
"""The report of a release: ``report.json``, and ``report.html`` drawn from it.

A function of what the chapters left; it holds no time of building, because the report is a signed
part of the release and two builds of one plan give equal bytes
(docs/decisions/0502-no-times-in-a-release.md).
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebuild.host import files
from edgebuild.model.profile import Profile
from edgebuild.planning import fit as fits
from edgebuild.planning import roofline
from edgebuild.trust import elf

FORMAT = 1

_TEXT, _CONSTANTS = ".text", ".rodata"
_KEPT_FROM_CARD = (
    "name", "digest", "format", "task", "description", "licence", "inputs", "outputs", "notes",
    "arena_bytes", "weights_bytes", "code_bytes", "macs", "parameters", "memory_plan",
)  # fmt: skip

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the chapters left, as they wrote it.

    ``fit``: ``model.fit.Fit.to_json()``. ``cards``: model cards. ``checks``: the kernels' checks
    against the reference, by model. ``payload``: the firmware's listing (files of path, bytes,
    package; image_bytes), None without firmware. ``artifacts``: the files beside the report.
    """

    profile: Profile
    version: str
    fit: Json
    cards: Sequence[Json]
    checks: Mapping[str, Json]
    payload: Json | None
    artifacts: Sequence[Path]
    executable: Path


def report(facts: Facts) -> dict[str, Any]:
    """The content of report.json."""
    models = [_model(card, facts) for card in facts.cards]
    program_bytes = facts.executable.stat().st_size
    return {
        "format": FORMAT,
        "edgebuild": facts.version,
        "target": _target(facts.profile),
        "profile": dataclasses.asdict(facts.profile),
        "artifacts": [
            {"name": p.name, "bytes": p.stat().st_size, "sha256": files.digest(p)}
            for p in sorted(facts.artifacts)
        ],
        "executable": {
            "name": facts.executable.name,
            "bytes": program_bytes,
            "parts": _parts(facts.executable, models),
        },
        "image": None if facts.payload is None else _image(facts.payload),
        "fit": {key: value for key, value in facts.fit.items() if key != "models"},
        "predictions": list(_predictions(facts, models, program_bytes)),
        "models": models,
    }


def _target(profile: Profile) -> dict[str, Any]:
    cpu, memory = profile.cpu, profile.memory
    bands = {
        "L1": roofline.bandwidth(cpu, cpu.cache.l1d_bytes, memory.bandwidth_bytes_per_s),
        "L2": roofline.bandwidth(cpu, cpu.cache.l2_bytes, memory.bandwidth_bytes_per_s),
        "memory": float(memory.bandwidth_bytes_per_s),
    }
    return {
        "name": profile.name,
        "title": profile.title,
        "cpu": f"{cpu.model} ({cpu.arch}), {cpu.cores} × {cpu.clock_mhz} MHz",
        "memory_bytes": memory.size_bytes,
        "memory_source": memory.source,
        "peak_macs_per_s": {
            dtype: roofline.peak_macs_per_s(cpu, dtype) for dtype in ("float32", "int8")
        },
        "bandwidth_bytes_per_s": bands,
    }


def _model(card: Json, facts: Facts) -> dict[str, Any]:
    predicted = _predicted(card["name"], facts.fit)
    return {
        **{key: card.get(key) for key in _KEPT_FROM_CARD},
        "memory_plan": list(card.get("memory_plan") or ()),
        "code_bytes": card.get("code_bytes") or 0,
        "time_s": predicted["time_s"],
        "operators": list(predicted["operators"]),
        "check": dict(facts.checks.get(card["name"], {})),
    }


def _predicted(name: str, fit: Json) -> Json:
    found: Json = next(model for model in fit["models"] if model["name"] == name)
    return found


def _parts(executable: Path, models: Sequence[Json]) -> list[dict[str, Any]]:
    """The executable by use, largest first; from its sections and the models' cards."""
    sections = elf.sections(executable)
    kernels = min(sum(m["code_bytes"] for m in models), sections.get(_TEXT, 0))
    constants = min(sum(m["weights_bytes"] for m in models), sections.get(_CONSTANTS, 0))
    unwind = sum(size for name, size in sections.items() if name.startswith(".eh_frame"))
    data = sum(size for name, size in sections.items() if name.startswith((".data", ".tdata")))
    parts = {
        "kernels": kernels,
        "model constants": constants,
        "code of gateway and runtime": sections.get(_TEXT, 0) - kernels,
        "frozen modules and tables": sections.get(_CONSTANTS, 0) - constants,
        "initialised data": data,
        "unwind tables": unwind,
    }
    parts["other"] = executable.stat().st_size - sum(parts.values())
    rows = [{"name": name, "bytes": size} for name, size in parts.items() if size > 0]
    return sorted(rows, key=lambda row: (-int(str(row["bytes"])), row["name"]))


def _image(payload: Json) -> dict[str, Any]:
    """The image's content by the package that it comes from, largest first."""
    totals: dict[str, list[int]] = {}
    for entry in _apart([entry for entry in payload["files"] if "bytes" in entry]):
        row = totals.setdefault(_package_name(entry), [0, 0])
        row[0], row[1] = row[0] + entry["bytes"], row[1] + 1
    rows = [{"name": name, "bytes": b, "files": n} for name, (b, n) in totals.items()]
    return {
        "bytes": payload.get("image_bytes", 0),
        "packages": sorted(rows, key=lambda row: (-int(str(row["bytes"])), str(row["name"]))),
    }


def _apart(entries: Sequence[Json]) -> list[Json]:
    """Each byte once: ``/boot/#kernel`` and its like are parts of another file.

    They are parts as they are of a unified kernel image, which then counts for the rest of it;
    of a compressed kernel they are not.
    """
    inner = [entry for entry in entries if "/#" in entry["path"]]
    outer = [entry for entry in entries if "/#" not in entry["path"]]
    inside = sum(entry["bytes"] for entry in inner)
    whole = max(
        (entry for entry in outer if entry["path"].startswith("/boot/")),
        key=lambda entry: int(entry["bytes"]),
        default=None,
    )
    if whole is None or whole["bytes"] < inside:
        return outer
    rest = {**whole, "bytes": whole["bytes"] - inside}
    return [*inner, rest, *(entry for entry in outer if entry is not whole)]


def _package_name(entry: Json) -> str:
    """``zlib1g`` of ``pkg:deb/debian/zlib1g@1?…``; our own large files stand for themselves."""
    origin = str(entry["package"])
    if origin.startswith("pkg:"):
        return urllib.parse.unquote(origin.rpartition("/")[2].partition("@")[0])
    name = str(entry["path"]).rpartition("/")[2].lstrip("#")
    return name if entry["bytes"] >= 1 << 20 else origin


def _predictions(facts: Facts, models: Sequence[Json], program_bytes: int) -> Iterable[Json]:
    """Predicted before the build against found in the result."""
    for model in models:
        predicted = _predicted(model["name"], facts.fit)
        for what in ("weights", "arena"):
            yield _prediction(
                f"{what} of {model['name']}", predicted[f"{what}_bytes"], model[f"{what}_bytes"]
            )
    weights = sum(model["weights_bytes"] for model in models)
    yield _prediction(
        "executable without weights", fits.GATEWAY_FILE_BYTES, program_bytes - weights
    )
    if facts.payload is not None and "image_bytes" in facts.payload:
        yield _prediction(
            "storage", facts.fit["storage_needed_bytes"], facts.payload["image_bytes"]
        )


def _prediction(what: str, predicted: int, built: int) -> dict[str, Any]:
    return {
        "what": what,
        "predicted_bytes": predicted,
        "built_bytes": built,
        "within": built <= predicted,
    }
