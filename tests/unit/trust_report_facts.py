# SPDX-License-Identifier: Apache-2.0
"""Facts of a small build, for the tests of the report."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import Any

from edgebuild.model.profile import Boot, Cache, Cpu, Emulator, Memory, Profile, Storage
from edgebuild.trust.report import Facts

PROFILE = Profile(
    name="rpi4",
    title="Raspberry Pi 4 Model B",
    debian_arch="arm64",
    outputs=("binary", "firmware"),
    cpu=Cpu(
        arch="aarch64",
        model="cortex-a72",
        cores=4,
        clock_mhz=1500,
        vector_bits=128,
        macs_per_cycle_f32=4.0,
        macs_per_cycle_int8=8.0,
        cache=Cache(l1d_bytes=32768, l2_bytes=1 << 20),
    ),
    memory=Memory(
        size_bytes=1 << 30,
        bandwidth_bytes_per_s=4_000_000_000,
        reserved_bytes=1 << 27,
        source="STREAM triad",
    ),
    storage=Storage(kind="sd", size_bytes=1 << 31, data_bytes=1 << 26),
    boot=Boot(method="raspberrypi", kernel="linux-arm64", console="ttyS1"),
    emulator=Emulator(
        system="qemu-system-aarch64", machine="virt", cpu="cortex-a72", memory_mb=512
    ),
)

OPERATORS: list[dict[str, Any]] = [
    {"name": "conv <first>", "kind": "conv2d", "macs": 1_200_000, "bytes_moved": 30_000,
     "time_s": 1.5e-4, "bound": "compute"},
    {"name": "pool", "kind": "pool2d", "macs": 0, "bytes_moved": 9_000, "time_s": 1e-6,
     "bound": "memory"},
    {"name": "dense", "kind": "dense", "macs": 40_000, "bytes_moved": 41_000, "time_s": 1.2e-5,
     "bound": "memory"},
]  # fmt: skip

CARD: dict[str, Any] = {
    "name": "kws",
    "digest": "sha256:" + "cc" * 32,
    "format": "tflite",
    "task": "classify",
    "description": "Key words & <noise>",
    "licence": None,
    "inputs": [{"name": "audio", "shape": [1, 490], "dtype": "int8", "bytes": 490}],
    "outputs": [{"name": "scores", "shape": [1, 12], "dtype": "int8", "bytes": 12}],
    "notes": ["the batch is fixed to 1"],
    "arena_bytes": 24_576,
    "weights_bytes": 800,
    "code_bytes": 300,
    "macs": 1_240_000,
    "parameters": 24_000,
    "memory_plan": [
        {"tensor": "a", "offset": 0, "bytes": 16_384, "first": 0, "last": 1},
        {"tensor": "b", "offset": 16_384, "bytes": 8_192, "first": 1, "last": 2},
        {"tensor": "c", "offset": 0, "bytes": 12, "first": 2, "last": 2},
    ],
    "operators": [],
}

FIT: dict[str, Any] = {
    "target": "rpi4",
    "models": [
        {"name": "kws", "weights_bytes": 800, "arena_bytes": 20_000, "time_s": 1.63e-4,
         "operators": OPERATORS}
    ],
    "gateway_bytes": 18 << 20,
    "memory_needed_bytes": 19 << 20,
    "memory_free_bytes": 896 << 20,
    "storage_needed_bytes": 188 << 20,
    "storage_bytes": 2 << 30,
}  # fmt: skip

PAYLOAD: dict[str, Any] = {
    "files": [
        {"path": "/etc", "kind": "directory", "package": "edgebuild"},
        {"path": "/boot/kernel8.img", "kind": "file", "bytes": 9 << 20,
         "package": "pkg:deb/debian/linux-image-6.12%2Bdeb13-arm64@6.12?arch=arm64"},
        {"path": "/boot/#kernel", "kind": "file", "bytes": 30 << 20,
         "package": "pkg:deb/debian/linux-image-6.12%2Bdeb13-arm64@6.12?arch=arm64"},
        {"path": "/usr/bin/mcp-gateway", "kind": "file", "bytes": 12 << 20,
         "package": "edgebuild"},
        {"path": "/etc/passwd", "kind": "file", "bytes": 90, "package": "edgebuild"},
        {"path": "/usr/sbin/dhcpcd", "kind": "file", "bytes": 700_000,
         "package": "pkg:deb/debian/dhcpcd@1:10?arch=source"},
    ],
    "image_bytes": 180 << 20,
}  # fmt: skip

CHECK: dict[str, Any] = {
    "model": "kws",
    "passed": True,
    "reference": "exact",
    "seed": 7,
    "share": 0.123456,
    "outputs": [
        {"name": "scores", "elements": 12, "differing": 1, "largest_difference": 1.0,
         "passed": True, "where": [0, 3]},
    ],
}  # fmt: skip

SECTIONS = {".text": 900, ".rodata": 1500, ".data": 64, ".eh_frame": 32, ".bss": 4096}


def elf_file() -> bytes:
    """A 64-bit ELF file with SECTIONS and nothing to run."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*SECTIONS, ".shstrtab"))
    body, table = b"", bytes(64)
    for name, size in SECTIONS.items():
        kind = 8 if name == ".bss" else 1
        offset = 64 + len(body)
        at = names.index(name.encode() + b"\0")
        table += struct.pack("<IIQQQQIIQQ", at, kind, 0, 0, offset, size, 0, 0, 1, 0)
        body += bytes(0 if kind == 8 else size)
    at = names.index(b".shstrtab\0")
    table += struct.pack("<IIQQQQIIQQ", at, 3, 0, 0, 64 + len(body), len(names), 0, 0, 1, 0)
    body += names
    count = len(SECTIONS) + 2
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack(
        "<HHIQQQIHHHHHH", 2, 183, 1, 0, 0, 64 + len(body), 0, 64, 56, 0, 64, count, count - 1
    )
    return head + body + table


def facts(folder: Path, **changes: object) -> Facts:
    """Facts with files in ``folder``."""
    program, other = folder / "mcp-gateway-arm64", folder / "rpi4.img.zst"
    program.write_bytes(elf_file())
    other.write_bytes(b"image")
    value = Facts(
        profile=PROFILE,
        version="0.1.0",
        fit=FIT,
        cards=[CARD],
        checks={"kws": CHECK},
        payload=PAYLOAD,
        artifacts=[other, program],
        executable=program,
    )
    return dataclasses.replace(value, **changes)  # type: ignore[arg-type]
