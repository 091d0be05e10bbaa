# SPDX-License-Identifier: Apache-2.0
"""Applying unified diffs as dpkg-source does: no fuzz, offsets allowed, -p1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgebuild.errors.inputs import BAD_PATCH

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@")


@dataclass(slots=True, kw_only=True)
class _Hunk:
    start: int  # index of its first old line
    old: list[bytes] = field(default_factory=list)
    new: list[bytes] = field(default_factory=list)
    last: bytes = b""


def apply(diff: bytes, root: Path, name: str) -> None:
    """Apply all of a patch file to the tree. Raises E119 for the first hunk that does not fit."""
    try:
        for old, new, hunks in _files(_lines(diff)):
            _patch_file(root, old, new, hunks)
    except (ValueError, OSError) as error:
        raise BAD_PATCH(f"the patch does not fit: {error}", where=name) from error


def _lines(data: bytes) -> list[bytes]:
    # Not splitlines(): a carriage return alone ends no line in a diff.
    return [line + b"\n" for line in data.split(b"\n")[:-1]] + [
        line for line in data.split(b"\n")[-1:] if line
    ]


def _files(lines: list[bytes]) -> Iterator[tuple[str | None, str | None, list[_Hunk]]]:
    index = 0
    while index < len(lines):
        if not lines[index].startswith(b"--- ") or not lines[index + 1 :]:
            index += 1
            continue
        if not lines[index + 1].startswith(b"+++ "):
            index += 1
            continue
        old, new = _path(lines[index]), _path(lines[index + 1])
        index, hunks = _hunks(lines, index + 2)
        yield old, new, hunks


def _path(line: bytes) -> str | None:
    """The file of a ``---`` or ``+++`` line without its first part; None for /dev/null."""
    path = line[4:].split(b"\t")[0].strip().decode("utf-8")
    if path == "/dev/null":
        return None
    inner = path.partition("/")[2]
    if not inner or ".." in inner.split("/") or inner.startswith("/"):
        raise ValueError(f"{path!r} is no path below the tree")
    return inner


def _hunks(lines: list[bytes], index: int) -> tuple[int, list[_Hunk]]:
    hunks = []
    while index < len(lines) and (match := _HUNK.match(lines[index])):
        olds, news = (int(count) if count is not None else 1 for count in match.group(2, 3))
        # A hunk that only adds, without context, names the line that it comes after.
        hunk = _Hunk(start=int(match[1]) - (1 if olds else 0))
        index += 1
        while len(hunk.old) < olds or len(hunk.new) < news:
            if index >= len(lines):
                raise ValueError("the patch ends within a hunk")
            _take(hunk, lines[index])
            index += 1
        if index < len(lines) and lines[index].startswith(b"\\"):
            _take(hunk, lines[index])
            index += 1
        hunks.append(hunk)
    return index, hunks


def _take(hunk: _Hunk, line: bytes) -> None:
    kind, text = line[:1], line[1:]
    if kind == b"\\":  # "\ No newline at end of file" speaks of the line before it
        if hunk.last in b" -":
            hunk.old[-1] = hunk.old[-1].removesuffix(b"\n")
        if hunk.last in b" +":
            hunk.new[-1] = hunk.new[-1].removesuffix(b"\n")
        return
    if kind == b"\n":  # an empty context line whose space an editor has dropped
        kind, text = b" ", b"\n"
    if kind not in (b" ", b"-", b"+"):
        raise ValueError(f"a hunk has a line that begins with {kind!r}")
    if kind in b" -":
        hunk.old.append(text)
    if kind in b" +":
        hunk.new.append(text)
    hunk.last = kind


def _patch_file(root: Path, old: str | None, new: str | None, hunks: list[_Hunk]) -> None:
    # Like patch(1): of the two names the one that exists; a new file has neither.
    there = next((name for name in (old, new) if name and (root / name).is_file()), None)
    target = there or new or old
    if target is None:
        raise ValueError("the patch names no file")
    place = root / target
    if not place.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{target} leads out of the tree")
    lines = _lines(place.read_bytes()) if there else []
    shift = 0
    for hunk in hunks:
        at = _find(lines, hunk, shift)
        lines[at : at + len(hunk.old)] = hunk.new
        shift = at - hunk.start + len(hunk.new) - len(hunk.old)
    if new is None and not lines:
        place.unlink()
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"".join(lines))


def _find(lines: list[bytes], hunk: _Hunk, shift: int) -> int:
    """Where the hunk's old lines stand: at its line plus the shift so far, or as near as can be."""
    expected = hunk.start + shift
    places = range(len(lines) - len(hunk.old) + 1)
    for at in sorted(places, key=lambda place: abs(place - expected)):
        if lines[at : at + len(hunk.old)] == hunk.old:
            return at
    raise ValueError(f"the hunk for line {hunk.start + 1} is nowhere in the file")
