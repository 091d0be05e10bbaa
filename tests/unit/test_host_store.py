# SPDX-License-Identifier: Apache-2.0
"""The cache: what goes in is checked, what comes out is checked, and faults are survived."""

from __future__ import annotations

import concurrent.futures
import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import download, files, paths, store, trees
from edgebuild.host.store import Store
from tests.unit.host_helpers import FakeArchive, deb, lock, package, serving, tar

BIG = deb([("./usr/share/big", os.urandom(300_000))])


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSES_S", (0.001, 0.001, 0.001))
    for name in ("http_proxy", "HTTP_PROXY", "EDGEBUILD_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    download._opener.cache_clear()


@pytest.fixture
def archive(tmp_path: Path) -> FakeArchive:
    return FakeArchive(tmp_path / "archive")


def _store(tmp_path: Path, mirror: str, **more: object) -> Store:
    return Store(cache=tmp_path / "cache", mirror=mirror, **more)  # type: ignore[arg-type]


def _leftovers(tmp_path: Path) -> list[str]:
    parts = tmp_path / "cache" / "parts"
    return [path.name for path in parts.iterdir() if path.suffix != ".lock"]


def test_a_blob_is_fetched_once_and_told_of(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big", data=BIG)
    told: list[tuple[str, int, int]] = []
    with serving(archive.root) as server:
        cache = _store(tmp_path, server.address, progress=lambda *what: told.append(what))
        assert cache.blob(file).read_bytes() == BIG
        cache.blob(file)
        assert len(server.requests) == 1
    assert told[-1][1:] == (len(BIG), len(BIG))
    assert [one[1] for one in told] == sorted(one[1] for one in told)


def test_file_mirrors_work(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("small")
    assert files.digest(_store(tmp_path, archive.address).blob(file)) == file.sha256


def test_a_broken_connection_is_resumed(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big", data=BIG)
    with serving(archive.root) as server:
        server.faults = ["half", "half"]
        assert _store(tmp_path, server.address).blob(file).read_bytes() == BIG
        asked = [header for _, header in server.requests]
    assert asked[0] is None
    assert asked[1:] == [f"bytes={len(BIG) // 2}-", f"bytes={len(BIG) - len(BIG) // 4}-"]


def test_the_next_run_goes_on_where_this_one_stopped(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big", data=BIG)
    with serving(archive.root) as server:
        server.faults = ["half"] + ["503"] * 3
        with pytest.raises(EdgebuildError) as caught:
            _store(tmp_path, server.address).blob(file)
        assert caught.value.kind.code == "E102"
        assert "503" in caught.value.message
        assert _store(tmp_path, server.address).blob(file).read_bytes() == BIG
        assert server.requests[-1][1] == f"bytes={len(BIG) // 2}-"


def test_a_server_without_ranges_sends_all_again(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big", data=BIG)
    with serving(archive.root) as server:
        server.ranges = False
        server.faults = ["half"]
        assert _store(tmp_path, server.address).blob(file).read_bytes() == BIG


def test_a_part_that_is_none_is_thrown_away(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big", data=BIG)
    parts = tmp_path / "cache" / "parts"
    parts.mkdir(parents=True)
    (parts / file.sha256).write_bytes(b"x" * (len(BIG) - 10))
    with serving(archive.root) as server:
        assert _store(tmp_path, server.address).blob(file).read_bytes() == BIG
        assert [header for _, header in server.requests] == [f"bytes={len(BIG) - 10}-", None]


def test_a_range_that_the_server_refuses_starts_afresh(
    archive: FakeArchive, tmp_path: Path
) -> None:
    file = archive.add("big", data=BIG)
    with serving(archive.root) as server:
        server.faults = ["half", "416"]
        assert _store(tmp_path, server.address).blob(file).read_bytes() == BIG
        assert server.requests[-1][1] is None


def test_other_bytes_than_locked_are_refused_E104(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big", data=BIG)
    with serving(archive.root) as server:
        server.faults = ["garbage", "garbage"]
        with pytest.raises(EdgebuildError) as caught:
            _store(tmp_path, server.address).blob(file)
    assert caught.value.kind.code == "E104"
    assert _leftovers(tmp_path) == []
    assert not (tmp_path / "cache" / "blobs").exists()


def test_more_bytes_than_locked_are_refused_E104(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big", data=BIG)
    (archive.root / file.path).write_bytes(BIG + b"more")
    with serving(archive.root) as server, pytest.raises(EdgebuildError) as caught:
        _store(tmp_path, server.address).blob(file)
    assert caught.value.kind.code == "E104"
    assert _leftovers(tmp_path) == []


def test_a_mirror_that_moved_on_E103(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big")
    (archive.root / file.path).unlink()
    with serving(archive.root) as server:
        for mirror in (server.address, archive.address):
            with pytest.raises(EdgebuildError) as caught:
                _store(tmp_path, mirror).blob(file)
            assert caught.value.kind.code == "E103"
            assert caught.value.where == file.path
            assert "snapshot" in (caught.value.hint or "")
        assert len(server.requests) == 1  # no use in trying again


def test_the_second_mirror_serves_what_the_first_lacks(
    archive: FakeArchive, tmp_path: Path
) -> None:
    file = archive.add("big")
    (tmp_path / "empty").mkdir()
    with serving(tmp_path / "empty") as first, serving(archive.root) as second:
        _store(tmp_path, f"{first.address}, {second.address}/").blob(file)
        assert len(first.requests) == len(second.requests) == 1


def test_no_network_E102(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(EdgebuildError) as caught:
        _store(tmp_path, f"http://127.0.0.1:{port}").blob(file)
    assert caught.value.kind.code == "E102"
    assert "refused" in caught.value.message


def test_offline_E105(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big")
    offline = _store(tmp_path, archive.address, offline=True)
    for act in (lambda: offline.blob(file), lambda: offline.unlocked("dists/x", 10)):
        with pytest.raises(EdgebuildError) as caught:
            act()
        assert caught.value.kind.code == "E105"
    _store(tmp_path, archive.address).blob(file)
    assert offline.blob(file).is_file()


@pytest.mark.parametrize("offline", [False, True])
def test_a_tampered_blob_is_noticed(archive: FakeArchive, tmp_path: Path, offline: bool) -> None:
    file = archive.add("big", data=BIG)
    place = _store(tmp_path, archive.address).blob(file)
    before = place.stat()
    data = bytearray(BIG)
    data[1000] ^= 1
    place.write_bytes(data)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = _store(tmp_path, archive.address, offline=offline)
    if offline:
        with pytest.raises(EdgebuildError) as caught:
            again.blob(file)
        assert caught.value.kind.code == "E105"
    else:
        assert again.blob(file).read_bytes() == BIG


def test_a_full_disk_leaves_nothing_half_written_E106(
    archive: FakeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = archive.add("big", data=BIG)
    real_open = Path.open

    class Full:
        def __init__(self, file: object) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()  # type: ignore[attr-defined]

        def write(self, data: bytes) -> int:
            self.file.write(data[:10])  # type: ignore[attr-defined]
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(path: Path, mode: str = "r", *rest: object) -> object:
        opened = real_open(path, mode, *rest)  # type: ignore[call-overload]
        return Full(opened) if mode in ("wb", "ab") else opened

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(EdgebuildError) as caught:
        _store(tmp_path, archive.address).blob(file)
    assert caught.value.kind.code == "E106"
    assert _leftovers(tmp_path) == []


def test_a_cache_that_cannot_be_made_E107(archive: FakeArchive, tmp_path: Path) -> None:
    file = archive.add("big")
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(EdgebuildError) as caught:
        _store(tmp_path, archive.address).blob(file)
    assert caught.value.kind.code == "E107"


def test_what_no_lock_names_is_bounded(archive: FakeArchive, tmp_path: Path) -> None:
    archive.publish()
    cache = _store(tmp_path, archive.address)
    assert b"Codename: trixie" in cache.unlocked("dists/trixie/InRelease", 10_000)
    with pytest.raises(EdgebuildError) as caught:
        cache.unlocked("dists/trixie/InRelease", 100)
    assert caught.value.kind.code == "E104"
    assert _leftovers(tmp_path) == []


def test_a_sysroot_has_all_packages_of_its_group(archive: FakeArchive, tmp_path: Path) -> None:
    one, two = archive.add("one"), archive.add("two")
    locked = lock(tools_amd64=[package("one", one), package("two", two)])
    cache = _store(tmp_path, archive.address)
    tree = cache.sysroot(locked, "tools-amd64")
    assert (tree / "usr/share/one").read_text() == "one"
    assert (tree / "usr/share/two").read_text() == "two"
    assert (tree / "lib").resolve() == tree / "usr/lib"
    assert cache.sysroot(locked, "tools-amd64") == tree
    with pytest.raises(EdgebuildError) as caught:
        cache.sysroot(locked, "runtime-arm64")
    assert caught.value.kind.code == "E110"


def test_equal_content_shares_a_tree_and_keep_makes_another(
    archive: FakeArchive, tmp_path: Path
) -> None:
    file = archive.add("x", data=deb([("./usr/bin/a", b"a"), ("./usr/bin/b", b"b")]))
    locked = lock(a=[package("x", file)], b=[package("x", file)],
                  c=[package("x", file, keep=("usr/bin/b",))])  # fmt: skip
    cache = _store(tmp_path, archive.address)
    assert cache.sysroot(locked, "a") == cache.sysroot(locked, "b")
    kept = cache.sysroot(locked, "c")
    assert [path.name for path in (kept / "usr/bin").iterdir()] == ["b"]


def _changes(tree: Path) -> dict[str, object]:
    target = tree / "usr/share/one"

    def flipped() -> None:
        stat = target.stat()
        target.chmod(0o644)
        target.write_bytes(b"onE")
        target.chmod(0o444)
        os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def linked() -> None:
        (tree / "lib").unlink()
        (tree / "lib").symlink_to("/lib")

    return {
        "flipped": flipped,
        "removed": target.unlink,
        "added": lambda: (tree / "usr/share/extra").write_bytes(b""),
        "executable": lambda: target.chmod(0o555),
        "linked": linked,
        "no manifest": tree.with_name(f"{tree.name}.json").unlink,
        "bad manifest": lambda: tree.with_name(f"{tree.name}.json").write_text("[1]"),
    }


@pytest.mark.parametrize("change", sorted(_changes(Path("tree"))))
def test_a_tampered_tree_is_made_again(archive: FakeArchive, tmp_path: Path, change: str) -> None:
    locked = lock(g=[package("one", archive.add("one"))])
    cache = _store(tmp_path, archive.address)
    tree = cache.sysroot(locked, "g")
    _changes(tree)[change]()  # type: ignore[operator]
    assert cache.sysroot(locked, "g") == tree
    assert (tree / "usr/share/one").read_text() == "one"
    assert (tree / "usr/share/one").stat().st_mode & 0o777 == 0o444
    assert (tree / "lib").readlink() == Path("usr/lib")
    assert not (tree / "usr/share/extra").exists()


def test_a_moved_cache_is_hashed_again_and_kept(
    archive: FakeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = lock(g=[package("one", archive.add("one"))])
    tree = _store(tmp_path, archive.address).sysroot(locked, "g")
    copied = tmp_path / "copy"
    (tmp_path / "cache").rename(copied)
    target = copied / "trees" / tree.name / "usr/share/one"
    target.unlink()
    target.write_bytes(b"one")  # the same content in another inode
    target.chmod(0o444)
    hashed: list[Path] = []
    real = files.digest
    monkeypatch.setattr(trees, "digest", lambda path: hashed.append(path) or real(path))
    moved = Store(cache=copied, offline=True)
    assert moved.sysroot(locked, "g") == copied / "trees" / tree.name
    assert hashed == [target]
    moved.sysroot(locked, "g")
    assert hashed == [target]  # and its new identity is remembered


def test_a_failed_unpacking_leaves_no_tree(archive: FakeArchive, tmp_path: Path) -> None:
    good, bad = archive.add("good"), archive.add("bad", data=b"!<arch>\nbroken")
    locked = lock(g=[package("good", good), package("bad", bad)])
    with pytest.raises(EdgebuildError) as caught:
        _store(tmp_path, archive.address).sysroot(locked, "g")
    assert caught.value.kind.code == "E108"
    assert [path for path in (tmp_path / "cache/trees").iterdir() if path.is_dir()] == []


def test_leftovers_of_a_killed_build_are_cleared(archive: FakeArchive, tmp_path: Path) -> None:
    locked = lock(g=[package("one", archive.add("one"))])
    cache = _store(tmp_path, archive.address)
    tree = cache.sysroot(locked, "g")
    tree.with_name(f"{tree.name}.json").unlink()
    leftover = tree.with_name(f".{tree.name}.new-abc")
    leftover.mkdir()
    cache.sysroot(locked, "g")
    assert not leftover.exists()


def test_two_builds_at_once_make_one_tree(archive: FakeArchive, tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(8)]
    locked = lock(g=[package(name, archive.add(name)) for name in names])
    with serving(archive.root) as server:
        caches = [_store(tmp_path, server.address) for _ in range(4)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = set(pool.map(lambda cache: cache.sysroot(locked, "g"), caches))
        assert len(found) == 1
        assert len(server.requests) == len(names)


def test_a_failing_download_stops_the_others(archive: FakeArchive, tmp_path: Path) -> None:
    present = [archive.add(f"p{number}") for number in range(6)]
    (archive.root / present[0].path).unlink()
    with pytest.raises(EdgebuildError) as caught:
        _store(tmp_path, archive.address).prefetch("all", [package("p", *present)])
    assert caught.value.kind.code == "E103"


CHILD = """
import pathlib, sys
from edgebuild.host.store import Store
from edgebuild.model.lock import LockedFile
path, sha256, size, address, cache = sys.argv[1:]
file = LockedFile(path=path, sha256=sha256, size_bytes=int(size), purl="")
print("ready", flush=True)
Store(cache=pathlib.Path(cache), mirror=address).blob(file)
"""


def test_an_interrupt_does_not_wait_for_a_silent_mirror(
    archive: FakeArchive, tmp_path: Path
) -> None:
    file = archive.add("big", data=BIG)
    cache = tmp_path / "cache"
    part = cache / "parts" / file.sha256
    with serving(archive.root) as server:
        server.faults = ["silent"]
        words = [file.path, file.sha256, str(file.size_bytes), server.address, str(cache)]
        folder = str(paths.data_dir() / "compiler")
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, *words],
            env=os.environ | {"PYTHONPATH": folder},
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            while not (part.exists() and part.stat().st_size) and child.poll() is None:
                os.sched_yield()
            child.send_signal(signal.SIGINT)
            said = child.communicate(timeout=download._TIMEOUT_S * 0.9)[1]
        assert "KeyboardInterrupt" in said
        assert not list(cache.glob("blobs/*/*/*"))
        assert _store(tmp_path, server.address).blob(file).read_bytes() == BIG
        assert server.requests[-1][1] == "bytes=1000-"


def test_a_meter_that_was_stopped_ends_its_downloads() -> None:
    meter = store._Meter("x", 10, lambda what, done, total: None)
    meter.add(4)
    meter.pause(0)
    meter.stop()
    for act in (lambda: meter.add(1), lambda: meter.pause(60)):
        with pytest.raises(InterruptedError):
            act()


SOURCE = {
    "hello_1.0.orig.tar.xz": tar([("hello-1.0", None), ("hello-1.0/hello.c", b"one\ntwo\n3\n")]),
    "hello_1.0-1.debian.tar.xz": tar([
        ("debian/patches/series", b"# comment\nfirst.patch -p1\n\nsecond.patch\n"),
        ("debian/patches/first.patch",
         b"Why: x\n--- a/hello.c\n+++ b/hello.c\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n 3\n"),
        ("debian/patches/second.patch",
         b"--- /dev/null\n+++ b/sub/new.c\n@@ -0,0 +1 @@\n+new\n"),
    ]),
    "hello_1.0-1.dsc": b"Format: 3.0 (quilt)\n",
}  # fmt: skip


def test_a_source_is_unpacked_and_patched(archive: FakeArchive, tmp_path: Path) -> None:
    made = archive.add_source("hello", "1.0-1", SOURCE)
    locked = lock(sources=[package("hello", *made, arch="source")])
    cache = _store(tmp_path, archive.address)
    tree = cache.source(locked, "hello")
    assert (tree / "hello.c").read_text() == "one\nTWO\n3\n"
    assert (tree / "sub/new.c").read_text() == "new\n"
    with pytest.raises(EdgebuildError) as caught:
        cache.source(locked, "goodbye")
    assert caught.value.kind.code == "E110"


def test_a_native_source_and_a_damaged_one(archive: FakeArchive, tmp_path: Path) -> None:
    native = archive.add_source("own", "2", {"own_2.tar.xz": tar([("own/x", b"x")])})
    bad = archive.add_source("bad", "2", {"bad_2.tar.xz": b"no tar"})
    evil = archive.add_source("evil", "2", {"evil_2.tar.xz": tar([("evil/../../x", b"x")])})
    sources = [("own", native), ("bad", bad), ("evil", evil)]
    locked = lock(s=[package(name, *made, arch="source") for name, made in sources])
    cache = _store(tmp_path, archive.address)
    assert (cache.source(locked, "own") / "x").read_text() == "x"
    for name in ("bad", "evil"):
        with pytest.raises(EdgebuildError) as caught:
            cache.source(locked, name)
        assert caught.value.kind.code == "E108"
