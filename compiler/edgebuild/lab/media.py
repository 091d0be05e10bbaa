# SPDX-License-Identifier: Apache-2.0
"""Reads a firmware image back: as a sparse file, its partitions, and boot files in it."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from edgebuild.errors.images import IMAGE_UNREADABLE

_CHUNK = 1 << 20
_SECTOR = 512
_END = 0x0FFFFFF8


def unpack(compressed: Path, raw: Path) -> None:
    """Decompress an image into a sparse file. Raises E454."""
    try:
        with compressed.open("rb") as source, raw.open("wb") as out:
            reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
            while chunk := reader.read(_CHUNK):
                if chunk.count(0) == len(chunk):
                    out.seek(len(chunk), 1)
                else:
                    out.write(chunk)
            out.truncate(out.tell())
    except FileNotFoundError as error:
        raise IMAGE_UNREADABLE(
            "there is no firmware image here",
            where=str(compressed),
            hint="name the folder of a release, such as dist/rpi4",
        ) from error
    except zstandard.ZstdError as error:
        raise IMAGE_UNREADABLE(f"the image is damaged: {error}", where=str(compressed)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition of an image; offset and size in bytes."""

    name: str
    offset: int
    size: int


def partitions(raw: Path) -> list[Partition]:
    """The partitions in the image's GPT. Raises E454."""
    with raw.open("rb") as file:
        file.seek(_SECTOR)
        header = file.read(_SECTOR)
        if header[:8] != b"EFI PART":
            raise IMAGE_UNREADABLE("the image has no partition table", where=raw.name)
        first_lba, count, size = struct.unpack_from("<QII", header, 72)
        file.seek(first_lba * _SECTOR)
        table = file.read(count * size)
    found = []
    for at in range(0, len(table), size):
        first, last = struct.unpack_from("<QQ", table, at + 32)
        name = table[at + 56 : at + 128].decode("utf-16-le").rstrip("\0")
        if first:
            offset = first * _SECTOR
            found.append(Partition(name=name, offset=offset, size=(last + 1) * _SECTOR - offset))
    return found


class _Window:
    """A partition's bytes, read where they are asked for: most of it is free space."""

    def __init__(self, file: BinaryIO, place: Partition) -> None:
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._offset, self._size = place.offset, place.size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        return self._map[self._offset + part.start : self._offset + part.stop]

    def number(self, form: str, at: int) -> int:
        (value,) = struct.unpack(form, self[at : at + struct.calcsize(form)])
        return int(value)


class BootFiles:
    """The files of an image's FAT32 boot partition, by path."""

    def __init__(self, raw: Path) -> None:
        """Raises E454 when the first partition is not FAT32."""
        try:
            boot = partitions(raw)[0]
            with raw.open("rb") as file:
                self._data = _Window(file, boot)
            self._read_tables(raw.name)
        except (struct.error, IndexError, RecursionError) as error:
            raise IMAGE_UNREADABLE("the boot partition is damaged", where=raw.name) from error

    def _read_tables(self, name: str) -> None:
        if self._data[82:90] != b"FAT32   ":
            raise IMAGE_UNREADABLE("the boot partition is not FAT32", where=name)
        reserved, tables = self._data.number("<H", 14), self._data.number("<B", 16)
        table_sectors = self._data.number("<I", 36)
        self._cluster = self._data.number("<B", 13) * _SECTOR
        self._table = reserved * _SECTOR
        self._first = (reserved + tables * table_sectors) * _SECTOR
        self._files: dict[str, tuple[int, int]] = {}
        self._walk(self._data.number("<I", 44), "")

    def names(self) -> list[str]:
        """Paths of all files, sorted."""
        return sorted(self._files)

    def read(self, path: str) -> bytes:
        """One file, whatever the case of its name is. Raises E454."""
        for name, (cluster, size) in self._files.items():
            if name.lower() == path.lower():
                return self._chain(cluster)[:size]
        raise IMAGE_UNREADABLE(f"the boot partition has no {path}")

    def _chain(self, cluster: int) -> bytes:
        out = bytearray()
        while 2 <= cluster < _END and len(out) < len(self._data):
            at = self._first + (cluster - 2) * self._cluster
            out += self._data[at : at + self._cluster]
            cluster = self._data.number("<I", self._table + cluster * 4) & 0x0FFFFFFF
        return bytes(out)

    def _walk(self, cluster: int, folder: str) -> None:
        content, long_name = self._chain(cluster), ""
        for at in range(0, len(content), 32):
            entry = content[at : at + 32]
            if entry[0] == 0:
                return
            if entry[11] == 0x0F:
                part = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le", "replace")
                long_name = part.split("\0")[0] + long_name
                continue
            name, long_name = long_name or _short(entry), ""
            first = struct.unpack_from("<H", entry, 20)[0] << 16
            first |= struct.unpack_from("<H", entry, 26)[0]
            if entry[11] & 0x10 and name not in (".", ".."):
                self._walk(first, f"{folder}{name}/")
            elif not entry[11] & 0x18:
                self._files[folder + name] = (first, struct.unpack_from("<I", entry, 28)[0])


def _short(entry: bytes) -> str:
    base, extension = entry[:8].decode("ascii").rstrip(), entry[8:11].decode("ascii").rstrip()
    return f"{base}.{extension}" if extension else base


def sections(program: bytes) -> dict[str, bytes]:
    """The sections of a PE file by name, as far as their size in memory. Raises E454."""
    try:
        (pe,) = struct.unpack_from("<I", program, 0x3C)
        count, _, _, _, optional = struct.unpack_from("<HIIIH", program, pe + 6)
        found = {}
        for index in range(count):
            head = pe + 24 + optional + 40 * index
            name, size, _, raw_size, raw = struct.unpack_from("<8sIIII", program, head)
            found[name.rstrip(b"\0").decode()] = program[raw : raw + min(size, raw_size)]
        return found
    except (struct.error, UnicodeDecodeError) as error:
        raise IMAGE_UNREADABLE("the boot program is not a PE file") from error
