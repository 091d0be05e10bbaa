# SPDX-License-Identifier: Apache-2.0
"""The chain from the shipped keys to a package's digest; Debian's rules of versions and needs."""

from __future__ import annotations

import itertools
import lzma
import shutil
import subprocess
from pathlib import Path

import pysequoia
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.host import paths
from edgebuild.trust import archive, closure, debversion
from edgebuild.trust.archive import Index
from tests.unit.host_helpers import FakeArchive

RELEASE = (
    "Suite: stable\nCodename: trixie\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n"
    f"SHA256:\n {'a' * 64} 12 main/binary-amd64/Packages.xz\n"
)


@pytest.fixture
def fake(tmp_path: Path) -> FakeArchive:
    return FakeArchive(tmp_path)


def _signed(fake: FakeArchive, release: str = RELEASE) -> bytes:
    fake.sign(release)
    return (fake.root / "dists/trixie/InRelease").read_bytes()


def test_a_signed_release_is_read(fake: FakeArchive) -> None:
    release = archive.check_release(_signed(fake), fake.keys, "trixie")
    assert release.date == "Sat, 12 Sep 2026 07:55:41 UTC"
    assert release.signed_by == (fake.key.extract_certificate().fingerprint.upper(),)
    entry = release.indexes["main/binary-amd64/Packages.xz"]
    assert entry.path == "dists/trixie/main/binary-amd64/Packages.xz"
    assert (entry.sha256, entry.size_bytes) == ("a" * 64, 12)


def test_indexes_are_asked_for_by_hash_where_the_archive_has_that(fake: FakeArchive) -> None:
    signed = _signed(fake, "Acquire-By-Hash: yes\n" + RELEASE)
    release = archive.check_release(signed, fake.keys, "trixie")
    entry = release.indexes["main/binary-amd64/Packages.xz"]
    assert entry.path == f"dists/trixie/main/binary-amd64/by-hash/SHA256/{'a' * 64}"


def _forgeries(signed: bytes) -> dict[str, bytes]:
    return {
        "a changed byte": signed.replace(b" 12 main", b" 13 main"),
        "no signature": RELEASE.encode(),
        "nothing": b"",
        "cut": signed[: len(signed) // 2],
        "a signature of something else": signed.replace(b"Codename: trixie", b"Codename: evil"),
    }


@pytest.mark.parametrize("how", sorted(_forgeries(b"")))
def test_a_forged_release_E115(fake: FakeArchive, how: str) -> None:
    with pytest.raises(EdgebuildError) as caught:
        archive.check_release(_forgeries(_signed(fake))[how], fake.keys, "trixie")
    assert caught.value.kind.code == "E115"
    assert "backtrace" not in str(caught.value)


def test_a_stranger_s_signature_E115(fake: FakeArchive) -> None:
    stranger = pysequoia.Tsk.generate("Mallory <m@example.invalid>").extract_certificate()
    with pytest.raises(EdgebuildError) as caught:
        archive.check_release(_signed(fake), str(stranger).encode(), "trixie")
    assert caught.value.kind.code == "E115"


def test_text_around_the_signed_part_is_not_read(fake: FakeArchive) -> None:
    padded = b"Codename: evil\n\n" + _signed(fake) + b"\nCodename: evil\n"
    release = archive.check_release(padded, fake.keys, "trixie")
    assert list(release.indexes) == ["main/binary-amd64/Packages.xz"]


@pytest.mark.parametrize(
    "text",
    [
        RELEASE.replace("trixie", "forky"),
        RELEASE.partition("SHA256")[0],
        RELEASE.replace("Date:", "X:"),
        "no release at all\n",
    ],
)
def test_a_signed_release_that_is_no_use_E116(fake: FakeArchive, text: str) -> None:
    with pytest.raises(EdgebuildError) as caught:
        archive.check_release(_signed(fake, text), fake.keys, "trixie")
    assert caught.value.kind.code == "E116"


def test_the_shipped_keys_are_debian_trixie_s() -> None:
    keys = (paths.data_dir() / "locks" / "debian-archive-trixie.asc").read_bytes()
    owners = [str(user) for cert in pysequoia.Cert.split_bytes(keys) for user in cert.user_ids]
    assert len(owners) == 2
    assert all("(13/trixie)" in owner and "Debian" in owner for owner in owners)


def _index(fake: FakeArchive, content: bytes, name: str = "main/binary-amd64/Packages") -> Index:
    release = archive.check_release(_signed(fake), fake.keys, "trixie")
    return archive.index(release, [name], lambda _: content)


def test_of_two_versions_the_newest_counts(fake: FakeArchive) -> None:
    text = "".join(f"Package: x\nVersion: {version}\n\n" for version in ("1.9", "1.10", "1.2"))
    found = _index(fake, lzma.compress(text.encode()))
    assert found.packages["x"]["version"] == "1.10"


@pytest.mark.parametrize(
    "content",
    [
        b"no xz",
        lzma.compress(b"Package: x\nVersion: 1\n" * 1000)[:-40],
        lzma.compress(b"\xff\xfe"),
        lzma.compress(b"no field\n"),
        lzma.compress(b"Package: x\n"),
    ],
)
def test_a_damaged_index_E116(fake: FakeArchive, content: bytes) -> None:
    with pytest.raises(EdgebuildError) as caught:
        _index(fake, content)
    assert caught.value.kind.code == "E116"


def test_an_index_that_is_not_listed_E116(fake: FakeArchive) -> None:
    with pytest.raises(EdgebuildError, match="does not list"):
        _index(fake, b"", "contrib/binary-amd64/Packages")


# From Debian Policy 5.6.12 and dpkg's own test suite.
ORDER = ["1~~", "1~~a", "1~", "1", "1-1~bpo", "1-1", "1-1+b1", "1a", "1+b", "1.0", "1.0.1", "1.9",
         "1.10", "1.10a", "1:0", "1:0.1-2", "10:0"]  # fmt: skip


@pytest.mark.parametrize(("older", "newer"), list(itertools.pairwise(ORDER)))
def test_versions_are_ordered(older: str, newer: str) -> None:
    assert debversion.compare(older, newer) < 0 < debversion.compare(newer, older)


@pytest.mark.parametrize(("a", "b"), [("1", "1-0"), ("0:1", "1"), ("1.0", "1.00"), ("1.", "1.0")])
def test_equal_versions(a: str, b: str) -> None:
    assert debversion.compare(a, b) == 0


VERSIONS = st.from_regex(
    r"([0-9]:)?[0-9][a-zA-Z0-9.+~]{0,6}(-[a-zA-Z0-9.+~]{1,4})?", fullmatch=True
)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_an_order(a: str, b: str, c: str) -> None:
    assert debversion.compare(a, a) == 0
    assert (debversion.compare(a, b) < 0) == (debversion.compare(b, a) > 0)
    if debversion.compare(a, b) <= 0 and debversion.compare(b, c) <= 0:
        assert debversion.compare(a, c) <= 0


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")
def test_dpkg_agrees() -> None:
    for a, b in itertools.pairwise(ORDER):
        subprocess.run(["dpkg", "--compare-versions", a, "lt", b], check=True)


@pytest.mark.parametrize(
    ("relation", "holds"), [("<<", False), ("<=", True), ("=", True), (">=", True), (">>", False)]
)
def test_relations(relation: str, holds: bool) -> None:
    assert debversion.satisfies("1.0-1", relation, "1.0-1") is holds


def test_a_dependency_field() -> None:
    field = "libc6 (>= 2.38), a:any | b (= 1:2-3) |c:amd64,\n d ( << 4 ),"
    assert closure.clauses(field) == [
        [("libc6", ">=", "2.38")],
        [("a", "", ""), ("b", "=", "1:2-3"), ("c", "", "")],
        [("d", "<<", "4")],
    ]
    with pytest.raises(ValueError):
        closure.clauses("a (>= )")


ATOMS = st.tuples(
    st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,8}", fullmatch=True),
    st.sampled_from(["<<", "<=", "=", ">=", ">>"]),
    VERSIONS,
)


