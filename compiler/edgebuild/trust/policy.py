# SPDX-License-Identifier: Apache-2.0
"""What a user requires of a release beyond a signature: a small TOML file.

An unknown key is an error: a mistyped requirement would otherwise require nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebuild.errors import EdgebuildError
from edgebuild.errors.trust import POLICY_INVALID

LIMIT_BYTES = 64 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"\d+(\.\d+)*")


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
        with path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise POLICY_INVALID(f"it cannot be read: {error.strerror}", where=str(path)) from error
    if len(data) > LIMIT_BYTES:
        raise POLICY_INVALID(f"it is larger than {LIMIT_BYTES} bytes", where=str(path))
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise POLICY_INVALID(f"it is not TOML: {error}", where=str(path)) from error
    return decode(table, where=str(path))


def decode(table: Mapping[str, Any], *, where: str) -> Policy:
    """Turn a parsed table into a policy. Raises E504."""
    known = {entry.name for entry in dataclasses.fields(Policy)}
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {sorted(known)}"
            raise POLICY_INVALID(f"unknown key '{name}'", where=where, hint=hint)
    return Policy(
        builder=_text(table, "builder", where),
        target=_text(table, "target", where),
        models=_digests(table, "models", where),
        keys=_digests(table, "keys", where),
        lock=_digest(table, "lock", where),
        minimum_version=_version(table, "minimum_version", where),
    )


def version_tuple(text: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparing: ``0.2.1`` is (0, 2, 1)."""
    match = _VERSION.match(text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def _text(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise _wrong(key, "a string", where)
    return value


def _version(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = _text(table, key, where)
    if value is not None and not _VERSION.fullmatch(value):
        raise _wrong(key, "a version such as 0.1", where)
    return value


def _digest(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = _text(table, key, where)
    if value is not None and not _DIGEST.fullmatch(value):
        raise _wrong(key, "64 lower-case hexadecimal digits", where)
    return value


def _digests(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...] | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not value:
        raise _wrong(key, "a list of SHA-256 digests", where)
    for item in value:
        if not isinstance(item, str) or not _DIGEST.fullmatch(item):
            raise _wrong(key, "a list of digests of 64 lower-case hexadecimal digits", where)
    return tuple(value)


def _wrong(key: str, expected: str, where: str) -> EdgebuildError:
    return POLICY_INVALID(f"'{key}' must be {expected}", where=where)
