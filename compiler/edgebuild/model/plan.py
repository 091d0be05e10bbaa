# SPDX-License-Identifier: Apache-2.0
"""The plan: steps with named inputs and outputs. The provenance is computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One unit of build work.

    ``sources`` and ``outputs`` are paths relative to the work folder. ``after`` names outputs that
    must exist first but whose content does not matter (the fit is checked before work begins).
    ``parameters`` is everything else that decides the result; it is JSON.
    """

    name: str
    kind: str
    title: str
    sources: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    shared: bool = True  # its outputs may come from the shared step cache

    def to_json(self) -> dict[str, Any]:
        """The step as JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "title": self.title,
            "sources": list(self.sources),
            "outputs": list(self.outputs),
            "parameters": dict(self.parameters),
            "after": list(self.after),
            "shared": self.shared,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps of one build. ``inputs`` maps a path in the work folder to its digest."""

    target: str
    version: str
    inputs: Mapping[str, str]
    lock: str
    steps: tuple[Step, ...]

    def step(self, name: str) -> Step:
        """The step called ``name``. Raises KeyError."""
        return {step.name: step for step in self.steps}[name]

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values; equal requests give equal values."""
        return {
            "target": self.target,
            "version": self.version,
            "inputs": dict(self.inputs),
            "lock": self.lock,
            "steps": [step.to_json() for step in self.steps],
        }


def plan_from_json(value: Mapping[str, Any]) -> Plan:
    """Read what ``Plan.to_json`` wrote. Raises KeyError or TypeError for anything else."""
    steps = [
        Step(
            **{
                **step,
                "sources": tuple(step["sources"]),
                "outputs": tuple(step["outputs"]),
                "after": tuple(step["after"]),
            }
        )
        for step in value["steps"]
    ]
    return Plan(
        target=value["target"],
        version=value["version"],
        inputs=value["inputs"],
        lock=value["lock"],
        steps=tuple(steps),
    )
