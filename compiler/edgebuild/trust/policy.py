# SPDX-License-Identifier: Apache-2.0
"""What a user requires of a release beyond a signature: a small TOML file.

An unknown key is an error: a mistyped requirement would otherwise require nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebuild.config import decode as toml
from edgebuild.errors import EdgebuildError
from edgebuild.errors.trust import POLICY_INVALID

_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"\d+(\.\d+)*")
_WORDS = {_DIGEST: "64 lower-case hexadecimal digits", _VERSION: "a version such as 0.1"}


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Requirements; one that is left out requires nothing."""

    builder: str | None = field(
        default=None, metadata=_doc("The builder's identity, as the provenance names it.")
    )
    target: str | None = field(default=None, metadata=_doc("The target that was built for."))
    models: tuple[str, ...] | None = field(
        default=None,
        metadata=_doc("SHA-256 of every model inside, in hexadecimal: these, all, and no other."),
    )
    keys: tuple[str, ...] | None = field(
        default=None,
        metadata=_doc("Key ids (SHA-256 of the public key) that may sign; see `--key`."),
    )
    lock: str | None = field(
        default=None, metadata=_doc("SHA-256 of the lock file that was built from.")
    )
    minimum_version: str | None = field(
        default=None, metadata=_doc("The oldest edgebuild that may have built it, e.g. 0.1.")
    )


def load(path: Path) -> Policy:
    """Read a policy file. Raises E504."""
    try:
        return decode(toml.read_toml(path), where=str(path))
    except EdgebuildError as error:
        raise POLICY_INVALID(error.message, where=error.where, hint=error.hint) from error


def decode(table: Mapping[str, Any], *, where: str) -> Policy:
    """Turn a parsed table into a policy. Raises E004, E006 or E504."""
    policy = toml.decode(Policy, table, where=where)
    if "" in (policy.builder, policy.target):
        raise POLICY_INVALID("an empty text requires nothing: leave the key out", where=where)
    if policy.lock is not None:
        _check(_DIGEST, "lock", (policy.lock,), where)
    if policy.minimum_version is not None:
        _check(_VERSION, "minimum_version", (policy.minimum_version,), where)
    for key, digests in (("models", policy.models), ("keys", policy.keys)):
        if digests is not None:
            _check(_DIGEST, key, digests or ("",), where)
    return policy


def version_tuple(text: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparing: ``0.2.1`` is (0, 2, 1)."""
    match = _VERSION.match(text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def _check(wanted: re.Pattern[str], key: str, values: tuple[str, ...], where: str) -> None:
    for value in values:
        if not wanted.fullmatch(value):
            raise POLICY_INVALID(f"'{key}' must be {_WORDS[wanted]}, not '{value}'", where=where)
