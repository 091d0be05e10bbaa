# SPDX-License-Identifier: Apache-2.0
"""Does it fit, and how fast will it be?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFit:
    """One model on one device. ``operators``: name, kind, macs, bytes_moved, time_s, bound."""

    name: str
    weights_bytes: int
    arena_bytes: int
    time_s: float
    operators: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The sum: memory needed against memory free, storage needed against storage there."""

    target: str
    models: tuple[ModelFit, ...]
    gateway_bytes: int
    memory_needed_bytes: int
    memory_free_bytes: int
    storage_needed_bytes: int
    storage_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The fit as JSON values."""
        return {
            "target": self.target,
            "models": [
                {
                    "name": m.name,
                    "weights_bytes": m.weights_bytes,
                    "arena_bytes": m.arena_bytes,
                    "time_s": m.time_s,
                    "operators": list(m.operators),
                }
                for m in self.models
            ],
            "gateway_bytes": self.gateway_bytes,
            "memory_needed_bytes": self.memory_needed_bytes,
            "memory_free_bytes": self.memory_free_bytes,
            "storage_needed_bytes": self.storage_needed_bytes,
            "storage_bytes": self.storage_bytes,
        }
