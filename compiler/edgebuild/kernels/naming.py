# SPDX-License-Identifier: Apache-2.0
"""The C identifier that a model's functions carry."""

from __future__ import annotations

import re

from edgebuild.errors.kernels import MODEL_NAME
from edgebuild.model.naming import LIMIT, identifier

__all__ = ["checked", "identifier"]


def checked(name: str) -> str:
    """``name``, if it is such an identifier. Raises MODEL_NAME."""
    if not re.fullmatch(rf"[a-z][a-z0-9_]{{0,{LIMIT - 1}}}", name):
        raise MODEL_NAME(
            f"{name!r} makes no C identifier",
            hint=f"use lower-case letters, digits and _, a letter first, at most {LIMIT}",
        )
    return name
