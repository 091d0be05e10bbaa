# SPDX-License-Identifier: Apache-2.0
"""What a person needs to link a gateway again with a C library of their own (LGPL 2.1, 6a).

The archive holds every object of the executable that is not the C library's, and a script that
runs the same link. With Debian's own library the result is the released file, byte for byte.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import zstandard

from edgebuild.host.files import atomic_write
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
from edgebuild.runtimes import templates
from edgebuild.runtimes.link import Parts, flags, prepare

LEVEL = 12  # of zstd: 4 MB in 2 s; level 19 saves a tenth of that and takes 15 s


def write(
    store: Store,
    lock: Lock,
    deb_arch: str,
    objects: Path,
    bundles: Sequence[Path],
    config: Path,
    out: Path,
) -> None:
    """Write ``out``, a .tar.zst, from the inputs of ``link``. Raises as ``link``."""
    with tempfile.TemporaryDirectory() as folder:
        parts = prepare(store, lock, deb_arch, objects, bundles, config, Path(folder))
        data = archive(parts, out.name.removesuffix(".tar.zst"))
        # One thread and the content's size in the frame: equal bytes on every machine.
        atomic_write(out, zstandard.ZstdCompressor(level=LEVEL).compress(data))


def archive(parts: Parts, top: str) -> bytes:
    """A tar file with one folder ``top``: objects in link order, relink.sh, README."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in parts.objects:
            _add(tar, f"{top}/{path.name}", path.read_bytes(), 0o644)
        _add(tar, f"{top}/relink.sh", script(parts).encode(), 0o755)
    return stream.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


def script(parts: Parts) -> str:
    """The link as a shell script in which the C library's folder is a parameter."""

    def placed(key: str) -> list[str]:
        # libgcc and its start files are the compiler's; the rest is the C library's.
        return [
            f'"${"GCC" if "/gcc/" in relative else "LIBC"}/{PurePosixPath(relative).name}"'
            for relative in parts.recipe[key]
        ]

    return templates.render(
        "relink.sh.j2",
        deb_arch=parts.recipe["deb_arch"],
        libc=str(PurePosixPath(parts.recipe["start"][0]).parent),
        gcc=str(PurePosixPath(parts.recipe["end"][0]).parent),
        flags=flags(parts.recipe["emulation"]),
        start=placed("start"),
        objects=[path.name for path in parts.objects],
        archives=placed("archives"),
        end=placed("end"),
    )
