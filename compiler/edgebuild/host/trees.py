# SPDX-License-Identifier: Apache-2.0
"""Directories in the cache that are made once, keyed by what went in, and checked at each use.

A tree's manifest remembers each file's digest and its inode, size and change time. The kernel
sets the change time whenever content or mode change, and no program can set it back: a file
whose identity is unchanged is unchanged, and any other is hashed again (docs/decisions/).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgebuild.host.files import atomic_write, digest, exclusive, remove_tree, replaced_directory


def provide(trees: Path, key: str, make: Callable[[Path], None]) -> Path:
    """The tree of this key, made by ``make`` if it is not there whole and unchanged.

    Safe with several processes at once: one makes it, the others wait for it.
    """
    tree, manifest = trees / key, trees / f"{key}.json"
    if _unchanged(tree, manifest):
        return tree
    with exclusive(trees / f"{key}.lock"):
        if not _unchanged(tree, manifest):
            remove_tree(tree)
            for leftover in trees.glob(f".{key}.new-*"):
                remove_tree(leftover)
            with replaced_directory(tree) as fresh:
                make(fresh)
            _remember(tree, manifest, {})
    return tree


def _unchanged(tree: Path, manifest: Path) -> bool:
    """Whether the tree holds just what its manifest says. Re-hashes files that look touched."""
    try:
        known: dict[str, list[Any]] = json.loads(manifest.read_bytes())
        found = _identities(tree)
        if found.keys() != known.keys():
            return False
        touched = [path for path, identity in found.items() if identity != known[path][1:]]
        for path in touched:
            if _content(tree / path) != known[path][0]:
                return False
        if touched:
            _remember(tree, manifest, {path: one[0] for path, one in known.items()})
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return False
    return True


def _remember(tree: Path, manifest: Path, known: dict[str, str]) -> None:
    entries = {
        path: [known.get(path) or _content(tree / path), *identity]
        for path, identity in _identities(tree).items()
    }
    atomic_write(manifest, json.dumps(entries, separators=(",", ":")).encode())


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return f"{path.stat().st_mode:o} {digest(path)}"


def _identities(tree: Path) -> dict[str, list[int]]:
    """Inode, size and change time (ns) of every file and link, by path below the tree."""
    found: dict[str, list[int]] = {}
    pending = [str(tree)]
    cut = len(str(tree)) + 1
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                    continue
                stat = entry.stat(follow_symlinks=False)
                found[entry.path[cut:]] = [stat.st_ino, stat.st_size, stat.st_ctime_ns]
    return found
