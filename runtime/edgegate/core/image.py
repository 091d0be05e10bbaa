# SPDX-License-Identifier: Apache-2.0
"""Pictures without a library: PNG (not interlaced), binary PGM and PPM, uncompressed BMP.

Sources of the formats: RFC 2083 and ISO/IEC 15948, Netpbm's pgm(5) and ppm(5), BITMAPINFOHEADER.
The size in the header must be exactly the one asked for, and is checked before anything is
unpacked, so that a small file cannot ask for much memory.
"""

import binascii
import struct

from .records import Record
from .tensors import Refused

try:
    import zlib
except ImportError:  # a port without it has no PNG
    zlib = None  # type: ignore[assignment]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# colour type → channels in the file; 3 is an index into the palette
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


class Picture(Record):
    """`data`: rows of pixels, `channels` bytes each: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""

    __slots__ = ("channels", "data")
    channels: int
    data: bytes


def decode(raw: bytes, width: int, height: int) -> Picture:
    """The picture of exactly this size; Refused says what is wrong."""
    if raw[:8] == PNG_SIGNATURE:
        return _png(raw, width, height)
    if raw[:2] in (b"P5", b"P6"):
        return _netpbm(raw, width, height)
    if raw[:2] == b"BM":
        return _bmp(raw, width, height)
    raise Refused("not a PNG, PGM, PPM or BMP picture")


def convert(picture: Picture, channels: int) -> bytes:
    """To grey (luma of ITU-R BT.601, rounded) or RGB; alpha is dropped."""
    data = picture.data
    have = picture.channels
    if have in (2, 4):
        data = _drop_last(data, have)
        have -= 1
    if have == channels:
        return data
    if channels == 3:
        return interleave([data, data, data])
    out = bytearray(len(data) // 3)
    for index in range(len(out)):
        at = index * 3
        out[index] = (299 * data[at] + 587 * data[at + 1] + 114 * data[at + 2] + 500) // 1000
    return bytes(out)


def _drop_last(data: bytes, have: int) -> bytes:
    return interleave([every(data, plane, have) for plane in range(have - 1)])


def every(data: bytes, first: int, step: int) -> bytes:
    """Each `step`-th byte; a slice with a step is not portable."""
    return bytes([data[index] for index in range(first, len(data), step)])


def interleave(planes: list[bytes]) -> bytes:
    """The first byte of each plane, then the second of each, and so on."""
    count = len(planes)
    out = bytearray(len(planes[0]) * count)
    for plane in range(count):
        source = planes[plane]
        at = plane
        for octet in source:
            out[at] = octet
            at += count
    return bytes(out)


def _check_size(found: "tuple[int, int]", width: int, height: int) -> None:
    if found != (width, height):
        raise Refused(
            "expected a picture of %dx%d pixels, got %dx%d" % (width, height, found[0], found[1])
        )


# --- PNG ------------------------------------------------------------------------------------


def _chunks(raw: bytes) -> "list[tuple[bytes, bytes]]":
    """(type, content) up to IEND, each with its checksum verified."""
    found = []
    at = 8
    while at + 12 <= len(raw):
        length = struct.unpack(">I", raw[at : at + 4])[0]
        kind = raw[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(raw):
            break
        if binascii.crc32(raw[at + 4 : end]) != struct.unpack(">I", raw[end : end + 4])[0]:
            raise Refused("PNG: wrong checksum")
        found.append((kind, raw[at + 8 : end]))
        if kind == b"IEND":
            return found
        at = end + 4
    raise Refused("PNG: cut short")


def _png(raw: bytes, width: int, height: int) -> Picture:
    if zlib is None:
        raise Refused("PNG is not understood here; send PPM or BMP")
    chunks = _chunks(raw)
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise Refused("PNG: no header")
    wide, high, depth, colour, _method, _filter, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    _check_size((wide, high), width, height)
    if depth != 8 or colour not in _PNG_CHANNELS or interlace != 0:
        raise Refused("PNG: only 8 bits per channel, not interlaced")
    channels = _PNG_CHANNELS[colour]
    packed = b"".join([content for kind, content in chunks if kind == b"IDAT"])
    need = (width * channels + 1) * height
    try:
        rows = zlib.decompressobj().decompress(packed, need)
    except zlib.error:
        raise Refused("PNG: damaged data") from None
    if len(rows) != need:
        raise Refused("PNG: too little data")
    data = _unfilter(rows, width * channels, height, channels)
    if colour != 3:
        return Picture(channels=channels, data=data)
    palettes = [content for kind, content in chunks if kind == b"PLTE"]
    return Picture(channels=3, data=_from_palette(data, palettes))


def _from_palette(data: bytes, palettes: list[bytes]) -> bytes:
    if not palettes or (max(data) + 1) * 3 > len(palettes[0]):
        raise Refused("PNG: palette too short")
    return b"".join([palettes[0][index * 3 : index * 3 + 3] for index in data])


def _unfilter(rows: bytes, stride: int, height: int, step: int) -> bytes:
    """Undo the filter of each row (ISO/IEC 15948 §9); `step` is the bytes of a pixel."""
    out = bytearray(stride * height)
    above = bytes(stride)
    for row in range(height):
        at = row * (stride + 1)
        line = bytearray(rows[at + 1 : at + 1 + stride])
        _unfilter_row(rows[at], line, above, step)
        out[row * stride : (row + 1) * stride] = line
        above = bytes(line)
    return bytes(out)


def _unfilter_row(kind: int, line: bytearray, above: bytes, step: int) -> None:
    if kind > 4:
        raise Refused("PNG: unknown filter")
    if kind == 0:
        return
    for index in range(len(line)):
        left = line[index - step] if index >= step else 0
        corner = above[index - step] if index >= step else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = above[index]
        elif kind == 3:
            guess = (left + above[index]) // 2
        else:
            guess = _paeth(left, above[index], corner)
        line[index] = (line[index] + guess) & 255


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    to_left = abs(guess - left)
    to_above = abs(guess - above)
    to_corner = abs(guess - corner)
    if to_left <= to_above and to_left <= to_corner:
        return left
    return above if to_above <= to_corner else corner


# --- Netpbm, BMP ----------------------------------------------------------------------------


def _netpbm(raw: bytes, width: int, height: int) -> Picture:
    """P5 (grey) or P6 (RGB), 8 bits; comments are allowed between the numbers."""
    numbers: list[int] = []
    at = 2
    while len(numbers) < 3:
        token = b""
        while raw[at : at + 1] in (b" ", b"\t", b"\r", b"\n", b"#"):
            if raw[at : at + 1] == b"#":
                while at < len(raw) and raw[at : at + 1] != b"\n":
                    at += 1
            at += 1
        while b"0" <= raw[at : at + 1] <= b"9" and len(token) < 6:
            token += raw[at : at + 1]
            at += 1
        if not token:
            raise Refused("PPM: malformed header")
        numbers.append(int(token))
    _check_size((numbers[0], numbers[1]), width, height)
    if numbers[2] != 255:
        raise Refused("PPM: only 8 bits per channel")
    channels = 3 if raw[:2] == b"P6" else 1
    data = raw[at + 1 :]
    if len(data) != width * height * channels:
        raise Refused("PPM: expected %d bytes of pixels" % (width * height * channels))
    return Picture(channels=channels, data=data)


def _bmp(raw: bytes, width: int, height: int) -> Picture:
    """24 or 32 bits, rows from the bottom up, or from the top down when the height is negative."""
    if len(raw) < 54:
        raise Refused("BMP: cut short")
    start = struct.unpack("<I", raw[10:14])[0]
    wide, high, _planes, bits, packing = struct.unpack("<iiHHI", raw[18:34])
    _check_size((wide, abs(high)), width, height)
    if bits not in (24, 32) or packing != 0:
        raise Refused("BMP: only 24 or 32 bits, uncompressed")
    step = bits // 8
    stride = (width * step + 3) // 4 * 4
    if start + stride * height > len(raw):
        raise Refused("BMP: cut short")
    rows = []
    for row in range(height):
        at = start + stride * (row if high < 0 else height - 1 - row)
        line = raw[at : at + width * step]
        rows.append(interleave([every(line, plane, step) for plane in (2, 1, 0)]))
    return Picture(channels=3, data=b"".join(rows))
