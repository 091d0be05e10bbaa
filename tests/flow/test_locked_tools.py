# SPDX-License-Identifier: Apache-2.0
"""The shipped lock against the machine's real mirror: it holds, and the tools in it run."""

from __future__ import annotations

import platform

import pytest

from edgebuild.host import lockfile, paths, process, tools
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
from edgebuild.trust import lockfile as making

pytestmark = pytest.mark.slow

# What makes a program say who it is and end; the others know --version.
ASKED = {"mke2fs": ["-V"], "debugfs": ["-V"], "e2fsck": ["-V"], "dump.erofs": ["-V"]}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the lock has tools for amd64")
@pytest.mark.parametrize("name", sorted(tools.TOOLS))
def test_a_locked_tool_runs(store: Store, lock: Lock, name: str) -> None:
    command = [*tools.tool(store, lock, name), *ASKED.get(name, ["--version"])]
    done = process.run(command, what=f"ask {name} for its version", timeout_s=60)
    version = {package.name: package.version for package in lock.groups[tools.group(name)]}
    said = (done.stdout + done.stderr).decode()
    assert any(_upstream(one) in said for one in version.values())


def _upstream(version: str) -> str:
    """The program's own version within a Debian version: 1:10.0.13+ds-0+deb13u1 -> 10.0.13."""
    return version.rpartition(":")[2].partition("-")[0].partition("+")[0]


def test_the_python_source_has_debian_s_patches(store: Store, lock: Lock) -> None:
    tree = store.source(lock, "python3.13")
    assert (tree / "Modules" / "_ssl.c").is_file()
    series = (tree / "debian" / "patches" / "series").read_text().split()
    assert len(series) > 5
    site = (tree / "Lib" / "site.py").read_text()
    assert "dist-packages" in site  # what Debian's distutils-install-layout patch brings


def test_the_archive_is_signed_by_the_shipped_keys(store: Store, lock: Lock) -> None:
    locks = paths.data_dir() / "locks"
    wanted = making.inputs((locks / "inputs.toml").read_text("utf-8"))
    keys = (locks / "debian-archive-trixie.asc").read_bytes()
    made = making.make(wanted, keys, store.unlocked, lambda file: store.blob(file).read_bytes())
    new = lockfile.parse(made, "new lock")
    assert new.groups.keys() == lock.groups.keys()
    assert new.signed_by == lock.signed_by
    if new.release_sha256 == lock.release_sha256:
        assert new.digest == lock.digest
