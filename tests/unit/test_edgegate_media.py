# SPDX-License-Identifier: Apache-2.0
"""Pictures and sounds to tensors."""

import base64
import contextlib
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.core import audio, image, media
from edgegate.core.model import Tensor
from edgegate.core.tensors import Refused

# 3 columns, 2 rows
PIXELS = bytes(range(0, 180, 10))


def tensor(**fields: Any) -> Tensor:
    values: dict[str, Any] = {
        "name": "x",
        "shape": [1, 2, 3, 3],
        "dtype": "uint8",
        "count": 18,
        "bytes": 18,
        "content": "image",
        "pixel_range": None,
        "scale": None,
        "zero_point": 0,
    }
    return Tensor(**{**values, **fields})


def chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(
    width: int,
    height: int,
    colour: int,
    rows: bytes,
    *,
    depth: int = 8,
    interlace: int = 0,
    palette: bytes = b"",
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    middle = chunk(b"PLTE", palette) if palette else b""
    return (
        image.PNG_SIGNATURE
        + chunk(b"IHDR", header)
        + middle
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def filtered(data: bytes, stride: int, step: int, kinds: list[int]) -> bytes:
    """The rows with each row's filter applied (ISO/IEC 15948 §9.2), as an encoder does it."""
    out = b""
    for row, kind in enumerate(kinds):
        line = data[row * stride : (row + 1) * stride]
        above = data[(row - 1) * stride : row * stride] if row else bytes(stride)
        out += bytes([kind])
        for index, value in enumerate(line):
            left = line[index - step] if index >= step else 0
            corner = above[index - step] if index >= step else 0
            up = above[index]
            estimate = left + up - corner
            paeth = min((left, up, corner), key=lambda near: abs(estimate - near))
            out += bytes([(value - [0, left, up, (left + up) // 2, paeth][kind]) & 255])
    return out


def ppm(data: bytes = PIXELS, head: bytes = b"P6\n# a comment\n3 2\n255\n") -> bytes:
    return head + data


def bmp(bits: int = 24, height: int = 2, packing: int = 0) -> bytes:
    rows = []
    for row in range(2):
        line = b""
        for column in range(3):
            red, green, blue = PIXELS[row * 9 + column * 3 : row * 9 + column * 3 + 3]
            line += bytes([blue, green, red]) + b"\xaa" * (bits // 8 - 3)
        rows.append(line + b"\0" * (-len(line) % 4))
    if height > 0:
        rows.reverse()
    header = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, 3, height, 1, bits, packing, 0, 0, 0, 0, 0)
    return header + info + b"".join(rows)


@pytest.mark.parametrize(
    "raw",
    [
        ppm(),
        bmp(),
        bmp(bits=32),
        bmp(height=-2),
        png(3, 2, 2, filtered(PIXELS, 9, 3, [0, 0])),
        png(3, 2, 3, b"\0\0\1\2\0\3\4\5", palette=PIXELS),
        png(
            3,
            2,
            6,
            b"".join(
                b"\0"
                + b"".join(PIXELS[r * 9 + c * 3 : r * 9 + c * 3 + 3] + b"\x80" for c in range(3))
                for r in range(2)
            ),
        ),
    ],
)
def test_every_format_gives_the_same_pixels(raw: bytes) -> None:
    assert image.convert(image.decode(raw, 3, 2), 3) == PIXELS


@given(
    data=st.binary(min_size=24, max_size=24),
    kinds=st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_png_filters_are_undone(data: bytes, kinds: list[int]) -> None:
    raw = png(2, 4, 2, filtered(data, 6, 3, kinds))
    assert image.decode(raw, 2, 4).data == data


def test_colours_are_converted() -> None:
    grey = image.Picture(channels=1, data=b"\x05\x06")
    assert image.convert(grey, 3) == b"\5\5\5\6\6\6"
    assert image.convert(image.Picture(channels=2, data=b"\x05\x80\x06\x80"), 1) == b"\5\6"
    colours = image.Picture(channels=3, data=b"\xff\0\0\0\xff\0\0\0\xff\xff\xff\xff")
    assert image.convert(colours, 1) == bytes([76, 150, 29, 255])


GOOD = png(3, 2, 2, filtered(PIXELS, 9, 3, [1, 2]))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not a PNG, PGM, PPM or BMP"),
        (b"\xff\xd8\xff\xe0 jpeg", "not a PNG, PGM, PPM or BMP"),
        (GOOD[:-20], "cut short"),
        (GOOD[:20] + b"\x01" + GOOD[21:], "wrong checksum"),
        (image.PNG_SIGNATURE + chunk(b"IEND", b""), "no header"),
        (png(3, 3, 2, b""), "expected a picture of 3x2 pixels, got 3x3"),
        (png(3, 2, 2, b"", depth=16), "only 8 bits"),
        (png(3, 2, 2, b"", interlace=1), "not interlaced"),
        (png(3, 2, 5, b""), "only 8 bits"),
        (png(3, 2, 2, b"\0"), "too little data"),
        (png(3, 2, 2, b"\x05" + bytes(19)), "unknown filter"),
        (png(3, 2, 3, b"\0\0\1\2\0\3\4\6", palette=PIXELS), "palette too short"),
        (png(3, 2, 3, bytes(8)), "palette too short"),
        (
            image.PNG_SIGNATURE
            + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", b"xxxx")
            + chunk(b"IEND", b""),
            "damaged data",
        ),
        (ppm(head=b"P6 3 2 65535\n"), "only 8 bits"),
        (ppm(head=b"P6 3 x 255\n"), "malformed header"),
        (ppm(head=b"P6 4 2 255\n"), "got 4x2"),
        (ppm(data=b"abc"), "expected 18 bytes"),
        (b"P6", "malformed header"),
        (b"P6#", "malformed header"),
        (bmp()[:50], "cut short"),
        (bmp()[:-1], "cut short"),
        (bmp(packing=1), "uncompressed"),
    ],
)
def test_bad_pictures_are_refused(raw: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        image.decode(raw, 3, 2)


def test_a_port_without_zlib_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "zlib", None)
    with pytest.raises(Refused, match="send PPM or BMP"):
        image.decode(GOOD, 3, 2)


@given(st.binary(max_size=80), st.sampled_from([b"", b"P6", b"BM", image.PNG_SIGNATURE, GOOD]))
def test_any_bytes_are_a_picture_or_refused(data: bytes, start: bytes) -> None:
    with contextlib.suppress(Refused):
        image.decode(start + data, 3, 2)


def block(raw: bytes, kind: str = "image") -> dict[str, Any]:
    return {"type": kind, "data": base64.b64encode(raw).decode()}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, PIXELS),
        ({"dtype": "int8"}, bytes((value - 128) & 255 for value in PIXELS)),
        ({"dtype": "float32"}, struct.pack("<18f", *[value * (1 / 255) for value in PIXELS])),
        (
            {"dtype": "float32", "pixel_range": "0..255"},
            struct.pack("<18f", *PIXELS),
        ),
        (
            {"dtype": "float64", "pixel_range": "-1..1"},
            struct.pack("<18d", *[-1 + 2 / 255 * value for value in PIXELS]),
        ),
        (
            {"dtype": "int8", "pixel_range": "0..255", "scale": 1.0, "zero_point": -128},
            bytes((value - 128) & 255 for value in PIXELS),
        ),
        (
            {"dtype": "uint8", "pixel_range": "0..1", "scale": 0.001, "zero_point": 3},
            bytes(min(255, round(value / 255 / 0.001) + 3) for value in PIXELS),
        ),
    ],
)
def test_pixels_become_stored_values(fields: dict[str, Any], expected: bytes) -> None:
    assert media.decode(tensor(**fields), block(ppm())) == expected


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ([1, 32, 32, 3], (32, 32, 3, False)),
        ([1, 3, 32, 30], (32, 30, 3, True)),
        ([28, 28], (28, 28, 1, False)),
        ([1, 28, 28], (28, 28, 1, False)),
        ([28, 28, 1], (28, 28, 1, False)),
        ([1, 1, 2, 3], (1, 2, 3, False)),
        ([640], None),
        ([1, 640], (1, 640, 1, False)),
        ([2, 3, 4, 5], None),
        ([4, 5, 6], None),
    ],
)
def test_which_shapes_are_pictures(shape: list[int], layout: object) -> None:
    assert media.picture_layout(shape) == layout


