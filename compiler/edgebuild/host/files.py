# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgebuild.errors.inputs import DISK_FULL, UNUSABLE_DIRECTORY

# From linux/fcntl.h and linux/fs.h.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def told_plainly(where: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into errors that a person can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DISK_FULL(
                "no space left on the device",
                where=str(where),
                hint="free some space, or set EDGEBUILD_CACHE and --out to a larger disk",
            ) from error
        if error.errno in _REFUSED:
            raise UNUSABLE_DIRECTORY(
                f"cannot read or write: {error.strerror}",
                where=str(error.filename or where),
                hint="is it yours? EDGEBUILD_CACHE and --out choose other directories",
            ) from error
        raise


def atomic_write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write ``data`` so that ``path`` holds either what it held before or all of it.

    The mode is exact: the umask does not change it. The directory is made if need be.
    """
    with told_plainly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock between processes while the block runs, or until this process ends."""
    with told_plainly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it; it is no error if there is none."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def keep_recent(folder: Path, limit_bytes: int) -> None:
    """Remove the files that were used longest ago from a cache, until the rest fits.

    They are those in the folders of ``folder``; what lies in itself describes the cache. When a
    file was used is its modification time: whoever uses one has to touch it, as SCons does.
    """
    found = []
    for path in folder.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            about = path.lstat()
            if stat.S_ISREG(about.st_mode):
                found.append((about.st_mtime_ns, about.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit_bytes:
            return
        path.unlink(missing_ok=True)
        total -= size


@contextlib.contextmanager
def replaced_directory(target: Path) -> Iterator[Path]:
    """Give an empty directory to fill; on success it takes ``target``'s place.

    Until then, and for good if the block fails, ``target`` stays as it was. Whoever looks at it
    sees the old content or the new, never a mixture, even if this process is killed.
    """
    target = target.absolute()
    with told_plainly(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
    try:
        fresh.chmod(0o755)
        with told_plainly(target):
            yield fresh
            if target.exists():
                _exchange(fresh, target)  # now `fresh` holds the old content
            else:
                fresh.rename(target)
    finally:
        remove_tree(fresh)


def _exchange(one: Path, other: Path) -> None:
    """Swap two directories in one step (renameat2(2)), or in two where the kernel cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other), _RENAME_EXCHANGE)
    if done == 0:
        return
    if ctypes.get_errno() not in (errno.ENOSYS, errno.EINVAL):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    aside = one.with_name(f"{one.name}.old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)
