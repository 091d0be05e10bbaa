# SPDX-License-Identifier: Apache-2.0
"""Read a flatbuffer that a stranger wrote: every offset is checked before it is followed.

Generated accessors trust the file; here each read is a bounds-checked slice, vectors are views of
the file (never copies), and no loop runs longer than a vector that fits into the file.
Layout: https://flatbuffers.dev/internals
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.errors.kernels import MODEL_MALFORMED

_TABLE_LIMIT = 200_000
_TEXT_LIMIT = 1024


class Table:
    """A table at ``position`` of ``data``; slots are field numbers of the schema."""

    __slots__ = ("_data", "_fields", "_position")

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position
        vtable = position - _read(data, position, "<i")
        size = _read(data, vtable, "<H")
        if size < 4 or size % 2 or vtable + size > len(data):
            raise MODEL_MALFORMED("a table's field list leaves the file", where=f"byte {vtable}")
        self._fields = struct.unpack_from(f"<{(size - 4) // 2}H", data, vtable + 4)

    def _field(self, slot: int) -> int | None:
        offset = self._fields[slot] if slot < len(self._fields) else 0
        return self._position + offset if offset else None

    def number(self, slot: int, form: str = "<i", default: float = 0) -> Any:
        """A scalar in ``struct`` notation."""
        at = self._field(slot)
        return default if at is None else _read(self._data, at, form)

    def _target(self, slot: int) -> int | None:
        at = self._field(slot)
        return None if at is None else at + int(_read(self._data, at, "<I"))

    def table(self, slot: int) -> Table | None:
        at = self._target(slot)
        return None if at is None else Table(self._data, at)

    def vector(self, slot: int, dtype: str) -> NDArray[Any]:
        """A vector of scalars, as a read-only view; empty when absent."""
        at = self._target(slot)
        if at is None:
            return np.zeros(0, dtype)
        count = int(_read(self._data, at, "<I"))
        if at + 4 + count * np.dtype(dtype).itemsize > len(self._data):
            raise MODEL_MALFORMED("a vector leaves the file", where=f"byte {at}")
        return np.frombuffer(self._data, dtype, count, at + 4)

    def tables(self, slot: int) -> list[Table]:
        """A vector of tables. Raises when it is longer than any real model's."""
        at = self._target(slot)
        if at is None:
            return []
        offsets = self.vector(slot, "<u4")
        if len(offsets) > _TABLE_LIMIT:
            raise MODEL_MALFORMED(f"a list has {len(offsets)} entries", where=f"byte {at}")
        return [
            Table(self._data, at + 4 + 4 * number + int(offset))
            for number, offset in enumerate(offsets)
        ]

    def text(self, slot: int) -> str:
        """A string, cut at a length that no honest name reaches."""
        return self.vector(slot, "u1")[:_TEXT_LIMIT].tobytes().decode("utf-8", "replace")


def root(data: bytes, identifier: bytes) -> Table:
    """The root table of a file that carries ``identifier`` at byte 4."""
    if data[4:8] != identifier:
        raise MODEL_MALFORMED(f"the file does not carry the mark {identifier.decode()}")
    return Table(data, int(_read(data, 0, "<I")))


def _read(data: bytes, at: int, form: str) -> Any:
    if at < 0 or at + struct.calcsize(form) > len(data):
        raise MODEL_MALFORMED(
            "an offset leaves the file",
            where=f"byte {at} of {len(data)}",
            hint="the file may be truncated: fetch it again",
        )
    return struct.unpack_from(form, data, at)[0]
