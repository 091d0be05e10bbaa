# SPDX-License-Identifier: Apache-2.0
"""Compresses an image in zstd frames: one for each part, so a part that stays needs no work.

Frames one after the other are one zstd file (RFC 8878, section 3), which every reader takes.
"""

from __future__ import annotations

from collections.abc import Iterator

import zstandard

_CHUNK = 1 << 20


def frame(content: bytes, size_bytes: int, level: int) -> bytes:
    """One frame of ``content``, continued with zeros to ``size_bytes``."""
    options = zstandard.ZstdCompressionParameters.from_level(
        level, source_size=size_bytes, write_checksum=1, threads=0
    )
    compressor = zstandard.ZstdCompressor(compression_params=options).compressobj(size=size_bytes)
    return b"".join(compressor.compress(part) for part in _parts(content, size_bytes)) + (
        compressor.flush()
    )


def _parts(content: bytes, size_bytes: int) -> Iterator[bytes]:
    for at in range(0, len(content), _CHUNK):
        yield content[at : at + _CHUNK]
    zeros = bytes(_CHUNK)
    for at in range(len(content), size_bytes, _CHUNK):
        yield zeros[: min(_CHUNK, size_bytes - at)]
