# SPDX-License-Identifier: Apache-2.0
"""Edits a flattened device tree (Devicetree specification 0.4, chapter 5), for the lab only."""

from __future__ import annotations

import struct
from collections.abc import Collection

from edgebuild.errors.images import IMAGE_UNREADABLE

_MAGIC = 0xD00DFEED
_BEGIN, _END, _PROPERTY, _NOP, _LAST = 1, 2, 3, 4, 9
_DISABLED = b"disabled\0"


def edit(tree: bytes, *, disable: Collection[str], drop: Collection[str]) -> bytes:
    """The tree with every node disabled that is compatible with one of ``disable``, and without
    the properties named in ``drop``. Raises E454."""
    try:
        return _edit(tree, {word.encode() for word in disable}, {word.encode() for word in drop})
    except (struct.error, ValueError) as error:
        raise IMAGE_UNREADABLE("the device tree is damaged") from error


def _edit(tree: bytes, disable: set[bytes], drop: set[bytes]) -> bytes:
    head = list(struct.unpack_from(">10I", tree))
    if head[0] != _MAGIC or len(tree) < head[1]:
        raise IMAGE_UNREADABLE("the device tree is damaged")
    at_structure, at_strings, structure_bytes = head[2], head[3], head[9]
    strings = tree[at_strings : at_strings + head[8]] + b"status\0"
    old = tree[at_structure : at_structure + structure_bytes]
    editor = _Editor(strings=strings, disable=disable, drop=drop | {b"status"})
    new = editor.run(old)
    # Header and memory reservations stay in front; both blocks follow, in their usual order.
    front = tree[:at_structure]
    head[1], head[3] = len(front) + len(new) + len(strings), len(front) + len(new)
    head[8], head[9] = len(strings), len(new)
    return struct.pack(">10I", *head) + front[40:] + new + strings


class _Editor:
    """Copies a structure block node by node; a node's properties come before its children."""

    def __init__(self, *, strings: bytes, disable: set[bytes], drop: set[bytes]) -> None:
        self._strings, self._disable, self._drop = strings, disable, drop
        self._out = bytearray()
        self._status: bytes | None = None  # of the node whose properties are being copied

    def run(self, old: bytes) -> bytes:
        """The new structure block."""
        at = 0
        while True:
            (token,) = struct.unpack_from(">I", old, at)
            end = at + 4
            if token == _PROPERTY:
                end = self._copy_property(old, at)
            elif token in (_BEGIN, _END, _LAST):
                self._end_properties()
                if token == _BEGIN:
                    end = _aligned(old.index(b"\0", at + 4) + 1)
                self._out += old[at:end]
            if token == _LAST:
                return bytes(self._out)
            at = end

    def _copy_property(self, old: bytes, at: int) -> int:
        size, name_at = struct.unpack_from(">II", old, at + 4)
        end = _aligned(at + 12 + size)
        name = self._strings[name_at : self._strings.index(b"\0", name_at)]
        value = old[at + 12 : at + 12 + size]
        if name not in self._drop:
            self._out += old[at:end]
        if name == b"compatible" and self._disable.intersection(value.split(b"\0")):
            self._status = _DISABLED
        if name == b"status" and self._status != _DISABLED:
            self._status = value
        return end

    def _end_properties(self) -> None:
        if self._status is not None:
            name = len(self._strings) - len(b"status\0")
            self._out += _property(name, self._status)
        self._status = None


def _property(name: int, value: bytes) -> bytes:
    return struct.pack(">III", _PROPERTY, len(value), name) + value + bytes(-len(value) % 4)


def _aligned(offset: int) -> int:
    return offset + -offset % 4
