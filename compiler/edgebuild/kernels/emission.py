# SPDX-License-Identifier: Apache-2.0
"""What the worker hands on: kernels with their symbols, and the constants as one blob."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

ALIGNMENT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One C function of a kernel, to be run over [0, tasks) before the next one starts.

    ``grain``: how many tasks a core takes at a time; 0: the caller does them all.
    """

    symbol: str
    tasks: int
    grain: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """How Winograd's form computes a convolution: ``count`` tiles of ``side`` squared outputs.

    ``into`` and ``out``: vector operations to transform a tile, for each vector of its input's
    and of its output's channels. ``passes``: how often the weights are read.
    """

    side: int
    count: int
    into: int
    out: int
    passes: int


#: Memory that is a multiple of so many bytes apart takes the same places in a first cache of 64
#: sets of lines of 64 bytes.
SETS_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Strips:
    """How a depthwise convolution goes: tiles of ``columns`` outputs, the channels in ``parts``."""

    columns: int
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCode:
    """How one call is made: its phases, where its constants lie, and its scratch memory.

    ``input_bytes`` and ``output_bytes``: how far into them the kernel begins.
    ``digits``: products of 8 bits for each of float numbers, where those are computed so.
    """

    phases: tuple[Phase, ...]
    constants_offset: int  # -1: none
    constants_bytes: int
    scratch_bytes: int
    tiles: Tiles | Strips | None = None
    input_bytes: int = 0
    output_bytes: int = 0
    digits: int = 0


@dataclass(slots=True)
class ConstantPool:
    """Read-only data; equal bytes are kept once, every entry is 64-byte aligned."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    _known: dict[bytes, int] = field(default_factory=dict)

    def add(self, data: bytes) -> int:
        """Returns the offset of ``data``; -1 when there is none."""
        if not data:
            return -1
        digest = hashlib.sha256(data).digest()
        if digest not in self._known:
            self._known[digest] = self.size
            padding = -len(data) % ALIGNMENT
            self.parts.append(data + bytes(padding))
            self.size += len(data) + padding
        return self._known[digest]

    def bytes(self) -> bytes:
        return b"".join(self.parts)


def total_scratch(codes: Sequence[CallCode]) -> list[int]:
    return [code.scratch_bytes for code in codes]
