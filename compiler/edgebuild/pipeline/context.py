# SPDX-License-Identifier: Apache-2.0
"""What one step may use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebuild.config.decode import decode
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
from edgebuild.model.plan import Plan, Step
from edgebuild.model.profile import Cpu, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a step may use: its plan, the work folder, and an empty folder for its outputs."""

    work: Path
    out: Path
    plan: Plan
    step: Step
    store: Store
    lock: Lock

    def json(self, path: str) -> Any:
        """A JSON file of the work folder."""
        return json.loads((self.work / path).read_text(encoding="utf-8"))

    def profile(self) -> Profile:
        """The profile of this build."""
        return decode(Profile, self.json("inputs/profile.json"), where="inputs/profile.json")

    def cpu(self) -> Cpu:
        """The CPU that this step compiles for."""
        return decode(Cpu, self.step.parameters["cpu"], where="plan.json")

    def write(self, path: str, value: Any) -> None:
        """Write JSON into the output folder, with sorted keys."""
        target = self.out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
