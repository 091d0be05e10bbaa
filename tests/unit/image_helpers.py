# SPDX-License-Identifier: Apache-2.0
"""Small stand-ins for what image tests need: programs, kernel modules, stubs, packages."""

from __future__ import annotations

import gzip
import lzma
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from edgebuild.config import profiles
from edgebuild.host import paths
from edgebuild.model.lock import Lock, LockedFile, LockedPackage
from edgebuild.model.profile import Profile

MACHINES = {"amd64": 62, "arm64": 183, "riscv64": 243}


def program(arch: str = "arm64", *, kind: int = 2, interpreter: bool = False) -> bytes:
    """The smallest file that looks like a static executable."""
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", kind, MACHINES[arch], 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 3 if interpreter else 1, 5, 0, 0, 0, 0, 0, 0)


def module(**facts: list[str]) -> bytes:
    """An ELF file whose .modinfo section says these things."""
    info = b"".join(f"{key}={value}\0".encode() for key in facts for value in facts[key])
    names = b"\0.modinfo\0.shstrtab\0"
    at_info, at_names = 64, 64 + len(info)
    table = at_names + len(names)
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 1, 183, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    sections = bytes(64)
    for name, offset, size in ((1, at_info, len(info)), (10, at_names, len(names))):
        sections += struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offset, size, 0, 0, 1, 0)
    return head + info + names + sections


def stub(*, sections: int = 2, room: int = 1024) -> bytes:
    """A PE file with ``sections`` sections of 16 bytes."""
    optional = bytearray(112)
    struct.pack_into("<II", optional, 32, 4096, 512)
    struct.pack_into("<III", optional, 56, 8192, room, 0xDEAD)
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, sections, 0, 0, 0, len(optional), 0)
    head += optional
    for index in range(sections):
        place = room + 512 * index
        head += struct.pack(
            "<8sIIIIIIHHI", b".s%d" % index, 16, 4096 * (index + 1), 512, place, 0, 0, 0, 0, 0
        )
    return head.ljust(room, b"\0") + b"".join(b"S" * 512 for _ in range(sections))


def write(root: Path, files: dict[str, bytes]) -> Path:
    """A tree of files."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def kernel_tree(root: Path) -> Path:
    """An unpacked kernel package with a handful of modules."""
    release = "usr/lib/modules/6.12.1-test"
    drivers = {
        "erofs": module(depends=["libcrc32c"], alias=["fs-erofs"]),
        "libcrc32c": module(depends=[""], softdep=["pre: crc32c"]),
        "crc32c_generic": module(depends=[""], alias=["crypto-crc32c"]),
        "virtio_blk": module(depends=["virtio-ring"], alias=["virtio:d00000002v*"]),
        "virtio-ring": module(depends=[""]),
    }
    files = {f"{release}/kernel/{name}.ko.xz": lzma.compress(drivers[name]) for name in drivers}
    files[f"{release}/modules.builtin"] = b"kernel/fs/ext4/ext4.ko\n"
    files["boot/vmlinuz-6.12.1-test"] = b"MZ kernel" * 100
    files["usr/lib/linux-image-6.12.1-test/broadcom/bcm2711-rpi-4-b.dtb"] = b"device tree"
    return write(root, files)


def package(name: str, arch: str = "arm64") -> LockedPackage:
    """A locked package of one file."""
    purl = f"pkg:deb/debian/{name}@1?arch={arch}&distro=trixie"
    file = LockedFile(path=f"pool/{name}_1_{arch}.deb", sha256="0" * 64, size_bytes=1, purl=purl)
    return LockedPackage(
        name=name, version="1", architecture=arch, source=name, source_version="1", files=(file,)
    )


def lock(*, date: str = "Sat, 12 Sep 2026 07:55:41 UTC") -> Lock:
    """A lock with the groups that images are made from."""
    groups = {
        "dhcp": (package("dhcpcd", "source"),),
        "raspi-firmware": (package("raspi-firmware", "all"),),
    }
    for arch in MACHINES:
        groups[f"linux-{arch}"] = (package("linux-image-6.12.1-test", arch),)
        groups[f"boot-{arch}"] = (package("systemd-boot-efi", arch),)
        groups[f"debug-shell-{arch}"] = (package("busybox-static", arch),)
    return Lock(
        suite="trixie",
        archive_date=date,
        release_sha256="0" * 64,
        signed_by=(),
        groups=MappingProxyType(groups),
        digest="1" * 64,
    )


@dataclass
class FakeStore:
    """Unpacked packages by group, as ``host.store.Store`` gives them."""

    root: Path
    trees: dict[str, Path] = field(default_factory=dict)

    def sysroot(self, lock: Lock, group: str) -> Path:
        assert group in lock.groups, group
        return self.trees[group]

    def source(self, lock: Lock, name: str) -> Path:
        assert any(name == one.name for group in lock.groups.values() for one in group)
        return self.trees[name]


def store(root: Path) -> FakeStore:
    """A store with a kernel, a stub, the Pi's firmware, a shell and dhcpcd's sources."""
    trees = {}
    for arch, efi in (("amd64", "x64"), ("arm64", "aa64"), ("riscv64", "riscv64")):
        trees[f"linux-{arch}"] = kernel_tree(root / f"linux-{arch}")
        place = f"usr/lib/systemd/boot/efi/linux{efi}.efi.stub"
        trees[f"boot-{arch}"] = write(root / f"boot-{arch}", {place: stub()})
        trees[f"debug-shell-{arch}"] = write(
            root / f"shell-{arch}", {"usr/bin/busybox": program(arch)}
        )
    pi = {f"usr/lib/raspi-firmware/{name}": name.encode() for name in ("start4.elf", "fixup4.dat")}
    trees["raspi-firmware"] = write(root / "pi", pi)
    trees["dhcpcd"] = write(
        root / "dhcpcd",
        {
            "src/dhcpcd-definitions.conf": b"# c\ndefine 1\tx\ndefinend 2  y\ndefine6 3 z\n",
            "src/dhcpcd-embedded.c.in": b"const char dhcpcd_embedded_conf[] =\n",
            "src/dhcpcd-embedded.h.in": b"@INITDEFINES@ @INITDEFINENDS@ @INITDEFINE6S@\n",
        },
    )
    return FakeStore(root, trees)


GZIP = [sys.executable, "-c", "import gzip,sys;sys.stdout.buffer.write("
        "gzip.compress(sys.stdin.buffer.read(),mtime=0))"]  # fmt: skip


def unzip(data: bytes) -> bytes:
    return gzip.decompress(data)


def profile(name: str = "rpi4") -> Profile:
    """A profile that edgebuild ships."""
    return profiles.load(name, paths.data_dir() / "targets")
