# SPDX-License-Identifier: Apache-2.0
"""``lock`` and ``doctor``: the archive that images come from, and this machine."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from edgebuild.cli.build import lock_place, open_store, read_lock
from edgebuild.errors import EdgebuildError
from edgebuild.errors.general import STALE_LOCK
from edgebuild.host import files, lockfile, mirrors, paths

FREE_BYTES = 4 << 30  # a cold build of one target, with its cache, takes about half of it


def lock(arguments: argparse.Namespace) -> None:
    """Make the lock anew from the archive's signed index."""
    from edgebuild.trust import lockfile as making

    place = lock_place()
    folder = place.parent
    store = open_store(arguments.mirror, offline=False)
    made = making.make(
        making.inputs((folder / "inputs.toml").read_text(encoding="utf-8")),
        (folder / "debian-archive-trixie.asc").read_bytes(),
        store.unlocked,
        lambda file: store.blob(file).read_bytes(),
    )
    same = place.exists() and place.read_bytes() == made
    if arguments.check and not same:
        raise STALE_LOCK(
            "the archive has newer packages than the lock",
            where=str(place),
            hint="run `edgebuild lock` and review the change",
        )
    if not same:
        files.atomic_write(place, made)
    new = lockfile.parse(made, str(place))
    count = len({f.sha256 for group in new.groups.values() for p in group for f in p.files})
    facts = {
        "lock": str(place),
        "changed": not same,
        "files": count,
        "archive_date": new.archive_date,
        "signed_by": list(new.signed_by),
    }
    if arguments.json:
        print(json.dumps(facts))
    else:
        state = "is up to date" if same else "was renewed"
        print(f"{place.name} {state}: {count} files, archive of {new.archive_date}")
        print(f"signed by {', '.join(new.signed_by)}")


def doctor(arguments: argparse.Namespace) -> int:
    """Check what a build needs, each with its reason; exit with status 1 if something lacks."""
    checks: list[tuple[str, str, Callable[[], str]]] = [
        ("python", "runs edgebuild; 3.11 or newer", _python),
        ("zig", "compiles and links for every CPU", lambda: metadata.version("ziglang")),
        ("tvm", "generates the kernels", lambda: metadata.version("apache-tvm")),
        ("cython", "compiles the gateway", lambda: metadata.version("cython")),
        ("lock", "names every input by digest", _lock),
        ("mirror", "where locked packages come from", lambda: _mirror(arguments)),
        ("disk", "cache and work folder", _disk),
        ("key", "signs releases", _key),
    ]
    rows, well = [], True
    for name, reason, look in checks:
        try:
            found, ok = look(), True
        except (EdgebuildError, metadata.PackageNotFoundError, OSError) as error:
            found, ok = str(error).replace("\n", " "), False
        well = well and ok
        rows.append({"name": name, "ok": ok, "found": found, "reason": reason})
    if arguments.json:
        print(json.dumps({"ok": well, "checks": rows}, indent=1))
    else:
        for row in rows:
            print(
                f"  {'✓' if row['ok'] else '✗'}  {row['name']:7} {row['found']}  ({row['reason']})"
            )
    return 0 if well else 1


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _lock() -> str:
    read = read_lock()
    return f"{read.suite}, archive of {read.archive_date}"


def _mirror(arguments: argparse.Namespace) -> str:
    return "offline" if arguments.offline else ", ".join(mirrors.mirrors(arguments.mirror))


def _disk() -> str:
    place = paths.cache_dir()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES:
        raise OSError(
            f"{free >> 20} MiB free at {place}; a cold build needs {FREE_BYTES >> 20} MiB"
        )
    return f"{free >> 30} GiB free at {place}"


def _key() -> str:
    from edgebuild.trust import keys

    place = Path(paths.config_dir()) / keys.DEVELOPMENT_KEY
    return f"{place} {'is there' if place.exists() else 'will be made at the first build'}"
