# SPDX-License-Identifier: Apache-2.0
"""Writes a block map (bmap 2.0): which blocks of an image have to be written to a medium.

Law: what is not mapped may hold anything at all afterwards. So a block is mapped when it is
used, not when it is other than zero: an old medium has old data where the image has zeros.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

BLOCK = 4096
_HEAD = """\
<?xml version="1.0" ?>
<!-- Write the image with: bmaptool copy IMAGE DEVICE. Format: bmap-tools, version 2.0. -->
<bmap version="2.0">
    <ImageSize> {size} </ImageSize>
    <BlockSize> {block} </BlockSize>
    <BlocksCount> {blocks} </BlocksCount>
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> {checksum} </BmapFileChecksum>
    <BlockMap>
{ranges}    </BlockMap>
</bmap>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Blocks ``first`` to ``last``, both included, and the SHA-256 of their bytes."""

    first: int
    last: int
    sha256: str


def digest_range(offset: int, content: bytes) -> Range:
    """The range that ``content`` covers; ``offset`` in bytes, a multiple of the block size."""
    blocks = -(-len(content) // BLOCK)
    padded = hashlib.sha256(content.ljust(blocks * BLOCK, b"\0")).hexdigest()
    return Range(first=offset // BLOCK, last=offset // BLOCK + blocks - 1, sha256=padded)


def render(size_bytes: int, ranges: Iterable[Range]) -> str:
    """The XML; its own checksum is taken with the checksum's digits as zeros."""
    listed = sorted(ranges, key=lambda item: item.first)
    lines = "".join(
        f'        <Range chksum="{item.sha256}"> {item.first}'
        f"{'' if item.first == item.last else f'-{item.last}'} </Range>\n"
        for item in listed
    )
    facts = {
        "size": size_bytes,
        "block": BLOCK,
        "blocks": -(-size_bytes // BLOCK),
        "mapped": sum(item.last - item.first + 1 for item in listed),
        "ranges": lines,
    }
    blank = _HEAD.format(checksum="0" * 64, **facts)
    return _HEAD.format(checksum=hashlib.sha256(blank.encode()).hexdigest(), **facts)
