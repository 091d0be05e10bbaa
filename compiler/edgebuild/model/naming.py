# SPDX-License-Identifier: Apache-2.0
"""A model's name: the C identifier that its file's name makes."""

from __future__ import annotations

import re
from pathlib import Path

LIMIT = 32


def identifier(path: Path) -> str:
    """Made from a file's name: [a-z0-9_], at most 32 characters, no digit first."""
    name = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")[:LIMIT].rstrip("_")
    return f"m_{name}"[:LIMIT] if not name or name[0].isdigit() else name
