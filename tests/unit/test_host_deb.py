# SPDX-License-Identifier: Apache-2.0
"""Unpacking packages: what Debian makes is taken, what is damaged or hostile is refused."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.host import deb as unit
from tests.unit.host_helpers import ar, deb, tar


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    unit.prepare(tree)
    return tree


def _unpack(root: Path, data: bytes, *keep: str) -> None:
    package = root.parent / "x.deb"
    package.write_bytes(data)
    unit.unpack(package, root, keep)


def test_files_links_and_modes(root: Path) -> None:
    _unpack(root, deb([
        ("./", None),
        ("./usr/bin/tool", b"#!"),
        ("./usr/lib/x/", None),
        ("./usr/lib/x/data", b"data"),
        ("./usr/lib/x/near", "data"),
        ("./usr/lib/x/far", "/usr/bin/tool"),
    ]))  # fmt: skip
    assert (root / "usr/bin/tool").stat().st_mode & 0o7777 == 0o555
    assert (root / "usr/lib/x/data").stat().st_mode & 0o7777 == 0o444
    assert (root / "usr/lib/x/data").stat().st_mtime == 1_700_000_000
    assert (root / "usr/lib/x/near").readlink() == Path("data")
    assert (root / "usr/lib/x/far").readlink() == Path("../../bin/tool")
    assert (root / "usr/lib/x/far").read_bytes() == b"#!"


def test_old_paths_are_merged_into_usr(root: Path) -> None:
    _unpack(root, deb([("./lib", "usr/lib"), ("./lib/a/x", b"x"), ("./sbin/y", b"y")]))
    assert (root / "usr/lib/a/x").read_bytes() == b"x"
    assert (root / "usr/sbin/y").read_bytes() == b"y"
    assert (root / "lib").readlink() == Path("usr/lib")


def test_hard_links_and_special_files(root: Path) -> None:
    hard = tarfile.TarInfo("./usr/bin/other")
    hard.type, hard.linkname = tarfile.LNKTYPE, "./usr/bin/tool"
    device = tarfile.TarInfo("./dev/null")
    device.type = tarfile.CHRTYPE
    setuid = tarfile.TarInfo("./usr/bin/su")
    setuid.mode = 0o4755
    entries = [("./usr/bin/tool", b"#!"), ("", hard), ("", device), ("", setuid)]
    _unpack(root, deb(entries))
    assert (root / "usr/bin/other").samefile(root / "usr/bin/tool")
    assert not (root / "dev/null").exists()
    assert (root / "usr/bin/su").stat().st_mode & 0o7777 == 0o555


def test_only_what_is_kept(root: Path) -> None:
    _unpack(root, deb([("./usr/bin/a", b"a"), ("./usr/bin/b", b"b")]), "usr/bin/a", "etc/*")
    assert sorted(path.name for path in (root / "usr/bin").iterdir()) == ["a"]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "tar.zst"])
def test_other_compressions(root: Path, kind: str) -> None:
    plain = tar([("./usr/x", b"x")], "")
    data = {
        "tar": plain,
        "tar.gz": tar([("./usr/x", b"x")], "gz"),
        "tar.bz2": tar([("./usr/x", b"x")], "bz2"),
        "tar.zst": zstandard.compress(plain),
    }[kind]
    _unpack(root, ar([("debian-binary", b"2.0\n"), (f"data.{kind}/", data)]))
    assert (root / "usr/x").read_bytes() == b"x"


def _hard(target: str) -> tarfile.TarInfo:
    link = tarfile.TarInfo("./usr/hard")
    link.type, link.linkname = tarfile.LNKTYPE, target
    return link


HOSTILE = {
    "climbs": [("./usr/../../out", b"x")],
    "link climbs": [("./usr/a", "../../out")],
    "goes through a link": [("./usr/a", ".."), ("./usr/b", "a/.."), ("./usr/b/../x", b"x")],
    "file and directory": [("./usr/a", b"1"), ("./usr/a/", None)],
    "file as directory": [("./usr/a", b"1"), ("./usr/a/b", b"2")],
    "hard link to nothing": [("", _hard("./usr/none"))],
    "hard link out": [("", _hard("../x.deb"))],
    "twice": [("./usr/a", b"1"), ("./usr/a", b"2")],
}


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_hostile_packages_E108(root: Path, what: str) -> None:
    with pytest.raises(EdgebuildError) as caught:
        _unpack(root, deb(HOSTILE[what]))
    assert caught.value.kind.code == "E108"
    assert sorted(path.name for path in root.parent.iterdir()) == ["tree", "x.deb"]


def test_a_link_chain_out_of_the_tree_E108(root: Path) -> None:
    (root / "usr/out").symlink_to(root.parent)  # as if an earlier package had managed to
    with pytest.raises(EdgebuildError) as caught:
        _unpack(root, deb([("./usr/out/x", b"x")]))
    assert caught.value.kind.code == "E108"
    assert not (root.parent / "x").exists()


DAMAGED = {
    "empty": b"",
    "no ar": b"PK\x03\x04",
    "short header": b"!<arch>\nabc",
    "bad size": ar([("data.tar.xz", b"")]).replace(b"0         `", b"x         `"),
    "no data": ar([("debian-binary", b"2.0\n")]),
    "unknown compression": ar([("data.tar.lzo", b"")]),
    "cut": deb([("./usr/x", bytes(1000))])[:-30],
    "bad gzip": ar([("data.tar.gz", b"\x1f\x8b\x08" + b"x" * 600)]),
    "no tar": ar([("data.tar", b"x" * 600)]),
    "bad zstd": ar([("data.tar.zst", b"x" * 600)]),
}


@pytest.mark.parametrize("what", sorted(DAMAGED))
def test_damaged_packages_E108(root: Path, what: str) -> None:
    with pytest.raises(EdgebuildError) as caught:
        _unpack(root, DAMAGED[what])
    assert caught.value.kind.code == "E108"
    assert caught.value.where == "x.deb"


@given(st.lists(st.tuples(st.from_regex("[a-z.]{1,15}", fullmatch=True), st.binary()), max_size=5))
def test_ar_members_come_back(members: list[tuple[str, bytes]]) -> None:
    file = io.BytesIO(ar(members))
    found = []
    for name, size in unit.members(file):
        found.append((name, file.read(size)))
    assert found == members


@given(st.binary(max_size=300))
def test_any_bytes_are_an_archive_or_a_value_error(data: bytes) -> None:
    for start in (b"", b"!<arch>\n"):
        with contextlib.suppress(ValueError):
            list(unit.members(io.BytesIO(start + data)))


GOOD = {
    kind: ar([("debian-binary", b"2.0\n"), (f"data.tar{kind}", data)])
    for kind, data in {
        "": tar([("./usr/bin/x", b"x" * 40), ("./usr/l", "bin/x")], ""),
        ".xz": tar([("./usr/bin/x", b"x" * 40), ("./usr/l", "bin/x")]),
        ".zst": zstandard.compress(tar([("./usr/bin/x", b"x" * 40)], "")),
    }.items()
}


@settings(deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.integers(0, 1 << 20), st.integers(1, 255))
def test_a_flipped_byte_is_harmless_or_E108(kind: str, where: int, bits: int) -> None:
    data = bytearray(GOOD[kind])
    data[where % len(data)] ^= bits
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        unit.prepare(tree)
        try:
            _unpack(tree, bytes(data))
        except EdgebuildError as error:
            assert error.kind.code == "E108"
        assert sorted(os.listdir(folder)) == ["tree", "x.deb"]
