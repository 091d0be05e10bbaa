# SPDX-License-Identifier: Apache-2.0
"""Tensors on the wire: JSON numbers and base64 to raw little-endian bytes, and back.

A tensor's values are its *stored* values: an int8 tensor takes and gives -128 to 127, whatever
scale and zero point make of them. `dequantised` gives the real values beside them.
"""

import struct

from . import base64text

# name → (bytes per value, struct letter, lowest, highest)
INTEGERS = {
    "int8": (1, "b", -128, 127),
    "uint8": (1, "B", 0, 255),
    "int16": (2, "h", -32768, 32767),
    "uint16": (2, "H", 0, 65535),
    "int32": (4, "i", -2147483648, 2147483647),
    "uint32": (4, "I", 0, 4294967295),
    "int64": (8, "q", -9223372036854775808, 9223372036854775807),
    "uint64": (8, "Q", 0, 18446744073709551615),
    "bool": (1, "B", 0, 1),
}

# name → (bytes per value, struct letter, largest magnitude)
REALS = {
    "float32": (4, "f", 3.402823567797336e38),  # what rounds to the largest float32
    "float64": (8, "d", 1.7976931348623157e308),
}


class Refused(Exception):
    """An argument that is no tensor of this shape and type; the text is for the caller."""


def value_bytes(dtype: str) -> int:
    """Bytes of one value; 0 for a type that is not served."""
    if dtype in REALS:
        return REALS[dtype][0]
    return INTEGERS[dtype][0] if dtype in INTEGERS else 0


def elements(shape: list[int]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def shapes(shape: list[int]) -> list[list[int]]:
    """The nestings that are understood: flat, as declared, and without leading ones."""
    bare = list(shape)
    while len(bare) > 1 and bare[0] == 1:
        bare = bare[1:]
    found = [[elements(shape)]]
    for candidate in (bare, list(shape)):
        if candidate and candidate not in found:
            found.append(candidate)
    return found


def flatten(values: list[object], shape: list[int]) -> list[object]:
    """Nested lists to one flat list; Refused names the count or the nesting that is wrong."""
    count = elements(shape)
    if not values or type(values[0]) is not list:
        if len(values) != count:
            raise Refused("expected %d numbers, got %d" % (count, len(values)))
        return values
    depth = 1
    probe = values
    while probe and type(probe[0]) is list:
        probe = probe[0]
        depth += 1
    for candidate in shapes(shape):
        if len(candidate) == depth:
            flat: list[object] = []
            _gather(values, candidate, 0, flat)
            return flat
    raise Refused("expected %s, got %d levels of arrays" % (shape_text(shape), depth))


def _gather(values: object, shape: list[int], level: int, flat: list[object]) -> None:
    if type(values) is not list or len(values) != shape[level]:
        raise Refused("expected an array of shape %s" % shape_text(shape))
    if level == len(shape) - 1:
        flat.extend(values)
        return
    for inner in values:
        _gather(inner, shape, level + 1, flat)


def shape_text(shape: list[int]) -> str:
    return "x".join([str(extent) for extent in shape]) or "scalar"


def pack_integers(values: list[object], dtype: str) -> bytes:
    """Stored integers to bytes; Refused names the first value that is none or out of range."""
    size, letter, low, high = INTEGERS[dtype]
    if size == 1:
        return pack_octets(values, low, high)
    for index in range(len(values)):
        value = values[index]
        if type(value) is not int or not low <= value <= high:
            raise _bad_integer(index, value, low, high)
    return struct.pack("<%d%s" % (len(values), letter), *values)


def pack_octets(values: list[object], low: int, high: int) -> bytes:
    """As `pack_integers` for types of one byte; a loop of its own, which Cython makes fast."""
    count = len(values)
    packed = bytearray(count)
    index = 0
    try:
        for index in range(count):
            value = values[index]
            if type(value) is not int:
                raise _bad_integer(index, value, low, high)
            small = value
            if not low <= small <= high:
                raise _bad_integer(index, value, low, high)
            packed[index] = small & 255
    except OverflowError:  # only machine code has numbers that are too small for it
        raise _bad_integer(index, values[index], low, high) from None
    return bytes(packed)


def _bad_integer(index: int, value: object, low: int, high: int) -> Refused:
    if type(value) is int:
        return Refused("number %d is %d, outside %d to %d" % (index, value, low, high))
    return Refused("number %d is not an integer" % index)


def pack_reals(values: list[object], dtype: str) -> bytes:
    """Numbers to IEEE bytes; Refused names the first that is no number or too large."""
    _size, letter, limit = REALS[dtype]
    index = check_reals(values, limit)
    if index < len(values):
        value = values[index]
        if type(value) is not float and type(value) is not int:
            raise Refused("number %d is not a number" % index)
        raise Refused("number %d is too large for %s" % (index, dtype))
    return struct.pack("<%d%s" % (len(values), letter), *values)


def check_reals(values: list[object], limit: float) -> int:
    """Index of the first that is no number or too large; their count when there is none."""
    index = 0
    try:
        for index in range(len(values)):
            value = values[index]
            if type(value) is not float and type(value) is not int:
                return index
            real = value
            if not -limit <= real <= limit:
                return index
    except OverflowError:  # only machine code has numbers that are too large for it
        return index
    return len(values)


def from_numbers(values: list[object], shape: list[int], dtype: str) -> bytes:
    flat = flatten(values, shape)
    if dtype in REALS:
        return pack_reals(flat, dtype)
    return pack_integers(flat, dtype)


def from_base64(text: str, size: int) -> bytes:
    """Raw tensor bytes; the length is checked before anything is decoded."""
    if base64text.decoded_bytes(text) != size:
        raise Refused(
            "expected base64 of %d bytes, got text for %d" % (size, base64text.decoded_bytes(text))
        )
    data = base64text.decode(text)
    if data is None:
        raise Refused("not valid base64")
    return data


def numbers(data: bytes, dtype: str) -> "tuple[float | int, ...]":
    """The stored values of raw little-endian bytes."""
    letter = REALS[dtype][1] if dtype in REALS else INTEGERS[dtype][1]
    return struct.unpack("<%d%s" % (len(data) // value_bytes(dtype), letter), data)


def finite(values: "tuple[float | int, ...]") -> bool:
    """Whether JSON can say all of them: NaN and infinities differ from themselves minus zero."""
    for value in values:
        if value - value != 0:
            return False
    return True


def text(values: "tuple[float | int, ...]", dtype: str) -> str:
    """Values as JSON numbers joined by commas; a float32 keeps its nine digits."""
    if dtype == "float32":
        return ",".join(["%.9g" % value for value in values])
    if dtype == "float64":
        return ",".join(["%.17g" % value for value in values])
    return ",".join([str(value) for value in values])


def dequantised(values: "tuple[float | int, ...]", scale: float, zero_point: int) -> "list[float]":
    return [(value - zero_point) * scale for value in values]
