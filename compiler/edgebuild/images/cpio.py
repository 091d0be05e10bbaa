# SPDX-License-Identifier: Apache-2.0
"""Writes an initramfs: the "newc" format of Linux's buffer-format documentation."""

from __future__ import annotations

from collections.abc import Iterable

from edgebuild.images.tree import EPOCH_S, Entry, ordered

_TYPE = {"file": 0o100000, "directory": 0o040000, "link": 0o120000, "console": 0o020000}
_TRAILER = "TRAILER!!!"


def archive(entries: Iterable[Entry]) -> bytes:
    """An uncompressed archive of the entries, sorted by path, with inode numbers from one."""
    out = bytearray()
    for inode, entry in enumerate(ordered(entries), start=1):
        data = entry.target.encode() if entry.kind == "link" else entry.data
        mode = _TYPE[entry.kind] | entry.mode
        device = (5, 1) if entry.kind == "console" else (0, 0)
        head = (inode, mode, entry.uid, entry.gid, 1, EPOCH_S, len(data), 0, 0, *device)
        _append(out, head, entry.path.lstrip("/"), data)
    _append(out, (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0), _TRAILER, b"")
    return bytes(out)


def _append(out: bytearray, fields: tuple[int, ...], name: str, data: bytes) -> None:
    encoded = name.encode() + b"\0"
    out += b"070701" + b"".join(b"%08X" % field for field in (*fields, len(encoded), 0))
    out += encoded
    out += bytes(-len(out) % 4)
    out += data
    out += bytes(-len(out) % 4)