def test_planes_are_split_for_channels_first() -> None:
    found = media.pixels(tensor(shape=[1, 3, 2, 4]), ppm(bytes(range(24)), b"P6 4 2 255\n"))
    assert found == bytes([*range(0, 24, 3), *range(1, 24, 3), *range(2, 24, 3)])


@pytest.mark.parametrize(
    ("fields", "given_block", "words"),
    [
        ({}, {"type": "audio", "data": ""}, "expected a content block of type 'image'"),
        ({}, {"type": "image"}, "data must be base64 text"),
        ({}, {"type": "image", "data": "*"}, "not valid base64"),
        ({}, {"type": "image", "data": "A" * 100000}, "larger than any image"),
    ],
)
def test_bad_blocks_are_refused(
    fields: dict[str, Any], given_block: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        media.decode(tensor(**fields), given_block)


def wav(
    data: bytes, *, coding: int = 1, channels: int = 1, bits: int = 16, extra: bytes = b""
) -> bytes:
    form = struct.pack("<HHIIHH", coding, channels, 16000, 0, 0, bits)
    body = b"WAVE" + extra + b"fmt " + struct.pack("<I", 16) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


SAMPLES = (-32768, 0, 255, 32767)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("int16", struct.pack("<4h", *SAMPLES)),
        ("int8", struct.pack("<4b", -128, 0, 0, 127)),
        ("float32", struct.pack("<4f", -1, 0, 255 / 32768, 32767 / 32768)),
    ],
)
def test_samples_become_stored_values(dtype: str, expected: bytes) -> None:
    sound = tensor(shape=[1, 4], count=4, dtype=dtype, content="audio")
    raw = wav(struct.pack("<4h", *SAMPLES), extra=b"LIST" + struct.pack("<I", 3) + b"abc\0")
    assert media.decode(sound, block(raw, "audio")) == expected


