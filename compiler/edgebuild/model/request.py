# SPDX-License-Identifier: Apache-2.0
"""What a user asked for, read and digested, before anything is decided."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgebuild.model.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model to build in. ``name`` is a C identifier made from the file's name."""

    name: str
    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One build: target, models and configuration; where the release goes is not part of it."""

    profile: Profile
    models: tuple[ModelFile, ...]
    config: bytes  # canonical JSON of mcp-edge.toml
    signer: str  # key id of the signing key, or "keyless"
    builder: str = ""  # who builds, for the provenance; "" for an unnamed local builder
    debug_shell: bool = False
