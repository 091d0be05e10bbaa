# SPDX-License-Identifier: Apache-2.0
"""A sysroot of empty files and a lock of invented packages."""

from __future__ import annotations

from pathlib import Path

from edgebuild.model.lock import Lock, LockedFile, LockedPackage
from edgebuild.model.profile import Cache, Cpu
from edgebuild.runtimes import objects
from edgebuild.runtimes.toolchain import Toolchain, machine

RUNTIME_PACKAGES = (
    "libc6-dev", "libgcc-14-dev", "libpython3.13-dev", "libsqlite3-dev", "libssl-dev",
    "linux-libc-dev", "zlib1g-dev",
)  # fmt: skip


def cpu(model: str = "cortex-a72", features: tuple[str, ...] = ()) -> Cpu:
    return Cpu(
        arch="aarch64",
        model=model,
        features=features,
        cores=4,
        clock_mhz=1500,
        cache=Cache(l1d_bytes=32768, l2_bytes=1048576),
        macs_per_cycle_f32=4.0,
        macs_per_cycle_int8=8.0,
    )


def tools(sysroot: Path, deb_arch: str = "arm64") -> Toolchain:
    return Toolchain(
        deb_arch=deb_arch, machine=machine(deb_arch), mcpu="cortex_a72", sysroot=sysroot
    )


def fill_sysroot(root: Path, deb_arch: str = "arm64") -> Toolchain:
    """Empty files wherever the linker will look."""
    made = tools(root, deb_arch)
    recipe = objects.link_recipe(made, [])
    triplet = made.machine.triplet
    names = [*recipe["start"], *recipe["archives"], *recipe["end"]]
    names += [f"usr/lib/{triplet}/lib{name}.a" for name in ("ssl", "crypto", "sqlite3", "z")]
    names += [f"usr/lib/python3.13/config-3.13-{triplet}/libpython3.13-pic.a"]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return made


def package(name: str, architecture: str = "arm64") -> LockedPackage:
    file = LockedFile(
        path=f"pool/main/x/{name}_1.0_{architecture}.deb",
        sha256="0" * 64,
        size_bytes=1,
        purl=f"pkg:deb/debian/{name}@1.0?arch={architecture}&distro=trixie",
    )
    return LockedPackage(
        name=name,
        version="1.0",
        architecture=architecture,
        source=name,
        source_version="1.0",
        files=(file,),
    )


def lock(*names: str, sources: tuple[str, ...] = ("python3.13",)) -> Lock:
    groups = {
        "runtime-arm64": tuple(package(name) for name in names or RUNTIME_PACKAGES),
        "sources": tuple(package(name, "source") for name in sources),
    }
    return Lock(
        suite="trixie",
        archive_date="Sat, 12 Sep 2026 07:55:41 UTC",
        release_sha256="0" * 64,
        signed_by=(),
        groups=groups,
        digest="0" * 64,
    )
