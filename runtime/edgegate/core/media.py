# SPDX-License-Identifier: Apache-2.0
"""Content blocks (image, audio) to raw tensor bytes.

Pixels and samples map linearly to the tensor's values. An integer tensor takes them by its own
range unless the configuration says what real values the model wants (`pixel_range`); a float
tensor takes pixels as 0..1 and samples as -1..1.
"""

import struct

from . import audio, base64text, image, tensors
from .model import Tensor
from .tensors import Refused

# An encoded picture may be larger than its pixels, but not by more than this.
OVERHEAD_BYTES = 65536

# pixel_range → real value of pixel 0, and of one step
RANGES = {
    "0..255": (0.0, 1.0),
    "0..1": (0.0, 1.0 / 255.0),
    "-1..1": (-1.0, 2.0 / 255.0),
}


def unsuitable(tensor: Tensor) -> "str | None":
    """Why this tensor cannot be given as its content says; None when it can."""
    if tensor.content == "tensor":
        return None
    if tensor.content == "image" and picture_layout(tensor.shape) is None:
        return "its shape is not that of a picture"
    if tensor.dtype in tensors.REALS:
        return None
    if tensor.dtype not in (("int8", "uint8") if tensor.content == "image" else ("int8", "int16")):
        return "its type is " + tensor.dtype
    if tensor.pixel_range is not None and tensor.scale is None:
        return "it has no scale"
    return None


def decode(tensor: Tensor, block: dict) -> bytes:
    """The tensor that a content block stands for; Refused says what is wrong with it."""
    kind = block.get("type")
    if kind != tensor.content:
        raise Refused("expected a content block of type '%s'" % tensor.content)
    data = block.get("data")
    if not isinstance(data, str):
        raise Refused("data must be base64 text")
    if base64text.decoded_bytes(data) > 8 * tensor.count + OVERHEAD_BYTES:
        raise Refused("data is larger than any %s that fits this tensor" % kind)
    raw = base64text.decode(data)
    if raw is None:
        raise Refused("data is not valid base64")
    if kind == "audio":
        return from_samples(tensor, audio.samples(raw, tensor.count))
    return from_pixels(tensor, pixels(tensor, raw))


def pixels(tensor: Tensor, raw: bytes) -> bytes:
    """Pixels in the tensor's order: rows, columns, channels; or channels first."""
    layout = picture_layout(tensor.shape)
    assert layout is not None  # `unsuitable` saw to it at start
    height, width, channels, planar = layout
    found = image.convert(image.decode(raw, width, height), channels)
    if planar and channels > 1:
        return b"".join([image.every(found, plane, channels) for plane in range(channels)])
    return found


def picture_layout(shape: list[int]) -> "tuple[int, int, int, bool] | None":
    """(height, width, channels, channels first) of a tensor that can hold one picture."""
    bare = list(shape)
    while len(bare) > 3 and bare[0] == 1:
        bare = bare[1:]
    if len(bare) == 3 and bare[0] == 1 and bare[2] not in (1, 3):
        bare = bare[1:]
    if len(bare) == 2:
        return (bare[0], bare[1], 1, False)
    if len(bare) == 3 and bare[2] in (1, 3):
        return (bare[0], bare[1], bare[2], False)
    if len(bare) == 3 and bare[0] == 3:
        return (bare[1], bare[2], 3, True)
    return None


def from_pixels(tensor: Tensor, found: bytes) -> bytes:
    """Pixels 0 to 255 to stored values."""
    name = tensor.pixel_range
    if name is None and tensor.dtype == "uint8":
        return found
    if name is None and tensor.dtype == "int8":
        return stored_by_table(found, [(pixel - 128) & 255 for pixel in range(256)])
    first, step = RANGES[name or "0..1"]
    reals = [first + step * pixel for pixel in range(256)]
    if tensor.dtype in tensors.REALS:
        table = [struct.pack("<" + tensors.REALS[tensor.dtype][1], real) for real in reals]
        return b"".join([table[pixel] for pixel in found])
    return stored_by_table(found, [quantised(tensor, real) & 255 for real in reals])


def stored_by_table(found: bytes, table: list[int]) -> bytes:
    return bytes([table[pixel] for pixel in found])


def quantised(tensor: Tensor, real: float) -> int:
    """The nearest stored value, kept within the type's range."""
    _size, _letter, low, high = tensors.INTEGERS[tensor.dtype]
    scale = tensor.scale or 1.0
    return max(low, min(high, round(real / scale) + tensor.zero_point))


def from_samples(tensor: Tensor, found: "tuple[int, ...]") -> bytes:
    """16-bit samples to stored values."""
    dtype = tensor.dtype
    if dtype in tensors.REALS:
        values = [sample / 32768.0 for sample in found]
        return struct.pack("<%d%s" % (len(values), tensors.REALS[dtype][1]), *values)
    if dtype == "int16":
        return struct.pack("<%dh" % len(found), *found)
    return struct.pack("<%db" % len(found), *[sample >> 8 for sample in found])
