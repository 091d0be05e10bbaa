# SPDX-License-Identifier: Apache-2.0
"""SLSA v1 provenance, computed from the plan and the lock and never from what lay about.

It holds no time and no machine: two builds of one plan give equal statements.
docs/reference/release.md describes the build type. Source: slsa.dev/spec/v1.0/provenance and
in-toto/attestation, spec/v1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgebuild.model.lock import Lock
from edgebuild.model.plan import Plan
from edgebuild.trust import canonical
from edgebuild.trust.bundle import NotProven

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:edgebuild:build-type:release:v1"
LOCAL_BUILDER = "urn:edgebuild:builder:local"

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)(.*)$", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")

SETTINGS = ("profile.json", "mcp-edge.json")  # inputs of every plan; all others are models


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A locked Python package of the host tool: every digest that the lock accepts for it."""

    name: str
    version: str
    sha256: tuple[str, ...]


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


def statement(
    plan: Plan,
    lock: Lock,
    subjects: Mapping[str, str],
    *,
    wheels: Iterable[Wheel] = (),
    builder: str = LOCAL_BUILDER,
) -> dict[str, object]:
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
                "externalParameters": _external(plan),
                "internalParameters": _internal(plan, lock),
                "resolvedDependencies": [*_inputs(plan), *_locked(plan, lock)],
            },
            "runDetails": {
                "builder": {
                    "id": builder,
                    "version": {"edgebuild": plan.version},
                    "builderDependencies": list(_wheels(wheels)),
                },
            },
        },
    }


def _external(plan: Plan) -> dict[str, object]:
    """What the user chose: target, models, and digests of profile and configuration."""
    digests = {path.removeprefix("inputs/"): value for path, value in plan.inputs.items()}
    settings = {name: {"sha256": _bare(digests.pop(name))} for name in SETTINGS}
    models = [{"name": name, "sha256": _bare(digests[name])} for name in sorted(digests)]
    return {"target": plan.target, "models": models, **settings}


def _internal(plan: Plan, lock: Lock) -> dict[str, object]:
    """What the tool decided: each step with its parameters and the digest of its code."""
    return {
        "lock": {"sha256": lock.digest},
        "archive": {
            "suite": lock.suite,
            "date": lock.archive_date,
            "sha256": lock.release_sha256,
            "signedBy": sorted(lock.signed_by),
        },
        "steps": [
            {"name": step.name, "kind": step.kind, "parameters": dict(step.parameters)}
            for step in plan.steps
        ],
    }


def _inputs(plan: Plan) -> list[dict[str, object]]:
    return [
        {"name": path, "digest": {"sha256": _bare(plan.inputs[path])}}
        for path in sorted(plan.inputs)
    ]


def _locked(plan: Plan, lock: Lock) -> list[dict[str, object]]:
    """Each file of each group of the lock that a step of the plan fetches, once."""
    groups = [step.parameters["group"] for step in plan.steps if step.kind == "fetch"]
    found = {
        file.path: file
        for group in groups
        for package in lock.groups.get(group, ())
        for file in package.files
    }
    return [
        {"uri": file.purl, "name": file.path, "digest": {"sha256": file.sha256}}
        for _, file in sorted(found.items())
    ]


def _wheels(wheels: Iterable[Wheel]) -> Iterator[dict[str, object]]:
    """A descriptor has room for one digest; several accepted files are an annotation."""
    for wheel in sorted(wheels, key=lambda item: item.name):
        uri = f"pkg:pypi/{wheel.name}@{wheel.version}"
        if len(wheel.sha256) == 1:
            yield {"uri": uri, "digest": {"sha256": wheel.sha256[0]}}
        else:
            yield {"uri": uri, "annotations": {"acceptedSha256": sorted(wheel.sha256)}}


def locked_wheels(requirements: str) -> list[Wheel]:
    """The packages of a requirements file with hashes, as pip-compile writes it."""
    return [
        Wheel(name=name, version=version, sha256=tuple(_HASH.findall(rest)))
        for name, version, rest in _REQUIREMENT.findall(requirements.replace("\\\n", " "))
    ]


def _bare(digest: str) -> str:
    return digest.removeprefix("sha256:")


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
    """Plain text only: it is shown on terminals."""
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
        raise TypeError("not plain text")
    return value


def _sha256(value: Any) -> str:
    digest = value["sha256"]
    if not canonical.sha256_hex_is_valid(digest):
        raise TypeError("not a SHA-256 digest")
    return _text(digest)
