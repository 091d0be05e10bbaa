# SPDX-License-Identifier: Apache-2.0
"""The C identifier that a model's functions carry."""

from __future__ import annotations

import re
from pathlib import Path

from edgebuild.errors.kernels import MODEL_NAME

LIMIT = 32


def identifier(path: Path) -> str:
    """Made from a file's name: [a-z0-9_], at most 32 characters, no digit first."""
    name = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")[:LIMIT].rstrip("_")
    return f"m_{name}"[:LIMIT] if not name or name[0].isdigit() else name


def checked(name: str) -> str:
    """``name``, if it is such an identifier. Raises MODEL_NAME."""
    if not re.fullmatch(rf"[a-z][a-z0-9_]{{0,{LIMIT - 1}}}", name):
        raise MODEL_NAME(
            f"{name!r} makes no C identifier",
            hint=f"use lower-case letters, digits and _, a letter first, at most {LIMIT}",
        )
    return name
