# SPDX-License-Identifier: Apache-2.0
"""The revisions of the protocol, and everything that differs between them, in one table.

Modern: version and capabilities come with every request, results carry `resultType`.
Legacy: an `initialize` handshake comes first.
"""

from .records import Record


class Revision(Record):
    """modern: per-request metadata. batches: JSON-RPC arrays. titles, structured: fields of tools
    and results. argument_errors: a bad argument of a known tool is a *result* with isError (else
    error -32602). missing_resource: its error code. described: serverInfo has a description.
    """

    __slots__ = (
        "argument_errors",
        "batches",
        "described",
        "missing_resource",
        "modern",
        "name",
        "structured",
        "titles",
    )
    argument_errors: bool
    batches: bool
    described: bool
    missing_resource: int
    modern: bool
    name: str
    structured: bool
    titles: bool


def _revision(
    name: str, modern: int, batches: int, titles: int, described: int, errors: int, code: int
) -> Revision:
    return Revision(
        name=name,
        modern=bool(modern),
        batches=bool(batches),
        titles=bool(titles),
        structured=bool(titles),
        described=bool(described),
        argument_errors=bool(errors),
        missing_resource=code,
    )


# Newest first.       name          modern batches titles described argument_errors missing
ALL = [
    _revision("2026-07-28", 1, 0, 1, 1, 1, -32602),
    _revision("2025-11-25", 0, 0, 1, 1, 1, -32002),
    _revision("2025-06-18", 0, 0, 1, 0, 0, -32002),
    _revision("2025-03-26", 0, 1, 0, 0, 0, -32002),
]

BY_NAME = dict([(revision.name, revision) for revision in ALL])
MODERN = [revision for revision in ALL if revision.modern]
LEGACY = [revision for revision in ALL if not revision.modern]
MODERN_NAMES = [revision.name for revision in MODERN]
NEWEST_LEGACY = LEGACY[0]
# HTTP requests before 2025-06-18 carried no version header: silence means this one.
ASSUMED = BY_NAME["2025-03-26"]


def negotiate(requested: object) -> Revision:
    """The answer to `initialize`: what was asked for if it is served, else our newest legacy."""
    if isinstance(requested, str) and requested in BY_NAME:
        revision = BY_NAME[requested]
        if not revision.modern:
            return revision
    return NEWEST_LEGACY


def of_request(header: "str | None", version: object) -> "Revision | None":
    """The revision that an HTTP message is to be read by; None when its header names none we serve.

    `header` is MCP-Protocol-Version. `version` is what the message says in `_meta`: that makes it
    modern whatever the header is, so that a contradiction is found and told as one.
    """
    if version is not None:
        return of_meta(version)
    if header is None:
        return ASSUMED
    return BY_NAME.get(header)


def of_meta(version: object) -> Revision:
    """The modern revision of that name; for an unknown name any, whose checks will refuse it."""
    if isinstance(version, str) and version in MODERN_NAMES:
        return BY_NAME[version]
    return MODERN[0]
