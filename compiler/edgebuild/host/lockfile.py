# SPDX-License-Identifier: Apache-2.0
"""Reading a lock file: JSON to the flow's ``Lock``, believing nothing that is not checked."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgebuild.errors import EdgebuildError
from edgebuild.errors.inputs import BAD_LOCK, NOT_LOCKED
from edgebuild.model.lock import Lock, LockedFile, LockedPackage

FORMAT = "edgebuild-lock-1"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ARCHIVE_PATH = re.compile(r"pool/[A-Za-z0-9+._~/-]+")


def read(path: Path) -> Lock:
    """The lock in a file. Raises E109 with the place of what is wrong."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BAD_LOCK(
            f"cannot read the lock: {error.strerror}", where=str(path), hint="run `edgebuild lock`"
        ) from error
    return parse(data, str(path))


def parse(data: bytes, where: str) -> Lock:
    """The lock in a lock file's bytes. ``where`` is for the error."""
    try:
        return _lock(json.loads(data), hashlib.sha256(data).hexdigest())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise _wrong(what, where) from error


def group(lock: Lock, name: str) -> tuple[LockedPackage, ...]:
    """The packages of a group. Raises E110."""
    if name not in lock.groups:
        raise NOT_LOCKED(
            f"the lock has no group '{name}'",
            hint=f"it has {', '.join(sorted(lock.groups))}; see locks/inputs.toml",
        )
    return lock.groups[name]


def _wrong(what: str, where: str) -> EdgebuildError:
    return BAD_LOCK(f"this is no lock file: {what}", where=where, hint="run `edgebuild lock`")


def _lock(data: dict[str, Any], digest: str) -> Lock:
    if data["format"] != FORMAT:
        raise ValueError(f"format is {data['format']!r}, not {FORMAT!r}")
    packages = {key: _package(value) for key, value in data["packages"].items()}
    return Lock(
        suite=_text(data["suite"]),
        archive_date=_text(data["archive_date"]),
        release_sha256=_digest(data["release_sha256"]),
        signed_by=tuple(_text(one) for one in data["signed_by"]),
        groups={name: _group(value, packages) for name, value in data["groups"].items()},
        digest=digest,
    )


def _group(data: dict[str, Any], packages: dict[str, LockedPackage]) -> tuple[LockedPackage, ...]:
    keep = {key: tuple(_text(one) for one in patterns) for key, patterns in data["keep"].items()}
    return tuple(replace(packages[key], keep=keep.get(key, ())) for key in data["packages"])


def _package(data: dict[str, Any]) -> LockedPackage:
    return LockedPackage(
        name=_text(data["name"]),
        version=_text(data["version"]),
        architecture=_text(data["architecture"]),
        source=_text(data["source"]),
        source_version=_text(data["source_version"]),
        files=tuple(_file(one) for one in data["files"]),
    )


def _file(data: dict[str, Any]) -> LockedFile:
    path, size = _text(data["path"]), data["size_bytes"]
    if not _ARCHIVE_PATH.fullmatch(path) or ".." in path.split("/"):
        raise ValueError(f"{path!r} is no path in an archive")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"{size!r} is no size")
    return LockedFile(
        path=path, sha256=_digest(data["sha256"]), size_bytes=size, purl=_text(data["purl"])
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _digest(value: object) -> str:
    text = _text(value)
    if not _SHA256.fullmatch(text):
        raise ValueError(f"{text!r} is no SHA-256")
    return text
