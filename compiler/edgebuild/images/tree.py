# SPDX-License-Identifier: Apache-2.0
"""A file tree for a device, as values: what is in it never depends on this machine's files."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# 1980-01-01T00:00:00Z, the first time that FAT can store too.
EPOCH_S = 315532800


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, directory, symbolic link or console node.

    ``path`` is absolute on the device. ``origin`` names where the content is from, for the
    SBOM: a package URL, or ``edgebuild`` for what the tool writes itself.
    """

    path: str
    kind: str = "file"  # file, directory, link, or console (character device 5:1)
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    data: bytes = b""
    target: str = ""
    origin: str = "edgebuild"


def directory(path: str, mode: int = 0o755, owner: int = 0) -> Entry:
    """A directory whose user and group are ``owner``."""
    return Entry(path=path, kind="directory", mode=mode, uid=owner, gid=owner)


def link(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path=path, kind="link", mode=0o777, target=target)


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Entries by path; a directory comes before what is in it."""
    return sorted(entries, key=lambda entry: entry.path.split("/"))


def to_tar(entries: Iterable[Entry]) -> bytes:
    """An uncompressed ustar archive: sorted, one time stamp, numeric owners."""
    out = io.BytesIO()
    kinds = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in ordered(entries):
            member = tarfile.TarInfo(entry.path.lstrip("/"))
            member.type = kinds[entry.kind]
            member.mode, member.uid, member.gid = entry.mode, entry.uid, entry.gid
            member.mtime, member.size = EPOCH_S, len(entry.data)
            member.linkname = entry.target
            archive.addfile(member, io.BytesIO(entry.data))
    return out.getvalue()


def from_tar(data: bytes, origins: Mapping[str, str]) -> list[Entry]:
    """The entries of an archive that ``to_tar`` made; ``origins`` maps paths to origins."""
    kinds = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link"}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [
            Entry(
                path=f"/{member.name}",
                kind=kinds[member.type],
                mode=member.mode,
                uid=member.uid,
                gid=member.gid,
                data=(content.read() if (content := archive.extractfile(member)) else b"")
                if member.isreg()
                else b"",
                target=member.linkname,
                origin=origins.get(f"/{member.name}", "edgebuild"),
            )
            for member in archive
        ]


def listing(entries: Iterable[Entry]) -> list[dict[str, str | int]]:
    """The facts of each entry that an SBOM and a report need; digests for files only."""
    return [_facts(entry) for entry in ordered(entries)]


def _facts(entry: Entry) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "path": entry.path,
        "kind": entry.kind,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "package": entry.origin,
    }
    if entry.kind == "file":
        facts |= {"bytes": len(entry.data), "sha256": hashlib.sha256(entry.data).hexdigest()}
    if entry.kind == "link":
        facts["target"] = entry.target
    return facts