@given(st.lists(st.lists(ATOMS, min_size=1, max_size=3), max_size=4))
def test_dependency_fields_come_back(wanted: list[list[tuple[str, str, str]]]) -> None:
    text = ", ".join(" | ".join(f"{n} ({r} {v})" for n, r, v in clause) for clause in wanted)
    assert closure.clauses(text) == wanted


def _packages(**depends: str) -> Index:
    packages = {
        name.replace("_", "-"): {"package": name, "version": "1.0", "depends": text}
        for name, text in depends.items()
    }
    return Index(packages=packages, provides={"virtual": (("b", ""), ("d", "2.0"))})


@pytest.mark.parametrize(
    ("depends", "exclude", "taken"),
    [
        ({"a": "b", "b": "c", "c": "a"}, (), "a b c"),
        ({"a": "b | c", "b": "", "c": ""}, (), "a b"),
        ({"a": "none | c", "c": ""}, (), "a c"),
        ({"a": "b (>= 2) | c (= 1.0)", "b": "", "c": ""}, (), "a c"),
        ({"a": "c, b | c", "b": "", "c": ""}, (), "a c"),
        ({"a": "virtual", "b": "", "d": ""}, (), "a b"),
        ({"a": "virtual (>= 1.5)", "b": "", "d": ""}, (), "a d"),
        ({"a": "b", "b": "c", "c": ""}, ("b",), "a"),
        ({"a": "b | x", "b": ""}, ("x",), "a"),
        ({"a": "virtual", "b": "", "d": ""}, ("b",), "a"),
    ],
)
def test_the_closure(depends: dict[str, str], exclude: tuple[str, ...], taken: str) -> None:
    assert closure.resolve(_packages(**depends), ["a"], exclude) == taken.split()


@pytest.mark.parametrize(
    "depends", [{"b": ""}, {"a": "b"}, {"a": "b (>> 1.0)", "b": ""}, {"a": "virtual (= 9)"}]
)
def test_what_cannot_be_had_E117(depends: dict[str, str]) -> None:
    with pytest.raises(EdgebuildError) as caught:
        closure.resolve(_packages(**depends), ["a"], ())
    assert caught.value.kind.code == "E117"
