# SPDX-License-Identifier: Apache-2.0
"""File trees as values: tar and cpio of them, and the listing for the SBOM."""

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.images import cpio, tree

ENTRIES = [
    tree.Entry(path="/sbin/init", mode=0o755, data=b"program", origin="pkg:deb/debian/x@1"),
    tree.directory("/sbin"),
    tree.directory("/data", 0o700, 65532),
    tree.link("/etc/resolv.conf", "/run/resolv.conf"),
    tree.directory("/etc"),
    tree.Entry(path="/etc/empty"),
]


def test_a_tar_is_sorted_and_says_nothing_of_this_machine() -> None:
    data = tree.to_tar(ENTRIES)
    assert data == tree.to_tar(reversed(ENTRIES))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == [
        "data", "etc", "etc/empty", "etc/resolv.conf", "sbin", "sbin/init",
    ]  # fmt: skip
    assert {(m.mtime, m.uname, m.gname) for m in members} == {(tree.EPOCH_S, "", "")}
    assert (members[0].uid, members[0].gid, members[0].mode) == (65532, 65532, 0o700)
    assert members[3].linkname == "/run/resolv.conf"


def test_entries_come_back_from_a_tar() -> None:
    origins = {"/sbin/init": "pkg:deb/debian/x@1"}
    assert tree.from_tar(tree.to_tar(ENTRIES), origins) == tree.ordered(ENTRIES)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=5), st.binary(max_size=600), max_size=6))
def test_any_content_survives_a_tar(files: dict[str, bytes]) -> None:
    entries = tree.ordered(tree.Entry(path=f"/{name}", data=files[name]) for name in files)
    assert tree.from_tar(tree.to_tar(entries), {}) == entries


def test_the_listing_has_digest_owner_and_origin() -> None:
    listed = {str(one["path"]): one for one in tree.listing(ENTRIES)}
    assert listed["/sbin/init"] == {
        "path": "/sbin/init", "kind": "file", "mode": "0755", "uid": 0, "gid": 0, "bytes": 7,
        "package": "pkg:deb/debian/x@1", "sha256": hashlib.sha256(b"program").hexdigest(),
    }  # fmt: skip
    assert listed["/etc/resolv.conf"]["target"] == "/run/resolv.conf"
    assert "sha256" not in listed["/data"]


def test_an_initramfs_is_newc() -> None:
    console = tree.Entry(path="/dev/console", kind="console", mode=0o600)
    data = cpio.archive([tree.directory("/dev"), console, tree.link("/l", "init")])
    assert data.startswith(b"070701")
    assert len(data) % 4 == 0
    head = data.index(b"dev/console\0") - 110
    fields = [int(data[head + 6 + 8 * i : head + 14 + 8 * i], 16) for i in range(13)]
    assert fields[1] == 0o020600
    assert fields[9:11] == [5, 1]
    assert data.rstrip(b"\0").endswith(b"TRAILER!!!")


@pytest.mark.skipif(shutil.which("cpio") is None, reason="there is no cpio on this machine")
def test_cpio_unpacks_it(tmp_path: Path) -> None:
    data = cpio.archive([entry for entry in ENTRIES if entry.path != "/data"])
    subprocess.run(["cpio", "-id", "--quiet"], input=data, cwd=tmp_path, check=True)
    assert (tmp_path / "sbin/init").read_bytes() == b"program"
    assert (tmp_path / "sbin/init").stat().st_mode & 0o777 == 0o755
