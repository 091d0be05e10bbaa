# SPDX-License-Identifier: Apache-2.0
"""SLSA v1 provenance, computed from the plan and the lock and never from what lay about.

It holds no time and no machine: two builds of one plan give equal statements.
docs/reference/release.md describes the build type. Source: slsa.dev/spec/v1.0/provenance and
in-toto/attestation, spec/v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgebuild.model.lock import Lock
from edgebuild.trust import canonical
from edgebuild.trust.bundle import NotProven

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:edgebuild:build-type:release:v1"
LOCAL_BUILDER = "urn:edgebuild:builder:local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file that went in: a model, the profile, the configuration, a Python wheel."""

    name: str
    sha256: str
    uri: str = ""  # a package URL, where it has one


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInputs:
    """Everything that a release is a function of."""

    target: str
    version: str  # of edgebuild
    tool_sha256: str  # digest over edgebuild's own sources: compiler, gateway, templates
    profile: Input
    config: Input
    models: tuple[Input, ...]
    wheels: tuple[Input, ...]  # the host tool's locked Python packages
    lock: Lock
    groups: tuple[str, ...]  # the lock's groups that were used
    builder: str = LOCAL_BUILDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a verifier takes from a statement. ``models`` are sorted digests."""

    subjects: Mapping[str, str]
    builder: str
    version: str
    target: str
    models: tuple[str, ...]
    lock: str

    @classmethod
    def unknown(cls) -> Facts:
        """Facts that satisfy no requirement."""
        return cls(subjects={}, builder="", version="", target="", models=(), lock="")


def statement(inputs: BuildInputs, subjects: Mapping[str, str]) -> dict[str, object]:
    """The in-toto statement: ``subjects`` are SHA-256 digests of artifacts by name."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": subjects[name]}} for name in sorted(subjects)
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external(inputs),
                "internalParameters": {
                    "groups": sorted(inputs.groups),
                    "lock": {"sha256": inputs.lock.digest},
                    "suite": inputs.lock.suite,
                    "archiveRelease": {
                        "date": inputs.lock.archive_date,
                        "sha256": inputs.lock.release_sha256,
                        "signedBy": sorted(inputs.lock.signed_by),
                    },
                },
                "resolvedDependencies": _dependencies(inputs),
            },
            "runDetails": {
                "builder": {
                    "id": inputs.builder,
                    "version": {"edgebuild": inputs.version},
                    "builderDependencies": [_tool(inputs), *_wheels(inputs)],
                },
            },
        },
    }


def _external(inputs: BuildInputs) -> dict[str, object]:
    return {
        "target": inputs.target,
        "profile": {"name": inputs.profile.name, "sha256": inputs.profile.sha256},
        "config": {"name": inputs.config.name, "sha256": inputs.config.sha256},
        "models": [{"name": model.name, "sha256": model.sha256} for model in inputs.models],
    }


def _dependencies(inputs: BuildInputs) -> list[dict[str, object]]:
    """Every file that may reach the release: locked packages and sources, models, settings."""
    own = [_descriptor(item) for item in (*inputs.models, inputs.profile, inputs.config)]
    locked: dict[tuple[str, str], dict[str, object]] = {
        (file.purl, file.path): {
            "uri": file.purl,
            "name": file.path,
            "digest": {"sha256": file.sha256},
        }
        for group in inputs.groups
        for package in inputs.lock.groups[group]
        for file in package.files
    }
    return own + [locked[key] for key in sorted(locked)]


def _wheels(inputs: BuildInputs) -> Iterator[dict[str, object]]:
    for wheel in sorted(inputs.wheels, key=lambda item: (item.name, item.sha256)):
        yield _descriptor(wheel)


def _tool(inputs: BuildInputs) -> dict[str, object]:
    uri = f"pkg:pypi/edgebuild@{inputs.version}"
    return _descriptor(Input(name="edgebuild", sha256=inputs.tool_sha256, uri=uri))


def _descriptor(item: Input) -> dict[str, object]:
    named: dict[str, object] = {"name": item.name, "digest": {"sha256": item.sha256}}
    return {**named, "uri": item.uri} if item.uri else named


def read(payload: bytes) -> Facts:
    """Take the facts from a statement whose signature was checked. Raises NotProven."""
    try:
        value: Any = canonical.parse(payload)
        return _facts(value)
    except (canonical.NotCanonical, LookupError, TypeError) as error:
        raise NotProven("it is no SLSA v1 provenance of an edgebuild release") from error


def _facts(value: Any) -> Facts:
    build = value["predicate"]["buildDefinition"]
    builder = value["predicate"]["runDetails"]["builder"]
    external = build["externalParameters"]
    kinds = (value["_type"], value["predicateType"], build["buildType"])
    if kinds != (STATEMENT_TYPE, PREDICATE_TYPE, BUILD_TYPE):
        raise NotProven(f"it is of another kind: {ascii(kinds)[:200]}")
    subjects = {_text(item["name"]): _sha256(item["digest"]) for item in value["subject"]}
    if len(subjects) != len(value["subject"]):
        raise NotProven("it names a subject twice")
    return Facts(
        subjects=subjects,
        builder=_text(builder["id"]),
        version=_text(builder["version"]["edgebuild"]),
        target=_text(external["target"]),
        models=tuple(sorted(_sha256(model) for model in external["models"])),
        lock=_sha256(build["internalParameters"]["lock"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def _sha256(value: Any) -> str:
    digest = value["sha256"]
    if not canonical.sha256_hex_is_valid(digest):
        raise TypeError("not a SHA-256 digest")
    return _text(digest)
