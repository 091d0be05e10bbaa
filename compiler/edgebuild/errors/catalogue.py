# SPDX-License-Identifier: Apache-2.0
"""The whole catalogue in order, and the page that documents it (docs/reference/errors.md)."""

from __future__ import annotations

from types import ModuleType

from edgebuild.errors import general, images, inputs, kernels, planning, runtimes, trust
from edgebuild.errors.base import CATALOGUE, Code

RANGES: tuple[ModuleType, ...] = (general, inputs, kernels, runtimes, images, trust, planning)

_HEAD = """# Errors

Generated from `compiler/edgebuild/errors`; do not edit.

An error has a code, a place and a way out. `--json` gives the same facts as
`{"error": {"code", "message", "where", "hint"}}`.
"""


def codes() -> list[Code]:
    """Every code, in order."""
    return [CATALOGUE[name] for name in sorted(CATALOGUE)]


def constants() -> dict[str, str]:
    """The code that each constant of the range modules stands for, by the constant's name."""
    return {
        name: value.code
        for module in RANGES
        for name, value in vars(module).items()
        if isinstance(value, Code)
    }


def page() -> str:
    """The reference page: one table for each range."""
    parts = [_HEAD]
    for module in RANGES:
        own = {value.code for value in vars(module).values() if isinstance(value, Code)}
        parts.append(f"\n## {(module.__doc__ or '').strip().rstrip('.')}\n\n")
        parts.append("| code | what | meaning | exit status |\n|---|---|---|---|\n")
        parts += [_row(code) for code in codes() if code.code in own]
    return "".join(parts)


def _row(code: Code) -> str:
    meaning = code.meaning.replace("|", "\\|")
    return f"| {code.code} | {code.title} | {meaning} | {code.exit_status} |\n"