def test_eight_bit_samples_are_widened() -> None:
    assert audio.samples(wav(b"\x00\x80\xff", bits=8), 3) == (-32768, 0, 32512)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not a WAV"),
        (b"RIFF\0\0\0\0WAVE", "no format"),
        (wav(b"\0" * 8, coding=3), "only PCM"),
        (wav(b"\0" * 8, channels=2), "only PCM"),
        (wav(b"\0" * 8, bits=24), "only PCM"),
        (wav(b"\0" * 6), "expected 4 samples, got 3"),
    ],
)
def test_bad_sounds_are_refused(raw: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        audio.samples(raw, 4)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_sound_or_refused(data: bytes) -> None:
    for raw in (data, wav(b"\0" * 8)[:36] + data):
        with contextlib.suppress(Refused):
            audio.samples(raw, 4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, None),
        ({"content": "tensor", "shape": [640]}, None),
        ({"shape": [18]}, "its shape is not that of a picture"),
        ({"dtype": "int32"}, "its type is int32"),
        ({"dtype": "int16", "pixel_range": "0..1"}, "its type is int16"),
        ({"pixel_range": "0..1"}, "it has no scale"),
        ({"pixel_range": "0..1", "scale": 0.1}, None),
        ({"dtype": "float64"}, None),
        ({"content": "audio", "dtype": "uint8"}, "its type is uint8"),
        ({"content": "audio", "dtype": "int16"}, None),
    ],
)
def test_unsuitable_tensors_are_found_at_start(fields: dict[str, Any], words: str | None) -> None:
    assert media.unsuitable(tensor(**fields)) == words
