# SPDX-License-Identifier: Apache-2.0
"""From QEMU's start to the first MCP answer, beside the least program that answers HTTP.

    python benchmarks/boot.py dist/rpi4 [--runs 3] [--json]

Both images hold the same kernel and start the same way (firmware, or direct, as the profile
says). The peer's initramfs is one static C program of some 30 KB with the network's modules and a
fixed address; ours mounts two file systems, gets a lease and starts the gateway. The two take
turns, so that a noisy machine is noisy for both, and the smallest time of each counts. QEMU's
processor time stands beside it: on a machine with other work it is the sturdier of the two.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import zstandard

from edgebuild.cli.release import released_profile
from edgebuild.host import compiler, lockfile, paths, process
from edgebuild.host.store import Store
from edgebuild.images import boot, cpio, fat, frames, gpt, modules, programs, tree
from edgebuild.images.identity import identifier
from edgebuild.lab import run as lab
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Profile

WAIT_S = 240.0
NETWORK = ("virtio_net",)
SIZE = 264 << 20
REQUEST = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    },
}


def peer_image(folder: Path, store: Store, lock: Lock, profile: Profile) -> int:
    """Write an image of the peer into ``folder``; answer the program's size in bytes."""
    program = folder / "peer"
    source = Path(__file__).with_name("boot_peer.c")
    argv = [*compiler.zig(), "cc", "-target", programs.TARGETS[profile.debian_arch], "-static"]
    process.run([*argv, "-Os", "-s", source, "-o", program], what="compile the peer")
    kernel_tree = store.sysroot(lock, profile.boot.kernel)
    shelf = modules.Shelf(kernel_tree)
    wanted = [*NETWORK, *(m for m in profile.emulator.modules if m == "virtio_mmio")]
    chosen = modules.choose(shelf, wanted)
    names = "".join(f"/modules/{module.name}.ko\n" for module in chosen)
    entries = [
        tree.directory("/dev"),
        tree.Entry(path="/dev/console", kind="console", mode=0o600),
        tree.Entry(path="/init", mode=0o755, data=program.read_bytes()),
        tree.directory("/modules"),
        tree.Entry(path="/modules/list", data=names.encode()),
        *(tree.Entry(path=f"/modules/{m.name}.ko", data=m.data) for m in chosen),
    ]
    kernel = boot.Kernel(
        image=boot.kernel_image(kernel_tree),
        initramfs=zstandard.compress(cpio.archive(entries), 19),
        release=shelf.release,
        command_line=f"console={profile.boot.console},115200 quiet loglevel=4 panic=10",
        device_trees=boot.device_trees(kernel_tree, profile.boot.device_trees),
    )
    made = boot.partition(store, lock, profile, kernel)
    used = fat.image(made.files, SIZE, 1, "PEER")
    place = gpt.Partition(
        name="peer",
        kind=gpt.ESP,
        unique=identifier("peer", "boot"),
        first=2048,
        sectors=SIZE // 512,
    )
    total = 2048 + SIZE // 512 + 2048
    head, tail = gpt.tables([place], identifier("peer", "disk"), total, hybrid=made.hybrid)
    end = bytes((1 << 20) - len(tail)) + tail
    content = (
        frames.frame(head, 1 << 20, 3) + frames.frame(used, SIZE, 3) + frames.frame(end, 1 << 20, 3)
    )
    (folder / f"{profile.name}.img.zst").write_bytes(content)
    return program.stat().st_size


def answers(port: int) -> bool:
    """Whether an MCP request gets an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.3)
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    try:
        connection.request("POST", "/mcp", json.dumps(REQUEST), headers)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start: until the first answer, by the clock and in processor time of QEMU."""

    wall_s: float
    cpu_s: float
    accelerator: str


def cpu_seconds(process_id: int) -> float:
    """Processor time that a process has used (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(folder: Path, profile: Profile, store: Store, lock: Lock) -> Start:
    """Boot an image until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with lab.run(folder, profile, store, lock, port=port) as machine:
        while not answers(port):
            if time.monotonic() - machine.started_s > WAIT_S or not machine.running():
                raise SystemExit("no answer:\n" + "\n".join(list(machine.lines)[-20:]))
            time.sleep(0.02)
        return Start(
            wall_s=time.monotonic() - machine.started_s,
            cpu_s=cpu_seconds(machine.process_id),
            accelerator=machine.accelerator,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    profile = released_profile(arguments.release)
    store = Store(cache=paths.cache_dir())
    lock = lockfile.read(paths.data_dir() / "locks" / "trixie.lock.json")
    ours: list[Start] = []
    theirs: list[Start] = []
    with tempfile.TemporaryDirectory() as folder:
        size = peer_image(Path(folder), store, lock, profile)
        for _ in range(arguments.runs):
            theirs.append(start(Path(folder), profile, store, lock))
            ours.append(start(arguments.release, profile, store, lock))
    wall = [min(each.wall_s for each in starts) for starts in (ours, theirs)]
    cpu = [min(each.cpu_s for each in starts) for starts in (ours, theirs)]
    facts = {
        "target": profile.name,
        "accelerator": ours[0].accelerator,
        "gateway_s": round(wall[0], 2),
        "peer_s": round(wall[1], 2),
        "ratio": round(wall[0] / wall[1], 2),
        "gateway_cpu_s": round(cpu[0], 2),
        "peer_cpu_s": round(cpu[1], 2),
        "cpu_ratio": round(cpu[0] / cpu[1], 2),
        "peer_bytes": size,
        "runs": arguments.runs,
    }
    if arguments.json:
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        print(f"{key:14} {value}")


if __name__ == "__main__":
    main()
