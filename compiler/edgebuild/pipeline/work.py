# SPDX-License-Identifier: Apache-2.0
"""The work folder of one target: a copy of every input, the plan, and what the steps made."""

from __future__ import annotations

import json
from pathlib import Path

from edgebuild.errors.general import INVALID_PLAN
from edgebuild.host.files import atomic_write, digest
from edgebuild.model.plan import Plan, plan_from_json
from edgebuild.model.request import BuildRequest
from edgebuild.planning.plan import profile_bytes


def folder(out: Path, target: str) -> Path:
    """Where the work for ``target`` is kept, beside the releases in ``out``."""
    return out.absolute() / ".work" / target


def prepare(work: Path, plan: Plan, request: BuildRequest) -> None:
    """Copy the inputs and the plan; files that already hold the right bytes are left alone."""
    models = iter(request.models)
    for path, wanted in plan.inputs.items():
        if path == "inputs/mcp-edge.json":
            _put(work / path, request.config)
        elif path == "inputs/profile.json":
            _put(work / path, profile_bytes(request.profile))
        else:
            model = next(models)
            target = work / path
            if not target.exists() or f"sha256:{digest(target)}" != wanted:
                atomic_write(target, model.path.read_bytes())
    _put(work / "plan.json", json.dumps(plan.to_json(), indent=1, sort_keys=True).encode() + b"\n")


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises E012."""
    try:
        return plan_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise INVALID_PLAN(f"cannot read the plan: {error}", where=str(path)) from error


def _put(path: Path, data: bytes) -> None:
    if not path.exists() or path.read_bytes() != data:
        atomic_write(path, data)
