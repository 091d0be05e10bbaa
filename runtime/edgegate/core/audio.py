# SPDX-License-Identifier: Apache-2.0
"""Sound without a library: WAV (RIFF), PCM of 8 or 16 bits, one channel."""

import struct

from .tensors import Refused


def samples(raw: bytes, count: int) -> "tuple[int, ...]":
    """Exactly `count` samples as 16-bit numbers; Refused says what is wrong."""
    if raw[:4] != b"RIFF" or raw[8:12] != b"WAVE":
        raise Refused("not a WAV file")
    chunks = _chunks(raw)
    if b"fmt " not in chunks or b"data" not in chunks or len(chunks[b"fmt "]) < 16:
        raise Refused("WAV: no format or no data")
    coding, channels, _rate, _bytes, _align, bits = struct.unpack("<HHIIHH", chunks[b"fmt "][:16])
    if coding != 1 or channels != 1 or bits not in (8, 16):
        raise Refused("WAV: only PCM of 8 or 16 bits with one channel")
    data = chunks[b"data"]
    if len(data) * 8 != count * bits:
        raise Refused("WAV: expected %d samples, got %d" % (count, len(data) * 8 // bits))
    if bits == 8:
        return tuple([(octet - 128) * 256 for octet in data])
    return struct.unpack("<%dh" % count, data)


def _chunks(raw: bytes) -> dict:
    """Name → content; the last of a name counts."""
    found = {}
    at = 12
    while at + 8 <= len(raw):
        length = struct.unpack("<I", raw[at + 4 : at + 8])[0]
        found[raw[at : at + 4]] = raw[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    return found
