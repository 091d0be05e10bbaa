# SPDX-License-Identifier: Apache-2.0
"""Block maps and compressed frames: what a writer of media relies on."""

import hashlib
import re
import struct
import xml.etree.ElementTree as ET

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.images import bmap, filesystems, frames


def test_the_map_names_its_own_digest_and_every_range() -> None:
    content = b"x" * 5000
    text = bmap.render(1 << 20, [bmap.digest_range(8192, content), bmap.digest_range(0, b"a")])
    root = ET.fromstring(text)
    ranges = root.findall("BlockMap/Range")
    assert [(one.text or "").strip() for one in ranges] == ["0", "2-3"]
    assert ranges[1].get("chksum") == hashlib.sha256(content.ljust(8192, b"\0")).hexdigest()
    assert [int(root.findtext(key) or "") for key in ("ImageSize", "BlocksCount")] == [1 << 20, 256]
    assert int(root.findtext("MappedBlocksCount") or "") == 3
    own = (root.findtext("BmapFileChecksum") or "").strip()
    assert hashlib.sha256(text.replace(own, "0" * 64).encode()).hexdigest() == own
    assert re.fullmatch("[0-9a-f]{64}", own)


@given(st.binary(max_size=5000), st.integers(0, 3_000_000))
def test_a_frame_is_the_content_and_then_zeros(content: bytes, more: int) -> None:
    size = len(content) + more
    packed = frames.frame(content, size, 3)
    assert zstandard.ZstdDecompressor().decompress(packed) == content + bytes(more)
    assert packed == frames.frame(content, size, 3)


def test_frames_in_a_row_are_one_file() -> None:
    both = frames.frame(b"one", 3, 3) + frames.frame(b"two", 6, 3)
    reader = zstandard.ZstdDecompressor().stream_reader(both, read_across_frames=True)
    assert reader.read() == b"onetwo\0\0\0"


def ext4(groups: list[tuple[int, bytes]], blocks_per_group: int, blocks: int) -> bytearray:
    """Superblock, descriptors and bitmaps of an ext4 file system, and nothing else."""
    image = bytearray(blocks * 4096)
    struct.pack_into("<I", image, 1024 + 4, blocks)
    struct.pack_into("<I", image, 1024 + 32, blocks_per_group)
    struct.pack_into("<H", image, 1024 + 254, 64)
    for index, (flags, bitmap) in enumerate(groups):
        struct.pack_into("<I", image, 4096 + 64 * index, 2 + index)
        struct.pack_into("<H", image, 4096 + 64 * index + 18, flags)
        image[(2 + index) * 4096 :][: len(bitmap)] = bitmap
        start = (2 + index) * 4096
        image[start : start + len(bitmap)] = bitmap
    return image[: blocks * 4096]


def test_used_blocks_of_ext4_are_those_in_its_bitmaps_even_if_zero() -> None:
    image = ext4([(0, b"\x3f\x80"), (2, b"")], 16, 30)
    image[20 * 4096] = 1  # a copy of the superblock in a group without a bitmap
    assert filesystems.ext4_used(bytes(image)) == [
        (0, 6 * 4096), (15 * 4096, 16 * 4096), (20 * 4096, 21 * 4096),
    ]  # fmt: skip


def test_a_full_file_system_is_one_run() -> None:
    assert filesystems.ext4_used(bytes(ext4([(0, b"\xff\xff")], 16, 16))) == [(0, 16 * 4096)]
