# SPDX-License-Identifier: Apache-2.0
"""Licence expressions that SPDX and CycloneDX validators accept, from what packages declare.

Nothing is guessed: an identifier that is not on the SPDX list becomes a ``LicenseRef-`` that keeps
the declared words. Source: SPDX specification 2.3, annex D.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

NO_ASSERTION = "NOASSERTION"

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
_IDENTIFIER = re.compile(r"[A-Za-z0-9.-]+")
_GNU = re.compile(r"((?:A|L)?GPL|GFDL)-(\d)(?:\.(\d))?(\+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """An expression, and the declared words behind each ``LicenseRef-`` in it."""

    expression: str
    references: tuple[tuple[str, str], ...] = ()


class _Malformed(ValueError):
    pass


def parse(declared: str) -> Licence:
    """Read a declared licence: an SPDX expression, or Debian's short names joined by and/or.

    What has no such form as a whole becomes one reference; nothing becomes NOASSERTION.
    """
    words = " ".join(declared.split())
    if words in ("", NO_ASSERTION):
        return Licence(expression=NO_ASSERTION)
    reader = _Reader(_TOKEN.findall(words))
    try:
        expression = reader.whole()
    except _Malformed:
        reference = _reference(words)
        return Licence(expression=reference, references=((reference, words),))
    return Licence(expression=expression, references=tuple(sorted(set(reader.references))))


class _Reader:
    """Recursive descent: or = and {OR and}, and = one {AND one}, one = (or) | id [WITH id]."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self.references: list[tuple[str, str]] = []

    def whole(self) -> str:
        expression = self._joined("OR")
        if self._at != len(self._tokens):
            raise _Malformed
        return expression

    def _joined(self, operator: str) -> str:
        part = self._one if operator == "AND" else lambda: self._joined("AND")
        parts = [part()]
        while self._accept(operator):
            parts.append(part())
        return f" {operator} ".join(parts)

    def _one(self) -> str:
        if self._accept("("):
            self._depth += 1
            if self._depth > 32:
                raise _Malformed
            inner = self._joined("OR")
            self._depth -= 1
            if not self._accept(")"):
                raise _Malformed
            return f"({inner})"
        licence = self._identifier()
        return f"{licence} WITH {self._exception()}" if self._accept("WITH") else licence

    def _identifier(self) -> str:
        declared = self._next()
        known = _known(declared)
        if known is None:
            known = declared if _is_reference(declared) else _reference(declared)
            self.references.append((known, declared))
        return known

    def _exception(self) -> str:
        known = _known(self._next())
        if known is None:  # SPDX has no references for exceptions: keep the words as a whole
            raise _Malformed
        return known

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise _Malformed
        word = self._tokens[self._at]
        if word.upper() in ("(", ")", "AND", "OR", "WITH"):
            raise _Malformed
        self._at += 1
        return word

    def _accept(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at].upper() == word:
            self._at += 1
            return True
        return False


def _known(declared: str) -> str | None:
    """The identifier on the SPDX list for a declared one, also for GNU's old short forms."""
    gnu = _GNU.fullmatch(declared)
    if gnu:
        family, major, minor, later = gnu.groups()
        suffix = "or-later" if later else "only"
        declared = f"{family.upper()}-{major}.{minor or 0}-{suffix}"
    return _identifiers().get(declared.lower())


@cache
def _identifiers() -> dict[str, str]:
    text = files(__package__).joinpath("spdx-ids.txt").read_text(encoding="ascii")
    names = [line for line in text.splitlines() if not line.startswith("#")]
    return {name.lower(): name for name in names}


def _is_reference(declared: str) -> bool:
    return declared.startswith("LicenseRef-") and _IDENTIFIER.fullmatch(declared) is not None


def _reference(words: str) -> str:
    return "LicenseRef-" + (re.sub(r"[^A-Za-z0-9.]+", "-", words).strip("-")[:80] or "unnamed")
