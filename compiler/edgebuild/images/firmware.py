# SPDX-License-Identifier: Apache-2.0
"""Assembles a firmware image: the base of the target, and the gateway of this release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from edgebuild.errors.images import IMAGE_TOO_LARGE
from edgebuild.host import files, tools
from edgebuild.host.store import Store
from edgebuild.images import bmap, filesystems, frames, gpt, tree
from edgebuild.images.elf import check_executable
from edgebuild.images.identity import identifier
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Profile

GATEWAY = "/usr/bin/mcp-gateway"
_ROOT_STEP = 32 << 20
# Every change of model waits for this frame: level 19 takes ten times as long for 8 % less.
_LEVEL = 12


def build(
    store: Store,
    lock: Lock,
    profile: Profile,
    base: Path,
    executable: Path,
    *,
    config: Path,
    image: Path,
    block_map: Path,
) -> dict[str, Any]:
    """Write the compressed image and its block map; return what is in the image.

    ``base`` is the folder that ``images.base.build`` wrote, ``config`` the gateway's
    configuration as JSON. The result has ``files`` (path, mode, uid, gid, sha256, package) and
    ``partitions``. Raises E403 when the image does not fit the medium, E408 for an executable
    of another kind.
    """
    facts = json.loads((base / "base.json").read_text())
    program = executable.read_bytes()
    check_executable(program, profile.debian_arch, executable.name)
    entries = tree.from_tar((base / "root.tar").read_bytes(), facts["origins"])
    entries += _gateway(profile, lock, program, json.loads(config.read_text()), entries)
    tar = tree.to_tar(entries)
    content = hashlib.sha256(facts["digest"].encode() + tar).hexdigest()
    root = filesystems.erofs(
        tools.tool(store, lock, "mkfs.erofs"), tar, identifier(content, "root file system")
    )
    partitions, total = _layout(facts, len(root), content, profile)
    head, tail = gpt.tables(partitions, identifier(content, "disk"), total, hybrid=facts["hybrid"])
    parts = [
        frames.frame(head, partitions[0].first * gpt.SECTOR, _LEVEL),
        (base / "boot.zst").read_bytes(),
        frames.frame(root, partitions[1].sectors * gpt.SECTOR, _LEVEL),
        (base / "data.zst").read_bytes(),
        frames.frame(bytes((gpt.ALIGN - gpt.TAIL_SECTORS) * gpt.SECTOR) + tail, 1 << 20, _LEVEL),
    ]
    files.atomic_write(image, b"".join(parts))
    ranges = [*_own_ranges(partitions, head, root, tail, total), *_base_ranges(facts, partitions)]
    files.atomic_write(block_map, bmap.render(total * gpt.SECTOR, ranges).encode())
    return {
        "files": [*tree.listing(entries), *facts["boot_files"]],
        "partitions": [_partition(partition) for partition in partitions],
        "image_bytes": total * gpt.SECTOR,
    }


def _gateway(
    profile: Profile,
    lock: Lock,
    program: bytes,
    config: dict[str, Any],
    entries: Iterable[tree.Entry],
) -> list[tree.Entry]:
    lines = [
        f"hostname {profile.name.replace('_', '-')}",
        f"clock-floor {clock_floor(lock)}",
        f"watchdog {profile.boot.watchdog}",
        f"gateway {GATEWAY}",
    ]
    if "listen" not in config.get("gateway", {}):
        # A device that answers itself alone is of no use to anybody.
        lines += ["gateway --http", "gateway 0.0.0.0:8080"]
    if any(entry.path == "/usr/bin/busybox" for entry in entries):
        lines.append("insecure-debug-shell /usr/bin/busybox")
    return [
        tree.Entry(path=GATEWAY, mode=0o755, data=program),
        tree.Entry(path="/etc/edge/init.conf", data=("\n".join(lines) + "\n").encode()),
    ]


def clock_floor(lock: Lock) -> int:
    """Seconds since 1970 of the archive that the image is made from: now is later than that."""
    return int(parsedate_to_datetime(lock.archive_date).timestamp())


def _layout(
    facts: dict[str, Any], root_bytes: int, content: str, profile: Profile
) -> tuple[list[gpt.Partition], int]:
    """The partitions, and the image's size in sectors."""
    sizes = [
        facts["parts"]["boot"]["bytes"],
        -(-root_bytes // _ROOT_STEP) * _ROOT_STEP,
        facts["parts"]["data"]["bytes"],
    ]
    names = ["edge-boot", facts["root_name"], "edge-data"]
    kinds = [gpt.ESP, gpt.LINUX, gpt.LINUX]
    partitions = [
        gpt.Partition(
            name=name,
            kind=kind,
            unique=identifier(content, name),
            first=first,
            sectors=size // gpt.SECTOR,
        )
        for name, kind, first, size in zip(names, kinds, gpt.place(sizes), sizes, strict=True)
    ]
    total = partitions[-1].first + partitions[-1].sectors + gpt.ALIGN
    if total * gpt.SECTOR > profile.storage.size_bytes:
        raise IMAGE_TOO_LARGE(
            f"the image is {total * gpt.SECTOR} bytes and the medium "
            f"{profile.storage.size_bytes}: boot {sizes[0]} + root {sizes[1]} + data {sizes[2]}",
            where=f"targets/{profile.name}.toml, [storage]",
            hint="make data_bytes smaller, or ask for a larger medium with size_bytes",
        )
    return partitions, total


def _own_ranges(
    partitions: list[gpt.Partition], head: bytes, root: bytes, tail: bytes, total: int
) -> list[bmap.Range]:
    # The last table does not begin on a block's edge: the zeros before it are mapped with it.
    lead = (total - gpt.TAIL_SECTORS) * gpt.SECTOR % bmap.BLOCK
    end = (total - gpt.TAIL_SECTORS) * gpt.SECTOR - lead
    return [
        bmap.digest_range(0, head),
        bmap.digest_range(partitions[1].first * gpt.SECTOR, root),
        bmap.digest_range(end, bytes(lead) + tail),
    ]


def _base_ranges(facts: dict[str, Any], partitions: list[gpt.Partition]) -> list[bmap.Range]:
    placed = (("boot", partitions[0]), ("data", partitions[2]))
    return [
        bmap.Range(
            first=partition.first * gpt.SECTOR // bmap.BLOCK + mapped["first"],
            last=partition.first * gpt.SECTOR // bmap.BLOCK + mapped["last"],
            sha256=mapped["sha256"],
        )
        for part, partition in placed
        for mapped in facts["parts"][part]["ranges"]
    ]


def _partition(partition: gpt.Partition) -> dict[str, str | int]:
    return {
        "name": partition.name,
        "offset": partition.first * gpt.SECTOR,
        "bytes": partition.sectors * gpt.SECTOR,
        "uuid": str(partition.unique),
    }
