# SPDX-License-Identifier: Apache-2.0
"""What is linked into the executable, under which licences, and the texts that go with it.

Law: an entry is reviewed by a person. It covers the files of the package that end up in the
executable, not all files of its source. SPDX licence expressions (SPDX 2.3, annex D).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebuild.errors.inputs import NOT_LOCKED
from edgebuild.errors.runtimes import UNREVIEWED_LICENCE
from edgebuild.host import lockfile
from edgebuild.model.lock import Lock, LockedPackage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """``licence`` of a package's code in the executable, and what that code is."""

    licence: str
    contributes: tuple[str, ...]
    notice: str  # where its copyright notice lies, in the sysroot or in CPython's sources
    texts: tuple[str, ...] = ()  # licence texts of ours (runtime/licences) that it refers to


REVIEWED = {
    # HACL* is MIT and BLAKE2 CC0; _json, _ssl and the rest are under the Python licence.
    "libpython3.13-dev": Reviewed(
        licence="Python-2.0.1 AND MIT AND CC0-1.0",
        contributes=("libpython3.13-pic.a",),
        notice="LICENSE",
    ),
    "python3.13": Reviewed(
        licence="Python-2.0.1 AND MIT",
        contributes=("extension modules compiled from source", "frozen standard library"),
        notice="LICENSE",
    ),
    "libssl-dev": Reviewed(
        licence="Apache-2.0",
        contributes=("libssl.a", "libcrypto.a"),
        notice="usr/share/doc/libssl-dev/copyright",
        texts=("Apache-2.0.txt",),
    ),
    "libsqlite3-dev": Reviewed(
        licence="blessing",
        contributes=("libsqlite3.a",),
        notice="usr/share/doc/libsqlite3-dev/copyright",
    ),
    "zlib1g-dev": Reviewed(
        licence="Zlib",
        contributes=("libz.a",),
        notice="usr/share/doc/zlib1g-dev/copyright",
    ),
    "libc6-dev": Reviewed(
        licence="LGPL-2.1-or-later AND BSD-3-Clause AND ISC",
        contributes=("libc.a", "libm.a", "rcrt1.o", "crti.o", "crtn.o"),
        notice="usr/share/doc/libc6-dev/copyright",
        texts=("LGPL-2.1.txt",),
    ),
    "libgcc-14-dev": Reviewed(
        licence="GPL-3.0-or-later WITH GCC-exception-3.1",
        contributes=("libgcc.a", "libgcc_eh.a", "crtbeginS.o", "crtendS.o"),
        notice="",
        texts=("GCC-exception-3.1.txt",),
    ),
}

# Locked for their headers alone, or not linked: nothing of them is in the executable.
HEADERS_ONLY = frozenset({"linux-libc-dev", "libcrypt-dev", "libexpat1-dev", "libzstd-dev"})


def table(lock: Lock, deb_arch: str) -> list[dict[str, Any]]:
    """One entry for each linked package, by name. Raises E110, E307."""
    group = f"runtime-{deb_arch}"
    packages = [*lockfile.group(lock, group), python_source(lock)]
    linked = [package for package in packages if package.name not in HEADERS_ONLY]
    for package in linked:
        if package.name not in REVIEWED:
            raise UNREVIEWED_LICENCE(
                f"nobody has reviewed the licence of package '{package.name}'",
                where=f"group {group} of the lock",
                hint="add it to compiler/edgebuild/runtimes/licences.py",
            )
    return [_entry(package) for package in sorted(linked, key=lambda one: one.name)]


def python_source(lock: Lock) -> LockedPackage:
    """CPython's source package. Raises E110."""
    for package in lockfile.group(lock, "sources"):
        if package.name == "python3.13":
            return package
    raise NOT_LOCKED("the lock has no source package 'python3.13'", hint="run `edgebuild lock`")


def _entry(package: LockedPackage) -> dict[str, Any]:
    reviewed = REVIEWED[package.name]
    return {
        "name": package.name,
        "version": package.version,
        "architecture": package.architecture,
        "source": package.source,
        "source_version": package.source_version,
        "licence": reviewed.licence,
        "contributes": list(reviewed.contributes),
        "files": [
            {"path": file.path, "sha256": file.sha256, "purl": file.purl} for file in package.files
        ],
    }


def text(entries: Sequence[dict[str, Any]], texts: Path, roots: Iterable[Path]) -> str:
    """What ``--licences`` prints: the table, how to relink, notices, then licence texts.

    ``texts`` is runtime/licences; a notice is looked for under each of ``roots``.
    """
    folders = list(roots)
    lines = [
        "This program contains:",
        "",
        "  edgegate  Apache-2.0",
        *(f"  {one['name']} {one['version']}  {one['licence']}" for one in entries),
        "",
        "The GNU C Library is in it under the GNU Lesser General Public License, version 2.1 or",
        "later. You may modify that library and link this program again with it: the release's",
        "relink archive holds all object files and the command.",
    ]
    parts = ["\n".join(lines)]
    names = {"Apache-2.0.txt"}
    for notice in sorted({REVIEWED[one["name"]].notice for one in entries} - {""}):
        found = [folder / notice for folder in folders if (folder / notice).is_file()]
        parts += [_section(notice, path) for path in found[:1]]
    for one in entries:
        names.update(REVIEWED[one["name"]].texts)
    parts += [_section(name, texts / name) for name in sorted(names)]
    return "\n\n".join(parts) + "\n"


def _section(title: str, path: Path) -> str:
    body = path.read_bytes().decode("utf-8", "replace").rstrip()
    return f"{'=' * 78}\n{title}\n{'=' * 78}\n\n{body}"
