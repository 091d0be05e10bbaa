# SPDX-License-Identifier: Apache-2.0
"""Files and directories appear whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import files


def test_atomic_write_has_the_exact_mode(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        files.atomic_write(tmp_path / "a/b", b"one")
        files.atomic_write(tmp_path / "key", b"secret", 0o600)
    finally:
        os.umask(old)
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert files.digest(tmp_path / "a/b") == hashlib.sha256(b"one").hexdigest()


def test_a_failed_write_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.atomic_write(tmp_path / "x", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgebuildError) as caught:
        files.atomic_write(tmp_path / "x", b"new")
    assert caught.value.kind.code == "E106"
    assert caught.value.where == str(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_directory_that_cannot_be_made_E107(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EdgebuildError) as caught:
        files.atomic_write(tmp_path / "file/x", b"")
    assert caught.value.kind.code == "E107"


def test_other_errors_are_not_disguised(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="odd"), files.told_plainly(tmp_path):
        raise OSError(errno.EIO, "odd")


def _no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        def renameat2(self, *_: object) -> int:
            ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc())


@pytest.mark.parametrize("exchange", [True, False])
def test_a_directory_is_replaced_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        _no_exchange(monkeypatch)
    target = tmp_path / "dist/rpi4"
    for content in ("one", "two"):
        with files.replaced_directory(target) as fresh:
            (fresh / content).write_text(content)
            assert not (target / content).exists()
        assert [path.name for path in target.iterdir()] == [content]
    assert [path.name for path in target.parent.iterdir()] == ["rpi4"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_a_swap_that_the_kernel_refuses_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "rpi4"
    target.mkdir()

    class Libc:
        def renameat2(self, *_: object) -> int:
            ctypes.set_errno(errno.EACCES)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc())
    with pytest.raises(EdgebuildError, match="E107"), files.replaced_directory(target):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["rpi4"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_failed_build_leaves_the_previous_release(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    target = tmp_path / "rpi4"
    target.mkdir()
    (target / "old").touch()

    def build() -> None:
        with files.replaced_directory(target) as fresh:
            (fresh / "new").touch()
            raise failure

    with pytest.raises(failure):
        build()
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["rpi4"]


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    files.remove_tree(tmp_path / "none")


def test_a_cache_keeps_what_was_used_last(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(bytes(50))
    for age, name in enumerate(["ab/new", "cd/middle", "ab/old", "cd/oldest"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(10))
        os.utime(path, (1e9 - age, 1e9 - age))
    os.utime(tmp_path / "config", (0, 0))
    files.keep_recent(tmp_path, 40)
    assert (tmp_path / "cd/oldest").exists()
    files.keep_recent(tmp_path, 29)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["ab/new", "cd/middle", "config"]


def _count(counter: Path, lock: Path, times: int) -> None:
    for _ in range(times):
        with files.exclusive(lock):
            counter.write_text(str(int(counter.read_text()) + 1))


def test_one_process_at_a_time(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    start: Callable[..., multiprocessing.Process] = multiprocessing.get_context("fork").Process
    workers = [start(target=_count, args=(counter, tmp_path / "lock", 50)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert counter.read_text() == "200"
