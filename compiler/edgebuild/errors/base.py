# SPDX-License-Identifier: Apache-2.0
"""The exception and the catalogue that its codes are entered in."""

from __future__ import annotations

from dataclasses import dataclass

CATALOGUE: dict[str, Code] = {}


class EdgebuildError(Exception):
    """One failure, told to a person: code, message, place and way out."""

    def __init__(
        self, kind: Code, message: str, *, where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"error {self.kind.code}: {self.message}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.hint:
            lines.append(f"  hint:  {self.hint}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, str | None]:
        """The same four facts for ``--json``."""
        return {
            "code": self.kind.code,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One entry of the catalogue; calling it makes the exception."""

    code: str
    title: str
    meaning: str
    exit_status: int

    def __call__(
        self, message: str, *, where: str | None = None, hint: str | None = None
    ) -> EdgebuildError:
        return EdgebuildError(self, message, where=where, hint=hint)


def code(name: str, title: str, meaning: str, *, exit_status: int = 1) -> Code:
    """Enter a code in the catalogue. Raises ValueError if the code is taken."""
    if name in CATALOGUE:
        raise ValueError(f"error code {name} is used twice")
    entry = Code(code=name, title=title, meaning=meaning, exit_status=exit_status)
    CATALOGUE[name] = entry
    return entry
