# SPDX-License-Identifier: Apache-2.0
"""Debian's control file format (deb822(5)): paragraphs of ``Field: value`` lines."""

from __future__ import annotations


def paragraph(text: str) -> dict[str, str]:
    """One paragraph's fields, by lower-case name; continuation lines are joined by newlines.

    Lines that start with '#' are comments. Raises ValueError for a line that is neither a field
    nor a continuation, and for a field that comes twice.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0] in " \t":
            if not name:
                raise ValueError(f"a continuation line without a field: {line[:80]!r}")
            fields[name] += "\n" + line.strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not name or " " in name:
            raise ValueError(f"neither a field nor a continuation: {line[:80]!r}")
        if name in fields:
            raise ValueError(f"field {name!r} comes twice")
        fields[name] = value.strip()
    return fields


def paragraphs(text: str) -> list[dict[str, str]]:
    """All paragraphs of a text; blank lines (also of spaces only) separate them."""
    blocks: list[list[str]] = [[]]
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    parsed = (paragraph("\n".join(block)) for block in blocks)
    return [fields for fields in parsed if fields]
