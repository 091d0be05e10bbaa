# SPDX-License-Identifier: Apache-2.0
"""Unpacking .deb files (deb(5)) into a tree: no dpkg, no root, nothing outside the tree.

Owners, times, setuid bits and device files are not carried over: a tree is something to read
from. Its layout is usr-merged, as Debian's own is.
"""

from __future__ import annotations

import fnmatch
import io
import lzma
import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import zstandard

from edgebuild.errors import EdgebuildError
from edgebuild.errors.inputs import BAD_PACKAGE

MERGED = ("bin", "lib", "lib64", "sbin")
# The last three: a path that is a file in one place and a directory or a link's end in another.
MALFORMED = (
    tarfile.TarError, lzma.LZMAError, zstandard.ZstdError, EOFError, ValueError, zlib.error,
    FileExistsError, NotADirectoryError, FileNotFoundError,
)  # fmt: skip
_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60


def prepare(root: Path) -> None:
    """Make the links that a usr-merged tree begins with."""
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")


def unpack(package: Path, root: Path, keep: Sequence[str] = ()) -> None:
    """Unpack a .deb's files below ``root``; with ``keep``, only paths that match a pattern.

    Files become read-only. Raises E108 for anything malformed or hostile, and for a file that
    another package has put there.
    """
    try:
        with package.open("rb") as file, _data_tar(file) as tar:
            _unpack_tar(tar, root, keep)
    except MALFORMED as error:
        raise _bad(str(error), package) from error


def members(file: IO[bytes]) -> Iterator[tuple[str, int]]:
    """The (name, size) of each member of an ar archive; the file stands at its first byte.

    Raises ValueError for what is no ar archive.
    """
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("not an ar archive")
    while header := file.read(_HEADER_BYTES):
        if len(header) < _HEADER_BYTES or header[58:] != b"`\n":
            raise ValueError("damaged ar header")
        size = header[48:58].strip()
        if not size.isdigit():
            raise ValueError("damaged ar member size")
        start = file.tell()
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), int(size)
        file.seek(start + int(size) + int(size) % 2)


def _data_tar(file: IO[bytes]) -> tarfile.TarFile:
    for name, size in members(file):
        if name.startswith("data.tar"):
            return open_tar(io.BufferedReader(_Window(file, size)), name)
    raise ValueError("no data.tar inside")


def open_tar(file: IO[bytes], name: str) -> tarfile.TarFile:
    """A tar stream, decompressed as its name's ending says."""
    if name.endswith(".zst"):
        plain: Any = zstandard.ZstdDecompressor().stream_reader(file)
        return tarfile.open(fileobj=plain, mode="r|")
    kind = name.rpartition(".")[2]
    if kind not in ("tar", "gz", "bz2", "xz"):
        raise ValueError(f"unknown compression: {name}")
    return tarfile.open(fileobj=file, mode="r|" if kind == "tar" else f"r|{kind}")  # type: ignore[call-overload, no-any-return]


class _Window(io.RawIOBase):
    """The next ``size`` bytes of a file, as a file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        if not data and self._left:
            raise ValueError("the archive ends too soon")
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


def _unpack_tar(tar: tarfile.TarFile, root: Path, keep: Sequence[str]) -> None:
    wanted = set(keep)
    safe: set[Path] = set()
    for member in tar:
        name = _merged(member.name)
        if not name or (keep and not any(fnmatch.fnmatchcase(name, one) for one in keep)):
            continue
        place = root / name
        if place.parent not in safe:  # nothing replaces a directory later
            _check_parents(root, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            safe.add(place.parent)
        if member.isdir():
            place.mkdir(exist_ok=True)
            continue
        if os.path.lexists(place):
            raise ValueError(f"{name} is there already")
        _place(tar, member, root, name)
        wanted.discard(name)
        if keep and not wanted:
            return  # each pattern was a path, and all are found: spare the decompression


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path, name: str) -> None:
    place = root / name
    if member.issym():
        place.symlink_to(_link_target(name, member.linkname))
    elif member.islnk():
        source = root / _merged(member.linkname)
        _check_parents(root, _merged(member.linkname))
        os.link(source, place, follow_symlinks=False)
    elif member.isfile():
        content = tar.extractfile(member)
        with place.open("xb") as file:
            while content is not None and (data := content.read(1 << 20)):
                file.write(data)
        place.chmod(0o555 if member.mode & 0o100 else 0o444)
        os.utime(place, (member.mtime, member.mtime))
    # Device files and pipes are of no use in a tree that is only read.


def _merged(name: str) -> str:
    """A member's path below the root, usr-merged. Raises ValueError for one that leaves it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise ValueError(f"{name!r} leaves the tree")
    if parts and parts[0] in MERGED:
        parts = ["usr", *parts] if parts[1:] else []  # "lib" itself is there already
    return "/".join(parts)


def _link_target(name: str, target: str) -> str:
    """Where a symbolic link points: absolute targets become relative ones within the tree."""
    folder = posixpath.dirname(name)
    if target.startswith("/"):
        return posixpath.relpath(_merged(target), folder)
    if posixpath.normpath(posixpath.join(folder, target)).startswith(".."):
        raise ValueError(f"link {name} -> {target} leaves the tree")
    return target


def _check_parents(root: Path, name: str) -> None:
    """A path may go through a link only to a directory within the tree (lib -> usr/lib)."""
    parent = (root / name).parent
    if parent.is_dir() and not parent.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{name} goes through a link that leaves the tree")


def _bad(what: str, package: Path) -> EdgebuildError:
    return BAD_PACKAGE(f"cannot unpack: {what}", where=package.name)
