# SPDX-License-Identifier: Apache-2.0
"""What the chapters report becomes one list of components with origins."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.model.lock import Lock, LockedFile, LockedPackage
from edgebuild.trust import inventory, spdx
from edgebuild.trust.sbom import Component, Contents


def package(name: str, version: str, arch: str, source: str, digest: str) -> LockedPackage:
    purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={arch}&distro=trixie"
    suffixes = ("debian.tar.xz", "dsc") if arch == "source" else ("deb",)
    return LockedPackage(
        name=name,
        version=version,
        architecture=arch,
        source=source,
        source_version=version,
        files=tuple(
            LockedFile(path=f"pool/{name}.{suffix}", sha256=digest, size_bytes=1, purl=purl)
            for suffix in suffixes
        ),
    )


PYTHON_SOURCE = package("python3.13", "3.13.5-2+deb13u5", "source", "python3.13", "a1" * 32)
PYTHON = package("libpython3.13-dev", "3.13.5-2+deb13u5", "arm64", "python3.13", "a2" * 32)
KERNEL = package("linux-image-6.12-arm64", "6.12.107-1", "arm64", "linux-signed-arm64", "a3" * 32)
BOOT = package("systemd-boot-efi", "257.13-1", "arm64", "systemd", "a4" * 32)
DHCP = package("dhcpcd", "1:10.1.0-11", "source", "dhcpcd", "a5" * 32)

LOCK = Lock(
    suite="trixie",
    archive_date="Sat, 06 Sep 2025 09:47:56 UTC",
    release_sha256="22" * 32,
    signed_by=("0" * 40,),
    groups={
        "runtime-arm64": (PYTHON,),
        "sources": (PYTHON_SOURCE,),
        "linux-arm64": (KERNEL, BOOT),
        "dhcp": (DHCP,),
    },
    digest="44" * 32,
)


def linked(one: LockedPackage) -> dict[str, Any]:
    """A row of the runtime's table."""
    return {
        "name": one.name,
        "version": one.version,
        "architecture": one.architecture,
        "source": one.source,
        "source_version": one.source_version,
        "licence": "Python-2.0.1",
        "files": [{"path": f.path, "sha256": f.sha256, "purl": f.purl} for f in one.files],
    }


def in_image(path: str, origin: str) -> dict[str, Any]:
    return {"path": path, "kind": "file", "package": origin, "sha256": "b0" * 32, "bytes": 1}


CHAPTERS = inventory.Chapters(
    linked=[linked(PYTHON), linked(PYTHON_SOURCE)],
    cards=[{"name": "kws", "digest": "sha256:" + "cc" * 32, "licence": "Apache-2.0"}],
    payload={
        "files": [
            {"path": "/etc", "kind": "directory", "package": "edgebuild"},
            in_image("/etc/passwd", "edgebuild"),
            in_image("/boot/#kernel", KERNEL.files[0].purl),
            in_image("/boot/#kernel", KERNEL.files[0].purl),
            in_image("/boot/a.efi", BOOT.files[0].purl),
            in_image("/usr/sbin/dhcpcd", DHCP.files[0].purl),
        ]
    },
    holders=("mcp-gateway-arm64", "rpi4.img.zst"),
    image="rpi4.img.zst",
)
ARTIFACTS = {"mcp-gateway-arm64": "01" * 32, "rpi4.img.zst": "02" * 32}


def gather(chapters: inventory.Chapters = CHAPTERS) -> Contents:
    return inventory.contents(LOCK, chapters, target="rpi4", version="0.1.0", artifacts=ARTIFACTS)


def by_name(contents: Contents) -> dict[tuple[str, str], Component]:
    return {(one.name, one.kind): one for one in contents.components}


def test_every_package_source_and_model_inside_is_a_component() -> None:
    found = by_name(gather())
    assert set(found) == {
        ("edgegate", "application"),
        ("kws", "model"),
        ("libpython3.13-dev", "library"),
        ("python3.13", "library"),
        ("python3.13", "source"),
        ("edgebuild-image", "configuration"),
        ("musl", "library"),
        ("linux-image-6.12-arm64", "kernel"),
        ("linux-signed-arm64", "source"),
        ("systemd-boot-efi", "firmware"),
        ("systemd", "source"),
        ("dhcpcd", "application"),
        ("dhcpcd", "source"),
    }
    assert spdx.document(gather())


def test_digests_are_those_of_the_lock() -> None:
    found = by_name(gather())
    assert found["libpython3.13-dev", "library"].sha256 == "a2" * 32
    assert found["python3.13", "source"].sha256 == "a1" * 32
    assert found["linux-image-6.12-arm64", "kernel"].sha256 == "a3" * 32
    assert found["kws", "model"].sha256 == "cc" * 32


def test_what_was_compiled_here_comes_from_its_locked_source() -> None:
    found = by_name(gather())
    built = found["dhcpcd", "application"]
    assert built.sha256 == ""
    assert built.purl == "pkg:generic/dhcpcd@1:10.1.0-11"
    assert built.source == DHCP.files[0].purl
    assert found["python3.13", "library"].source == PYTHON_SOURCE.files[0].purl
    assert found["libpython3.13-dev", "library"].source == PYTHON_SOURCE.files[0].purl


def test_image_files_belong_to_the_image_alone_and_the_runtime_to_every_holder() -> None:
    found = by_name(gather())
    kernel = found["linux-image-6.12-arm64", "kernel"]
    assert kernel.artifacts == ("rpi4.img.zst",)
    assert [file.path for file in kernel.files] == ["/boot/#kernel"]
    assert kernel.licence == "GPL-2.0-only WITH Linux-syscall-note"
    assert found["systemd-boot-efi", "firmware"].licence == "LGPL-2.1-or-later"
    assert found["edgegate", "application"].artifacts == CHAPTERS.holders


def test_a_release_without_firmware_has_no_image_components() -> None:
    chapters = dataclasses.replace(CHAPTERS, payload=None, image="")
    assert ("edgebuild-image", "configuration") not in by_name(gather(chapters))


def test_e508_for_a_file_in_the_image_that_no_locked_package_explains() -> None:
    payload = {"files": [in_image("/usr/bin/x", "pkg:deb/debian/x@1?arch=arm64")]}
    with pytest.raises(EdgebuildError, match="/usr/bin/x") as raised:
        gather(dataclasses.replace(CHAPTERS, payload=payload))
    assert raised.value.kind.code == "E508"
