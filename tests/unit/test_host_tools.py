# SPDX-License-Identifier: Apache-2.0
"""Locked tools run through their own loader; this machine's libraries play no part."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import process, tools
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
from tests.unit.host_helpers import FakeArchive, deb, lock, package

LOADER = Path("/lib64/ld-linux-x86-64.so.2")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeArchive:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return FakeArchive(tmp_path / "archive")


def _store(archive: FakeArchive, tmp_path: Path) -> Store:
    return Store(cache=tmp_path / "cache", mirror=archive.address)


def _libraries_of(program: str) -> list[Path]:
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [Path(word) for word in said.split() if word.startswith("/") and ".so" in word]


@pytest.mark.skipif(not LOADER.exists() or not shutil.which("ldd"), reason="no amd64 glibc here")
def test_a_dynamic_tool_runs_from_the_cache(archive: FakeArchive, tmp_path: Path) -> None:
    shell = os.path.realpath("/bin/sh")
    entries = [("./usr/bin/gzip", Path(shell).read_bytes())]
    entries += [(f"./{LIBRARIES}/{one.name}", one.read_bytes()) for one in _libraries_of(shell)]
    file = archive.add("gzip", data=deb(entries))
    locked = lock(tools_image_amd64=[package("gzip", file)])
    command = tools.tool(_store(archive, tmp_path), locked, "gzip")
    code = "echo $0; cat /proc/$$/maps"
    said = process.run([*command, "-c", code], what="try").text
    assert said.splitlines()[0].endswith("/usr/bin/gzip")
    mapped = {line.split()[-1] for line in said.splitlines()[1:] if ".so" in line}
    assert mapped
    assert all(str(tmp_path) in path for path in mapped)


def _qemu(archive: FakeArchive) -> Lock:
    system = archive.add("qemu-system-arm", data=deb([("./usr/bin/qemu-system-aarch64", b"x")]))
    user = archive.add("qemu-user", data=deb([("./usr/bin/qemu-aarch64", b"x")]))
    return lock(
        tools_qemu_arm_amd64=[package("qemu-system-arm", system)],
        tools_qemu_aarch64_amd64=[package("qemu-user", user)],
    )


def test_an_emulator_is_told_where_its_data_is(archive: FakeArchive, tmp_path: Path) -> None:
    locked, store = _qemu(archive), _store(archive, tmp_path)
    root = tools.folder(store, locked, "qemu-system-aarch64")
    command = tools.tool(store, locked, "qemu-system-aarch64")
    assert command[-6:] == [
        "-L", f"{root}/usr/share/qemu", "-L", f"{root}/usr/share/seabios",
        "-L", f"{root}/usr/lib/ipxe/qemu",
    ]  # fmt: skip
    assert command[0] == f"{root}/{LIBRARIES}/ld-linux-x86-64.so.2"


def test_a_static_tool_needs_no_loader(archive: FakeArchive, tmp_path: Path) -> None:
    locked, store = _qemu(archive), _store(archive, tmp_path)
    root = tools.folder(store, locked, "qemu-aarch64")
    assert tools.tool(store, locked, "qemu-aarch64") == [f"{root}/usr/bin/qemu-aarch64"]


def test_a_package_that_lost_its_tool_E110(archive: FakeArchive, tmp_path: Path) -> None:
    locked = lock(tools_image_amd64=[package("gzip", archive.add("gzip"))])
    with pytest.raises(EdgebuildError, match="E110"):
        tools.tool(_store(archive, tmp_path), locked, "gzip")


def test_a_tool_that_is_not_locked_E110(archive: FakeArchive, tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError) as caught:
        tools.tool(_store(archive, tmp_path), _qemu(archive), "gcc")
    assert caught.value.kind.code == "E110"


@pytest.mark.parametrize("machine", ["aarch64", "s390x"])
def test_a_machine_without_tools_E111(
    archive: FakeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    locked = _qemu(archive)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(EdgebuildError) as caught:
        tools.tool(_store(archive, tmp_path), locked, "qemu-aarch64")
    assert caught.value.kind.code == "E111"
