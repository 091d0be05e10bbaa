# SPDX-License-Identifier: Apache-2.0
"""Unified diffs: equal to patch(1) where it is there, refused where they do not fit."""

from __future__ import annotations

import difflib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.host import patch

TEXT = b"".join(b"line %d\n" % number for number in range(1, 30))


def _apply(root: Path, diff: bytes, before: bytes | None = TEXT) -> bytes:
    if before is not None:
        (root / "file").write_bytes(before)
    patch.apply(diff, root, "x.patch")
    return (root / "file").read_bytes()


def test_a_hunk_that_has_moved(tmp_path: Path) -> None:
    diff = b"--- a/file\n+++ b/file\n@@ -12,2 +12,2 @@\n line 20\n-line 21\n+LINE\n"
    assert b"line 20\nLINE\nline 22\n" in _apply(tmp_path, diff)


def test_a_file_without_a_last_newline(tmp_path: Path) -> None:
    diff = (
        b"--- a/file\n+++ b/file\n@@ -1 +1 @@\n-old\n\\ No newline at end of file\n"
        b"+new\n\\ No newline at end of file\n"
    )
    assert _apply(tmp_path, diff, b"old") == b"new"
    diff = b"--- a/file\n+++ b/file\n@@ -1 +1,2 @@\n-new\n\\ No newline at end of file\n+a\n+b\n"
    assert _apply(tmp_path, diff, b"new") == b"a\nb\n"


def test_git_headers_dates_and_dropped_spaces(tmp_path: Path) -> None:
    diff = (
        b"From: someone\n---\n file | 2 +-\n\ndiff --git a/file b/file\nindex 1..2\n"
        b"--- a/file\t2020-01-01\n+++ b/file\t2020-01-02\n"
        b"@@ -1,3 +1,3 @@ f()\n a\n\n-b\n+c\n-- \n2.1\n"
    )
    assert _apply(tmp_path, diff, b"a\n\nb\n") == b"a\n\nc\n"


def test_a_file_is_made_and_removed(tmp_path: Path) -> None:
    patch.apply(b"--- /dev/null\n+++ b/d/new\n@@ -0,0 +1,2 @@\n+a\n+b\n", tmp_path, "x")
    assert (tmp_path / "d/new").read_bytes() == b"a\nb\n"
    patch.apply(b"--- a/d/new\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n", tmp_path, "x")
    assert not (tmp_path / "d/new").exists()


BAD = {
    "context": b"--- a/file\n+++ b/file\n@@ -1 +1 @@\n-nothing like it\n+x\n",
    "missing file": b"--- a/none\n+++ b/none\n@@ -1 +1 @@\n-line 1\n+x\n",
    "cut": b"--- a/file\n+++ b/file\n@@ -1,2 +1,2 @@\n line 1\n",
    "bad line": b"--- a/file\n+++ b/file\n@@ -1,2 +1,2 @@\n line 1\n?what\n",
    "climbs": b"--- a/../file\n+++ b/../file\n@@ -1 +1 @@\n-a\n+b\n",
    "no file": b"--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n",
    "through a link": b"--- a/out/x\n+++ b/out/x\n@@ -0,0 +1 @@\n+b\n",
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_what_does_not_fit_E119(tmp_path: Path, what: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(EdgebuildError) as caught:
        _apply(root, BAD[what])
    assert caught.value.kind.code == "E119"
    assert caught.value.where == "x.patch"
    assert not (tmp_path / "x").exists()


LINES = st.lists(
    st.sampled_from([b"a\n", b"b\n", b"c\r\n", b"\n", b" \n", b"--- a/f\n"]), max_size=30
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(before=LINES, after=LINES, context=st.integers(0, 3))
def test_a_diff_turns_before_into_after(
    tmp_path: Path, before: list[bytes], after: list[bytes], context: int
) -> None:
    diff = b"".join(
        difflib.diff_bytes(difflib.unified_diff, before, after, b"a/file", b"b/file", n=context)
    )
    assert _apply(tmp_path, diff, b"".join(before)) == b"".join(after)


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch(1) is not installed")
def test_the_same_as_patch(tmp_path: Path) -> None:
    after = TEXT.replace(b"line 7\n", b"seven\n").replace(b"line 20\n", b"").replace(b"9\n", b"!\n")
    diff = b"".join(
        difflib.diff_bytes(
            difflib.unified_diff, TEXT.splitlines(True), after.splitlines(True), b"a/f", b"b/f"
        )
    ).replace(b"a/f", b"a/file").replace(b"b/f", b"b/file")  # fmt: skip
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_bytes(b"shift\n" + TEXT)
    subprocess.run(["patch", "-p1", "-s", "-F0"], input=diff, cwd=theirs, check=True)
    assert _apply(tmp_path, diff, b"shift\n" + TEXT) == (theirs / "file").read_bytes()
