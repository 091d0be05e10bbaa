# SPDX-License-Identifier: Apache-2.0
"""Joins what the chapters of a build report about their inputs into one list of components.

The lock says which package a thing is and its digest; the linker's table and the image's listing
say which packages got inside; the model cards say which models.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from edgebuild.errors.trust import COMPONENT_INVALID
from edgebuild.model.lock import Lock, LockedPackage
from edgebuild.trust.sbom import Component, Contents, File, archive_time

OURS = "edgebuild"  # the origin of files that the tool writes itself

# Licences of what an image holds beside the executable, by source package: of the files that are
# taken, as their copyright files state them.
IMAGE_LICENCES: Mapping[str, str] = {
    "linux": "GPL-2.0-only WITH Linux-syscall-note",
    "raspi-firmware": "LicenseRef-Broadcom-redistributable",
    "systemd": "LGPL-2.1-or-later",
    "dhcpcd": "BSD-2-Clause",
    "busybox": "GPL-2.0-only",
}
_SIGNED = re.compile(r"(linux|systemd-boot)-(efi-)?signed-[a-z0-9]+|systemd-boot-efi-[a-z0-9]+")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapters:
    """What the chapters of one build left.

    ``linked``: the runtime's table (name, version, architecture, source, source_version, licence,
    files with path, sha256, purl). ``cards``: model cards. ``payload``: the image's files (path,
    sha256, package: a purl or ``edgebuild``), None without firmware.
    ``holders`` names the artifacts that contain the executable, ``image`` the firmware image.
    """

    linked: Sequence[Json]
    cards: Sequence[Json]
    payload: Json | None
    holders: tuple[str, ...]
    image: str = ""


def contents(
    lock: Lock, chapters: Chapters, *, target: str, version: str, artifacts: Mapping[str, str]
) -> Contents:
    """All that is inside ``artifacts`` (SHA-256 by name). Raises E508 for an unknown origin."""
    found: dict[str, Component] = {}
    for component in (
        _gateway(version, chapters.holders),
        *(_model(card, chapters.holders) for card in chapters.cards),
        *(_linked(entry, chapters.holders) for entry in chapters.linked),
        *_payload(lock, chapters, version),
    ):
        found.setdefault(component.purl, component)
    sources = {component.source for component in found.values()} - {""}
    known = _source_packages(lock)
    for purl in sources:
        found.setdefault(purl, _source(purl, known.get(purl)))
    return Contents(
        target=target,
        version=version,
        created=archive_time(lock.archive_date),
        artifacts=artifacts,
        components=tuple(found[purl] for purl in sorted(found)),
    )


def _gateway(version: str, holders: tuple[str, ...]) -> Component:
    return Component(
        name="edgegate",
        version=version,
        kind="application",
        purl=f"pkg:generic/edgegate@{version}",
        licence="Apache-2.0",
        artifacts=holders,
    )


def _model(card: Json, holders: tuple[str, ...]) -> Component:
    digest = str(card["digest"]).removeprefix("sha256:")
    return Component(
        name=card["name"],
        version=digest[:12],
        kind="model",
        purl=f"pkg:generic/{card['name']}@{digest[:12]}?checksum=sha256:{digest}",
        sha256=digest,
        licence=card.get("licence") or "",
        artifacts=holders,
    )


def _linked(entry: Json, holders: tuple[str, ...]) -> Component:
    """A package whose code the linker took; a source package was compiled here."""
    built_here = entry["architecture"] == "source"
    files = entry["files"]
    return Component(
        name=entry["name"],
        version=entry["version"],
        kind="library",
        purl=_built_purl(entry["name"], entry["version"]) if built_here else files[0]["purl"],
        sha256="" if built_here else files[0]["sha256"],
        licence=entry["licence"],
        source=_source_purl(files[0]["purl"], entry["source"], entry["source_version"]),
        artifacts=holders,
    )


def _payload(lock: Lock, chapters: Chapters, version: str) -> Iterable[Component]:
    """One component per origin of files in the image, with those files."""
    if chapters.payload is None:
        return
    yield _musl(chapters.image)
    by_origin: dict[str, list[File]] = {}
    for entry in chapters.payload["files"]:
        if "sha256" in entry:
            file = File(path=entry["path"], sha256=entry["sha256"])
            by_origin.setdefault(entry["package"], []).append(file)
    packages = {
        file.purl: (package, file.sha256)
        for group in lock.groups.values()
        for package in group
        for file in package.files
    }
    for origin, files in sorted(by_origin.items()):
        if origin == OURS:
            yield _own_files(version, chapters.image, files)
        elif origin in packages:
            yield _from_package(*packages[origin], origin, chapters.image, files)
        else:
            raise COMPONENT_INVALID(
                f"{files[0].path} comes from '{origin}', which is not in the lock",
                where="the image's listing",
            )


def _musl(image: str) -> Component:
    """The C library in PID 1 and the DHCP client, which zig compiles in from its own copy."""
    version = metadata.version("ziglang")
    return Component(
        name="musl",
        version=f"zig-{version}",
        kind="library",
        purl=f"pkg:pypi/ziglang@{version}",
        licence="MIT",
        artifacts=(image,),
    )


def _own_files(version: str, image: str, files: list[File]) -> Component:
    return Component(
        name="edgebuild-image",
        version=version,
        kind="configuration",
        purl=f"pkg:generic/edgebuild-image@{version}",
        licence="Apache-2.0",
        artifacts=(image,),
        files=_once(files),
    )


def _from_package(
    package: LockedPackage, sha256: str, purl: str, image: str, files: list[File]
) -> Component:
    built_here = package.architecture == "source"
    return Component(
        name=package.name,
        version=package.version,
        kind=_kind(package.source),
        purl=_built_purl(package.name, package.version) if built_here else purl,
        sha256="" if built_here else sha256,
        licence=IMAGE_LICENCES.get(_base(package.source), ""),
        source=_source_purl(purl, package.source, package.source_version),
        artifacts=(image,),
        files=_once(files),
    )


def _once(files: list[File]) -> tuple[File, ...]:
    return tuple({file.path: file for file in files}.values())


def _kind(source: str) -> str:
    kinds = {"linux": "kernel", "raspi-firmware": "firmware", "systemd": "firmware"}
    return kinds.get(_base(source), "application")


def _base(source: str) -> str:
    """The source that a signed repackaging of it (linux-signed-arm64) stands for."""
    match = _SIGNED.fullmatch(source)
    if match is None:
        return source
    return "linux" if match.group(1) == "linux" else "systemd"


def _built_purl(name: str, version: str) -> str:
    return f"pkg:generic/{_quoted(name)}@{_quoted(version)}"


def _source_purl(example: str, name: str, version: str) -> str:
    """The source package's purl, with the distribution of the purl of one of its products."""
    distro = example.partition("distro=")[2].partition("&")[0]
    qualifiers = f"arch=source&distro={distro}"
    return f"pkg:deb/debian/{_quoted(name)}@{_quoted(version)}?{qualifiers}"


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe=":")


def _source_packages(lock: Lock) -> dict[str, LockedPackage]:
    return {
        package.files[0].purl: package
        for group in lock.groups.values()
        for package in group
        if package.architecture == "source"
    }


def _source(purl: str, package: LockedPackage | None) -> Component:
    """The source component: with the digest of its .dsc where the source itself is locked."""
    name, _, rest = purl.removeprefix("pkg:deb/debian/").partition("@")
    described = [f for f in package.files if f.path.endswith(".dsc")] if package else []
    return Component(
        name=name,
        version=package.version if package else urllib.parse.unquote(rest.partition("?")[0]),
        kind="source",
        purl=purl,
        sha256=described[0].sha256 if described else "",
    )
