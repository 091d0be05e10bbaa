# SPDX-License-Identifier: Apache-2.0
"""What a bill of materials says, before ``spdx`` or ``cyclonedx`` writes it.

A component is something that is inside an artifact, or the source that such a thing was made
from. Both documents are functions of these values alone: no time of building, no random number.
"""

from __future__ import annotations

import email.utils
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgebuild.errors.trust import COMPONENT_INVALID
from edgebuild.trust import canonical

KINDS = ("library", "application", "source", "model", "kernel", "firmware", "configuration")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file inside an image: path in the image, SHA-256 in hexadecimal."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One package, source or model.

    ``artifacts`` names the release's files that contain it; a source is in none of them.
    ``source`` is the purl of the source component that it was made from.
    """

    name: str
    version: str
    kind: str
    purl: str
    sha256: str = ""
    licence: str = ""
    source: str = ""
    artifacts: tuple[str, ...] = ()
    files: tuple[File, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A release's contents: ``artifacts`` maps names to SHA-256; purls are unique."""

    target: str
    version: str  # of edgebuild, which made it
    created: str  # RFC 3339, from the lock: when the archive was as it was used
    artifacts: Mapping[str, str]
    components: tuple[Component, ...]
    licence_texts: Mapping[str, str] = field(default_factory=dict)  # by LicenseRef-…

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for component in self.components:
            _check(component, self)
            if component.purl in seen:
                raise COMPONENT_INVALID("two components have one purl", where=component.purl)
            seen.add(component.purl)
        for component in self.components:
            if component.source and component.source not in seen:
                raise COMPONENT_INVALID(
                    f"its source {component.source} is not listed", where=component.purl
                )

    def sorted_components(self) -> list[Component]:
        return sorted(self.components, key=lambda component: component.purl)

    def digest(self) -> str:
        """SHA-256 over all of it: what document names and serial numbers are made from."""
        rows = [
            [c.purl, c.name, c.version, c.kind, c.sha256, c.licence, c.source, list(c.artifacts)]
            + [[f.path, f.sha256] for f in c.files]
            for c in self.sorted_components()
        ]
        head = [self.target, self.version, self.created, dict(self.artifacts)]
        return hashlib.sha256(canonical.compact([head, rows])).hexdigest()


def archive_time(date: str) -> str:
    """RFC 3339 time from a Debian Release file's Date. Raises E508 if it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except ValueError as error:
        raise COMPONENT_INVALID(f"'{date}' is not the date of an archive") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _check(component: Component, contents: Contents) -> None:
    where = component.purl or component.name or "a component without a name"
    if not component.name or not component.version:
        raise COMPONENT_INVALID("a component needs a name and a version", where=where)
    if not component.purl.startswith("pkg:"):
        raise COMPONENT_INVALID("a component needs a package URL", where=where)
    if component.kind not in KINDS:
        raise COMPONENT_INVALID(f"'{component.kind}' is no kind of component", where=where)
    for digest in (component.sha256, *(file.sha256 for file in component.files)):
        if digest and not canonical.sha256_hex_is_valid(digest):
            raise COMPONENT_INVALID(f"'{digest}' is no SHA-256 digest", where=where)
    unknown = set(component.artifacts) - set(contents.artifacts)
    if unknown:
        raise COMPONENT_INVALID(f"there is no artifact {sorted(unknown)}", where=where)
