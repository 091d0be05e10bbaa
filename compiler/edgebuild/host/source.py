# SPDX-License-Identifier: Apache-2.0
"""Unpacking Debian source packages, format 3.0 (quilt): upstream's tar, Debian's tar, patches."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

from edgebuild.errors.inputs import BAD_PACKAGE
from edgebuild.host import deb, patch


def unpack(files: Sequence[Path], root: Path) -> None:
    """Unpack a source package's files into ``root`` and apply its patches.

    Raises E108 for a malformed archive and E119 for a patch that does not fit.
    """
    upstream = [path for path in files if ".orig.tar." in path.name and path.suffix != ".asc"]
    debian = [path for path in files if ".debian.tar." in path.name]
    if not upstream:
        upstream = [path for path in files if ".tar." in path.name and path not in debian]
    for archive in upstream:
        _unpack_tar(archive, root, strip=1)
    for archive in debian:
        _unpack_tar(archive, root, strip=0)
    series = root / "debian" / "patches" / "series"
    if series.exists():
        for line in series.read_text("utf-8").splitlines():
            name = line.partition("#")[0].strip().partition(" ")[0]
            if name:
                patch.apply((series.parent / name).read_bytes(), root, name)


def _unpack_tar(archive: Path, root: Path, strip: int) -> None:
    def inside(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        name = "/".join(member.name.removeprefix("./").split("/")[strip:])
        if not name:
            return None
        # The standard library's filter refuses whatever would leave the tree.
        return tarfile.data_filter(member.replace(name=name, deep=False), path)

    try:
        with archive.open("rb") as file, deb.open_tar(file, archive.name) as tar:
            tar.extractall(root, filter=inside)  # noqa: S202
    except deb.MALFORMED as error:
        raise BAD_PACKAGE(f"cannot unpack: {error}", where=archive.name) from error
