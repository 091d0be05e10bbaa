# SPDX-License-Identifier: Apache-2.0
"""Comparing Debian versions (Debian Policy 5.6.12)."""

from __future__ import annotations

import itertools
import re

_PIECES = re.compile(r"([^0-9]*)([0-9]*)")


def compare(left: str, right: str) -> int:
    """Below, equal to or above 0 as ``left`` is older than, equal to or newer than ``right``."""
    for a, b in zip(_split(left), _split(right), strict=True):
        if result := _compare_part(a, b):
            return result
    return 0


def satisfies(version: str, relation: str, bound: str) -> bool:
    """Whether ``version`` stands in a relation (<<, <=, =, >=, >>) to ``bound``."""
    order = compare(version, bound)
    return {
        "<<": order < 0, "<=": order <= 0, "=": order == 0, ">=": order >= 0, ">>": order > 0
    }[relation]  # fmt: skip


def _split(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, revision, "0")


def _compare_part(left: str, right: str) -> int:
    pairs = itertools.zip_longest(_PIECES.findall(left), _PIECES.findall(right), fillvalue=("", ""))
    for (text_a, number_a), (text_b, number_b) in pairs:
        if result := _compare_text(text_a, text_b):
            return result
        if result := int(number_a or 0) - int(number_b or 0):
            return result
    return 0


def _compare_text(left: str, right: str) -> int:
    for a, b in itertools.zip_longest(left, right, fillvalue=""):
        if result := _rank(a) - _rank(b):
            return result
    return 0


def _rank(character: str) -> int:
    """'~' sorts before the end of the text, letters before everything else."""
    if character == "~":
        return -1
    if character == "":
        return 0
    return ord(character) if character.isalpha() else ord(character) + 256
