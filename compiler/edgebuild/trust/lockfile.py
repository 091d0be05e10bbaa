# SPDX-License-Identifier: Apache-2.0
"""Making the lock: what locks/inputs.toml names, resolved against the archive's signed index."""

from __future__ import annotations

import json
import tomllib
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgebuild.errors import EdgebuildError
from edgebuild.errors.inputs import BAD_INPUTS, UNRESOLVED
from edgebuild.host import lockfile
from edgebuild.model.lock import LockedFile
from edgebuild.trust import archive, closure

_IN_RELEASE_LIMIT_BYTES = 16 << 20
_WHERE = "locks/inputs.toml"
_ARCHITECTURES = ("all", "amd64", "arm64", "armhf", "riscv64")
_KEYS = frozenset(("architectures", "packages", "closure", "exclude", "keep", "sources"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One table of locks/inputs.toml."""

    architectures: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    closure: bool = False
    exclude: tuple[str, ...] = ()
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All of locks/inputs.toml."""

    suite: str
    components: tuple[str, ...]
    groups: Mapping[str, Group]


def inputs(text: str) -> Inputs:
    """Decode locks/inputs.toml. Raises E118 naming the table and the key."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(str(error)) from error
    for key in data.keys() - {"suite", "components", "groups"}:
        raise _wrong(f"unknown key '{key}'")
    suite, tables = data.get("suite"), data.get("groups")
    if not isinstance(suite, str) or not isinstance(tables, dict):
        raise _wrong("it needs a suite and a table of groups")
    return Inputs(
        suite=suite,
        components=_texts(data, "components", "the file"),
        groups={name: _group(name, table) for name, table in sorted(tables.items())},
    )


def _group(name: str, table: object) -> Group:
    where = f"[groups.{name}]"
    if not isinstance(table, dict):
        raise _wrong(f"{where} is no table")
    for key in sorted(table.keys() - _KEYS):
        raise _wrong(f"{where} has an unknown key '{key}'; known are {', '.join(sorted(_KEYS))}")
    architectures = _texts(table, "architectures", where)
    for one in architectures:
        if one not in _ARCHITECTURES:
            raise _wrong(f"{where}: architecture '{one}' is none of {', '.join(_ARCHITECTURES)}")
    if ("sources" in table) == bool(architectures):
        raise _wrong(f"{where} needs either architectures or sources")
    keep, closed = table.get("keep", {}), table.get("closure", False)
    if not isinstance(keep, dict) or not isinstance(closed, bool):
        raise _wrong(f"{where}: keep is a table, closure is true or false")
    return Group(
        architectures=architectures,
        packages=_texts(table, "packages", where),
        closure=closed,
        exclude=_texts(table, "exclude", where),
        keep={package: _texts(keep, package, where) for package in sorted(keep)},
        sources=_texts(table, "sources", where),
    )


def _texts(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _wrong(f"{where}: {key} is a list of texts")
    return tuple(value)


def make(
    wanted: Inputs,
    keys: bytes,
    read_release: Callable[[str, int], bytes],
    read_file: Callable[[LockedFile], bytes],
) -> bytes:
    """The bytes of a lock file for these inputs.

    ``read_release(path, limit_bytes)`` fetches a file that nothing vouches for yet,
    ``read_file`` one whose digest is known. Raises E115 to E117.
    """
    signed = read_release(f"dists/{wanted.suite}/InRelease", _IN_RELEASE_LIMIT_BYTES)
    release = archive.check_release(signed, keys, wanted.suite)
    packages: dict[str, dict[str, Any]] = {}
    groups: dict[str, dict[str, Any]] = {}

    def index(folder: str) -> archive.Index:
        names = [f"{component}/{folder}" for component in wanted.components]
        return archive.index(release, names, read_file)

    for architecture in _ARCHITECTURES:
        here = {name: one for name, one in wanted.groups.items()
                if architecture in one.architectures}  # fmt: skip
        if here:
            # An index holds the packages for all CPUs too, so any serves for those.
            known = index(f"binary-{'amd64' if architecture == 'all' else architecture}/Packages")
            for name, group in here.items():
                label = name if architecture == "all" else f"{name}-{architecture}"
                groups[label] = _resolve(known, group, architecture, wanted.suite, packages)
    if any(group.sources for group in wanted.groups.values()):
        known = index("source/Sources")
        for name, group in wanted.groups.items():
            if group.sources:
                groups[name] = _resolve_sources(known, group, wanted.suite, packages)
    return _bytes(release, groups, packages)


def _resolve(
    index: archive.Index,
    group: Group,
    architecture: str,
    suite: str,
    packages: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    names = [name.replace("@", architecture) for name in group.packages]
    if group.closure:
        names = closure.resolve(index, names, group.exclude)
    entries = {}
    for name in sorted(set(names)):
        if name not in index.packages:
            raise UNRESOLVED(f"the archive has no package '{name}'", where=_WHERE)
        entry = _binary(index.packages[name], suite)
        entries[name] = _key(entry)
        packages[entries[name]] = entry
    for name in group.keep:
        if name not in entries:
            raise _wrong(f"keep names '{name}', which is not in its group")
    return {
        "packages": list(entries.values()),
        "keep": {entries[name]: list(patterns) for name, patterns in group.keep.items()},
    }


def _resolve_sources(
    index: archive.Index, group: Group, suite: str, packages: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    entries = []
    for name in sorted(set(group.sources)):
        if name not in index.packages:
            raise UNRESOLVED(f"the archive has no source package '{name}'", where=_WHERE)
        entry = _source(index.packages[name], suite)
        entries.append(_key(entry))
        packages[entries[-1]] = entry
    return {"packages": entries, "keep": {}}


def _binary(fields: Mapping[str, str], suite: str) -> dict[str, Any]:
    name, version, architecture = (fields[key] for key in ("package", "version", "architecture"))
    source, _, built_from = fields.get("source", name).partition(" ")
    return {
        "name": name,
        "version": version,
        "architecture": architecture,
        "source": source,
        "source_version": built_from.strip("() ") or version,
        "files": [
            {
                "path": fields["filename"],
                "sha256": fields["sha256"],
                "size_bytes": int(fields["size"]),
                "purl": _purl(name, version, architecture, suite),
            }
        ],
    }


def _source(fields: Mapping[str, str], suite: str) -> dict[str, Any]:
    name, version = fields["package"], fields["version"]
    listed = [line.split() for line in fields["checksums-sha256"].split("\n") if line.strip()]
    return {
        "name": name,
        "version": version,
        "architecture": "source",
        "source": name,
        "source_version": version,
        "files": [
            {
                "path": f"{fields['directory']}/{file}",
                "sha256": sha256,
                "size_bytes": int(size),
                "purl": _purl(name, version, "source", suite),
            }
            for sha256, size, file in sorted(listed, key=lambda entry: entry[2])
            if not file.endswith(".asc")  # upstream's signature: Debian has checked it
        ],
    }


def _purl(name: str, version: str, architecture: str, suite: str) -> str:
    """Package URL, type deb: https://github.com/package-url/purl-spec"""
    quoted = urllib.parse.quote(name, safe=""), urllib.parse.quote(version, safe=":")
    return f"pkg:deb/debian/{quoted[0]}@{quoted[1]}?arch={architecture}&distro={suite}"


def _key(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']}_{entry['version']}_{entry['architecture']}"


def _bytes(
    release: archive.Release, groups: dict[str, dict[str, Any]], packages: dict[str, dict[str, Any]]
) -> bytes:
    data = {
        "format": lockfile.FORMAT,
        "suite": release.suite,
        "archive_date": release.date,
        "release_sha256": release.sha256,
        "signed_by": list(release.signed_by),
        "groups": groups,
        "packages": packages,
    }
    text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
    lockfile.parse(text.encode(), "the new lock")  # an archive cannot make us write a bad one
    return text.encode()


def _wrong(what: str) -> EdgebuildError:
    return BAD_INPUTS(what, where=_WHERE)
