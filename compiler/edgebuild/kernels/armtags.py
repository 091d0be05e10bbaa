# SPDX-License-Identifier: Apache-2.0
"""The build attribute of Arm's objects that says how floats are passed.

No function of a bundle takes or returns a float, so it can be called by programs of either
convention, whichever its own code was compiled for: Tag_ABI_VFP_args gets the value for that.
Source: Addenda to, and Errata in, the ABI for the Arm Architecture, 2.2 (format), 2.3.5.9 (tags).
"""

from __future__ import annotations

from edgebuild.kernels.elf import leb128

_VENDOR = b"aeabi\0"
_ARGUMENTS, _REGISTERS, _EITHER = 28, 1, 3
_FILE = 1
_TEXTS = (4, 5)  # tags whose values are texts, as are those of odd tags over 32
_BOTH = 32  # Tag_compatibility: a number and a text


def callable_by_either(data: bytes) -> bytes:
    """The object file with its tag changed, if it says that floats are passed in registers."""
    mark = data.find(b"A")
    while mark >= 0:
        at = _value_of(data, mark)
        if at is not None:
            return data[:at] + bytes([_EITHER]) + data[at + 1 :]
        mark = data.find(b"A", mark + 1)
    return data


def _value_of(data: bytes, mark: int) -> int | None:
    """Where the tag's value stands, in attributes whose version byte is at ``mark``."""
    vendor = mark + 5
    if data[vendor : vendor + len(_VENDOR)] != _VENDOR:
        return None
    at = vendor + len(_VENDOR)
    if data[at] != _FILE:
        return None
    end = at + int.from_bytes(data[at + 1 : at + 5], "little")
    at += 5
    while at < end:
        tag, at = leb128(data, at)
        if tag == _ARGUMENTS:
            return at if data[at] == _REGISTERS else None
        text = tag in _TEXTS or (tag > _BOTH and tag % 2 == 1)
        if not text:
            _, at = leb128(data, at)
        if text or tag == _BOTH:
            at = data.index(0, at) + 1
    return None
