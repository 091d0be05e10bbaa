# SPDX-License-Identifier: Apache-2.0
"""Digests of the tool's own code: a changed tool rebuilds what it changed, and only that."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

# What each kind of step runs, relative to the package ("") or to the data folder ("@").
PARTS: Mapping[str, tuple[str, ...]] = {
    "inspect": ("model", "kernels", "planning"),
    "fit": ("model", "planning"),
    "configuration": ("@runtime/edgegate",),
    "fetch": ("host",),
    "bundle": ("model", "kernels", "planning", "@runtime/native"),
    "check": ("model", "kernels", "@runtime/native"),
    "runtime": ("runtimes", "host", "@runtime", "@templates"),
    "link": ("runtimes", "@runtime/native", "@templates"),
    "relink": ("runtimes", "@runtime/native", "@templates"),
    "oci": ("images",),
    "base": ("images", "@runtime/init"),
    "firmware": ("images",),
    "sbom": ("trust", "planning"),
    "report": ("trust", "planning", "@templates"),
    "seal": ("trust", "planning", "pipeline"),
}


def digests(package: Path, data: Path) -> dict[str, str]:
    """A digest for each kind of step. Hashes each folder once."""
    folders = sorted({part for parts in PARTS.values() for part in parts})
    trees = {
        part: _tree(data / part[1:] if part.startswith("@") else package / part) for part in folders
    }
    steps = hashlib.sha256((package / "pipeline" / "chapters.py").read_bytes()).hexdigest()
    return {kind: _join([steps, *(trees[part] for part in parts)]) for kind, parts in PARTS.items()}


def _tree(folder: Path) -> str:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    lines = [
        f"{path.relative_to(folder).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in files
    ]
    return _join(lines)


def _join(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
