# SPDX-License-Identifier: Apache-2.0
"""Makes the root (erofs, read-only) and data (ext4) file systems with the locked mkfs tools."""

from __future__ import annotations

import contextlib
import struct
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgebuild.host import files, process

BLOCK = 4096
_SUPERBLOCK = 1024
_BLOCK_UNINIT = 0x2


def erofs(mkfs: Sequence[str], tar: bytes, unique: uuid.UUID) -> bytes:
    """A read-only file system with the tar's files, owners and times.

    Not compressed: the release compresses the image as a whole, and a page fault on the device
    then costs a read and no more.
    """
    with _workspace() as folder:
        source, out = Path(folder, "root.tar"), Path(folder, "root.erofs")
        source.write_bytes(tar)
        argv = [*mkfs, "-b4096", f"-U{unique}", "-T315532800", "--quiet", "--tar=f"]
        process.run([*argv, out, source], what="make the root file system")
        return out.read_bytes()


def ext4(mkfs: Sequence[str], size_bytes: int, unique: uuid.UUID) -> bytes:
    """An empty journalled file system of ``size_bytes``.

    Inode tables and journal are written now, not by the kernel at first mount: where an old
    medium holds an old journal, that could be replayed. So they count as used blocks.
    """
    with _workspace() as folder:
        out, settings = Path(folder, "data.ext4"), Path(folder, "mke2fs.conf")
        settings.write_text("[defaults]\n")  # this machine's own settings must not count
        with out.open("wb") as file:
            file.truncate(size_bytes)
        argv = [
            *mkfs, "-q", "-F", "-b", "4096", "-I", "256", "-m", "0", "-N", "2048",
            "-O", "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,"
            "sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum",
            "-J", "size=4", "-L", "edge-data", "-U", str(unique),
            "-E", f"hash_seed={unique},lazy_itable_init=0,lazy_journal_init=0,nodiscard,"
            "root_owner=0:0",
        ]  # fmt: skip
        process.run(
            [*argv, out], what="make the data file system", env={"MKE2FS_CONFIG": str(settings)}
        )
        return out.read_bytes()


@contextlib.contextmanager
def _workspace() -> Iterator[str]:
    """A temporary folder, where a full disk is told plainly."""
    with tempfile.TemporaryDirectory() as folder, files.told_plainly(Path(folder)):
        yield folder


def ext4_used(image: bytes) -> list[tuple[int, int]]:
    """Used parts of an ext4 image as (first, end) in bytes: what a block map has to list.

    Read from the block bitmaps (kernel documentation, filesystems/ext4). A group whose bitmap is
    not initialised uses no blocks but copies of the superblock, found by not being zero.
    """
    blocks_per_group, descriptor_bytes, groups = _layout(image)
    used = bytearray(len(image) // BLOCK)
    for group in range(groups):
        at = BLOCK + group * descriptor_bytes
        (low,) = struct.unpack_from("<I", image, at)
        (flags,) = struct.unpack_from("<H", image, at + 18)
        (high,) = struct.unpack_from("<I", image, at + 32)
        bitmap = image[(high << 32 | low) * BLOCK :][:BLOCK]
        for index in range(min(blocks_per_group, len(used) - group * blocks_per_group)):
            number = group * blocks_per_group + index
            if flags & _BLOCK_UNINIT:
                used[number] = any(image[number * BLOCK : (number + 1) * BLOCK])
            else:
                used[number] = bitmap[index // 8] >> index % 8 & 1
    return _runs(used)


def _layout(image: bytes) -> tuple[int, int, int]:
    """Blocks in a group, bytes of a group descriptor, number of groups."""
    (blocks,) = struct.unpack_from("<I", image, _SUPERBLOCK + 4)
    (per_group,) = struct.unpack_from("<I", image, _SUPERBLOCK + 32)
    (descriptor_bytes,) = struct.unpack_from("<H", image, _SUPERBLOCK + 254)
    return per_group, descriptor_bytes, -(-blocks // per_group)


def _runs(used: bytearray) -> list[tuple[int, int]]:
    runs, at = [], 0
    while (first := used.find(1, at)) >= 0:
        end = used.find(0, first)
        at = end if end >= 0 else len(used)
        runs.append((first * BLOCK, at * BLOCK))
    return runs
