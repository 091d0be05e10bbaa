# SPDX-License-Identifier: Apache-2.0
"""The content-addressed cache: locked files by digest, and the trees unpacked from them.

No byte leaves it unchecked: a blob is hashed whenever it is asked for, a tree is compared with
its manifest. What does not match is thrown away and fetched or made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgebuild.errors import EdgebuildError
from edgebuild.errors.inputs import DISK_FULL, NOT_LOCKED, OFFLINE, WRONG_CONTENT
from edgebuild.host import deb, download, lockfile, source, trees
from edgebuild.host.files import digest, exclusive, told_plainly
from edgebuild.host.mirrors import mirrors
from edgebuild.model.lock import Lock, LockedFile, LockedPackage

# Called with what is being fetched, bytes received so far, and bytes in all.
Progress = Callable[[str, int, int], None]

_CONNECTIONS = 4
_TREE_FORMAT = 1  # part of every tree's key: raise it when unpacking changes


def _silent(what: str, done: int, total: int) -> None:
    """No progress display."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A cache directory, and where to get what it lacks."""

    cache: Path
    mirror: str | None = None  # overrides EDGEBUILD_MIRROR and apt's settings
    offline: bool = False
    progress: Progress = field(default=_silent)

    def blob(self, file: LockedFile) -> Path:
        """The file, whose content has just been checked. Raises E101 to E107."""
        self._fetch(Path(file.path).name, [file])
        return self._place(file)

    def prefetch(self, what: str, packages: Iterable[LockedPackage]) -> None:
        """Fetch whatever of these packages is not in the cache, with one progress for all."""
        files = {file.sha256: file for package in packages for file in package.files}
        self._fetch(what, list(files.values()))

    def unlocked(self, path: str, limit_bytes: int) -> bytes:
        """A file of the archive that no lock names yet. Nothing has checked its content."""
        if self.offline:
            raise OFFLINE("this needs the archive's index", where=path, hint="leave out --offline")
        part = self.cache / "parts" / hashlib.sha256(path.encode()).hexdigest()
        with exclusive(part.with_suffix(".lock")):
            return download.fetch_bytes(mirrors(self.mirror), path, part, limit_bytes)

    def sysroot(self, lock: Lock, group: str) -> Path:
        """An unpacked tree of all packages of a group. Not to be written to.

        The layout is usr-merged; absolute links point within the tree; files are read-only.
        """
        packages = lockfile.group(lock, group)

        def make(root: Path) -> None:
            self.prefetch(group, packages)
            deb.prepare(root)
            for package in packages:
                for file in package.files:
                    deb.unpack(self._place(file), root, package.keep)

        return self._tree(packages, make)

    def source(self, lock: Lock, name: str) -> Path:
        """An unpacked Debian source package, with Debian's patches. Not to be written to."""
        found = [
            package
            for packages in lock.groups.values()
            for package in packages
            if package.architecture == "source" and package.name == name
        ]
        if not found:
            raise NOT_LOCKED(
                f"the lock has no source package '{name}'",
                hint="add it to a group with sources in locks/inputs.toml; run `edgebuild lock`",
            )

        def make(root: Path) -> None:
            self.prefetch(name, found[:1])
            source.unpack([self._place(file) for file in found[0].files], root)

        return self._tree(found[:1], make)

    def _tree(self, packages: Iterable[LockedPackage], make: Callable[[Path], None]) -> Path:
        content = [[one.sha256 for one in package.files] + list(package.keep)
                   for package in packages]  # fmt: skip
        key = hashlib.sha256(json.dumps([_TREE_FORMAT, content]).encode()).hexdigest()
        return trees.provide(self.cache / "trees", key, make)

    def _place(self, file: LockedFile) -> Path:
        # The name is kept beside the digest: error messages and unpackers need its ending.
        return self.cache / "blobs" / file.sha256[:2] / file.sha256 / Path(file.path).name

    def _fetch(self, what: str, files: list[LockedFile]) -> None:
        missing = [file for file in files if not self._is_whole(file)]
        if not missing:
            return
        if self.offline:
            raise OFFLINE(
                f"{len(missing)} of {len(files)} files of {what} are not in the cache",
                where=missing[0].path,
                hint="run once without --offline",
            )
        meter = _Meter(what, sum(file.size_bytes for file in missing), self.progress)
        addresses = mirrors(self.mirror)
        try:
            _in_threads(missing, lambda file: self._fetch_one(addresses, file, meter))
        finally:
            meter.stop()

    def _is_whole(self, file: LockedFile) -> bool:
        place = self._place(file)
        try:
            return place.stat().st_size == file.size_bytes and digest(place) == file.sha256
        except OSError:
            return False

    def _fetch_one(self, addresses: tuple[str, ...], file: LockedFile, meter: _Meter) -> None:
        place = self._place(file)
        part = self.cache / "parts" / file.sha256
        with exclusive(part.with_name(f"{file.sha256[:2]}.lock")):
            if self._is_whole(file):  # another process was faster
                return
            if part.exists():
                meter.add(part.stat().st_size)
            for fresh_start in (False, True):
                try:
                    download.fetch(
                        addresses, file.path, part, file.size_bytes, meter.add, pause=meter.pause
                    )
                except EdgebuildError as error:
                    if error.kind is DISK_FULL:
                        part.unlink(missing_ok=True)
                    raise
                if digest(part) == file.sha256:
                    break
                part.unlink()
                if fresh_start:
                    raise WRONG_CONTENT(
                        "the mirror's file is not the locked one",
                        where=file.path,
                        hint="someone or something changed it on the way: try another --mirror",
                    )
            with told_plainly(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                part.replace(place)


def _in_threads(files: list[LockedFile], act: Callable[[LockedFile], None]) -> None:
    """Act on every file, a few at a time; the first failure is raised at once.

    The threads are daemons, not a pool: Ctrl-C must not wait for a mirror that is silent.
    """
    waiting: queue.SimpleQueue[LockedFile] = queue.SimpleQueue()
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    for file in files:
        waiting.put(file)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                file = waiting.get_nowait()
                try:
                    act(file)
                    ended.put(None)
                except BaseException as error:
                    ended.put(error)
                    return

    for _ in range(min(_CONNECTIONS, len(files))):
        threading.Thread(target=work, daemon=True).start()
    for _ in files:
        if (error := ended.get()) is not None:
            raise error


class _Meter:
    """Adds up bytes over several downloads; the progress callback is never called twice at once."""

    def __init__(self, what: str, total: int, progress: Progress) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._progress = progress
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def add(self, count: int) -> None:
        with self._lock:
            if self._stopped.is_set():
                raise InterruptedError("the download was given up")
            self._done = min(self._done + count, self._total)
            self._progress(self._what, self._done, self._total)

    def pause(self, seconds: float) -> None:
        """Wait between two tries, but not once the download is given up."""
        if self._stopped.wait(seconds):
            raise InterruptedError("the download was given up")

    def stop(self) -> None:
        self._stopped.set()
