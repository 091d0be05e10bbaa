# SPDX-License-Identifier: Apache-2.0
"""Making a lock from a signed archive, and reading only what a lock may say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.host import lockfile as reader
from edgebuild.host import paths
from edgebuild.host.store import Store
from edgebuild.trust import lockfile
from tests.unit.host_helpers import FakeArchive

INPUTS = """
suite = "trixie"
components = ["main"]

[groups.runtime]
architectures = ["amd64", "arm64"]
packages = ["app-@"]
closure = true
exclude = ["big"]

[groups.data]
architectures = ["all"]
packages = ["data"]
keep = { data = ["usr/share/x"] }

[groups.sources]
sources = ["app"]
"""


@pytest.fixture
def archive(tmp_path: Path) -> FakeArchive:
    made = FakeArchive(tmp_path / "archive")
    for cpu in ("amd64", "arm64"):
        extra = "Source: app (1:2-1)\nPre-Depends: lib\nDepends: big | small, data\n"
        made.add(f"app-{cpu}", "1:2-1+b1", cpu, extra=extra)
        made.add("lib", arch=cpu)
        made.add("big", arch=cpu)
    made.add("data", "3+x", "all")
    files = {"app_2.orig.tar.xz": b"o", "app_2.orig.tar.xz.asc": b"s", "app_2-1.dsc": b"d"}
    made.add_source("app", "1:2-1", files)
    return made


def _make(archive: FakeArchive, tmp_path: Path, text: str = INPUTS) -> bytes:
    store = Store(cache=tmp_path / "cache", mirror=archive.address)
    wanted = lockfile.inputs(text)
    return lockfile.make(wanted, archive.keys, store.unlocked, lambda f: store.blob(f).read_bytes())


@pytest.mark.parametrize("by_hash", [True, False])
def test_a_lock_is_made_and_read(archive: FakeArchive, tmp_path: Path, by_hash: bool) -> None:
    archive.publish(by_hash)
    data = _make(archive, tmp_path)
    lock = reader.parse(data, "lock")
    assert sorted(lock.groups) == ["data", "runtime-amd64", "runtime-arm64", "sources"]
    app, shared, lib = reader.group(lock, "runtime-arm64")
    assert (app.name, app.version, app.source, app.source_version) == (
        "app-arm64", "1:2-1+b1", "app", "1:2-1",
    )  # fmt: skip
    assert lib.name == "lib"
    assert shared.keep == ()
    assert lock.groups["data"][0].keep == ("usr/share/x",)
    assert app.files[0].purl == "pkg:deb/debian/app-arm64@1:2-1%2Bb1?arch=arm64&distro=trixie"
    (source,) = lock.groups["sources"]
    assert [Path(file.path).name for file in source.files] == ["app_2-1.dsc", "app_2.orig.tar.xz"]
    assert lock.archive_date == "Sat, 12 Sep 2026 07:55:41 UTC"
    assert data == _make(archive, tmp_path)
    assert b"://" not in data


def test_what_is_locked_can_be_fetched(archive: FakeArchive, tmp_path: Path) -> None:
    archive.publish()
    lock = reader.parse(_make(archive, tmp_path), "lock")
    store = Store(cache=tmp_path / "cache", mirror=archive.address)
    assert (store.sysroot(lock, "runtime-amd64") / "usr/share/lib").read_text() == "lib"


@pytest.mark.parametrize(
    ("old", "new"), [('["data"]', '["none"]'), ('["app"]', '["none"]'), ("app-@", "none-@")]
)
def test_an_unknown_package_E117(archive: FakeArchive, tmp_path: Path, old: str, new: str) -> None:
    archive.publish()
    text = INPUTS.replace(f"packages = {old}", f"packages = {new}").replace(
        f"sources = {old}", f"sources = {new}"
    )
    with pytest.raises(EdgebuildError) as caught:
        _make(archive, tmp_path, text.replace(old, new) if old == "app-@" else _no_keep(text))
    assert caught.value.kind.code == "E117"


def _no_keep(text: str) -> str:
    return text.replace('keep = { data = ["usr/share/x"] }\n', "")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("suite", "siute", "siute"),
        ('suite = "trixie"', "", "suite"),
        ('suite = "trixie"', "suite = [", "Invalid"),
        ("closure = true", "closure = 1", "closure"),
        ("exclude", "exclued", "exclued"),
        ('["big"]', '"big"', "exclude"),
        ('"amd64", "arm64"', '"vax"', "vax"),
        ('sources = ["app"]', "", "either"),
        ('[groups.data]', "[groups]\nx = 1\n[groups.data]", "groups"),
        ('keep = { data', "keep = { other", "other"),
        ('keep = { data = ["usr/share/x"] }', "keep = 1", "keep"),
    ],
)  # fmt: skip
def test_wrong_inputs_E118(
    archive: FakeArchive, tmp_path: Path, old: str, new: str, says: str
) -> None:
    archive.publish()
    if old not in INPUTS:
        pytest.fail(f"nothing to replace: {old}")
    with pytest.raises(EdgebuildError) as caught:
        _make(archive, tmp_path, INPUTS.replace(old, new))
    assert caught.value.kind.code == "E118"
    assert says in caught.value.message


def test_the_shipped_inputs_and_lock_belong_together() -> None:
    locks = paths.data_dir() / "locks"
    lock = reader.read(locks / "trixie.lock.json")
    wanted = lockfile.inputs((locks / "inputs.toml").read_text("utf-8"))
    labels = {
        name if not group.architectures or arch == "all" else f"{name}-{arch}"
        for name, group in wanted.groups.items()
        for arch in group.architectures or ("all",)
    }
    assert labels == lock.groups.keys()
    assert lock.suite == wanted.suite
    assert len(lock.signed_by) == 2
    for label, packages in lock.groups.items():
        assert packages, label
        assert [package.name for package in packages] == sorted(p.name for p in packages)


def _small() -> dict[str, Any]:
    return {
        "format": "edgebuild-lock-1",
        "suite": "trixie",
        "archive_date": "",
        "release_sha256": "0" * 64,
        "signed_by": [],
        "groups": {"g": {"packages": ["x"], "keep": {}}},
        "packages": {
            "x": {
                "name": "x", "version": "1", "architecture": "all", "source": "x",
                "source_version": "1",
                "files": [
                    {"path": "pool/x.deb", "sha256": "0" * 64, "size_bytes": 1, "purl": "pkg:x"}
                ],
            }
        },
    }  # fmt: skip


def _broken() -> dict[str, bytes]:
    def with_file(**values: object) -> bytes:
        data = _small()
        data["packages"]["x"]["files"][0].update(values)
        return json.dumps(data).encode()

    def with_top(**values: object) -> bytes:
        return json.dumps(_small() | values).encode()

    return {
        "no json": b"{",
        "a list": b"[]",
        "deep": b"[" * 100_000,
        "another format": with_top(format="edgebuild-lock-0"),
        "no suite": with_top(suite=None),
        "unknown package": with_top(groups={"g": {"packages": ["y"], "keep": {}}}),
        "no keep": with_top(groups={"g": {"packages": ["x"]}}),
        "climbing path": with_file(path="pool/../../etc/passwd"),
        "absolute path": with_file(path="/etc/passwd"),
        "a host": with_file(path="http://host/pool/x.deb"),
        "a short digest": with_file(sha256="00"),
        "a path as digest": with_file(sha256="../" * 21 + "x"),
        "a negative size": with_file(size_bytes=-1),
        "a true size": with_file(size_bytes=True),
    }


@pytest.mark.parametrize("what", sorted(_broken()))
def test_a_broken_lock_E109(tmp_path: Path, what: str) -> None:
    assert reader.parse(json.dumps(_small()).encode(), "x").groups["g"][0].name == "x"
    place = tmp_path / "lock.json"
    place.write_bytes(_broken()[what])
    with pytest.raises(EdgebuildError) as caught:
        reader.read(place)
    assert caught.value.kind.code == "E109"
    assert caught.value.where == str(place)


def test_no_lock_E109(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError) as caught:
        reader.read(tmp_path / "none")
    assert caught.value.kind.code == "E109"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(_small())), JSON)
def test_any_value_is_read_or_refused_E109(key: str, value: object) -> None:
    data = json.dumps(_small() | {key: value}).encode()
    try:
        reader.parse(data, "x")
    except EdgebuildError as error:
        assert error.kind.code == "E109"
