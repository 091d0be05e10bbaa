# SPDX-License-Identifier: Apache-2.0
"""Builds what an image has whatever the model: kernel, initramfs, PID 1, DHCP client, boot and
data partitions. It takes half a minute and is done once for a target."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import zstandard

from edgebuild.host import files, paths, tools
from edgebuild.host.store import Store
from edgebuild.images import boot, cpio, fat, filesystems, frames, modules, origins, programs
from edgebuild.images.bmap import digest_range
from edgebuild.images.identity import identifier
from edgebuild.images.tree import Entry, directory, link, listing, to_tar
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Profile
from edgebuild.planning.fit import BOOT_PARTITION_BYTES

GATEWAY_UID = 65532
DHCP_UID = 65531
_LEVEL = 19

_PASSWD = f"""\
root:x:0:0:root:/:/nonexistent
dhcpcd:x:{DHCP_UID}:{DHCP_UID}:DHCP client:/var/empty:/nonexistent
gateway:x:{GATEWAY_UID}:{GATEWAY_UID}:MCP gateway:/data/gateway:/nonexistent
"""
_GROUP = f"root:x:0:\ndhcpcd:x:{DHCP_UID}:\ngateway:x:{GATEWAY_UID}:\n"
_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
_DHCPCD_CONF = """\
# The address is used at once: probing for a conflict would take five seconds of every start.
noarp
nodelay
# Identify by hardware address, as routers' tables of fixed addresses expect.
clientid
hostname
option rapid_commit
option domain_name_servers, classless_static_routes, interface_mtu
require dhcp_server_identifier
slaac private
allowinterfaces e* w*
"""


def build(
    store: Store, lock: Lock, profile: Profile, out: Path, *, allow_shell: bool = False
) -> None:
    """Write base.json, boot.zst, data.zst and root.tar into the folder ``out``.

    Raises E401 for an unknown module, E402 for an incomplete package, E404 and E405.
    """
    tree = store.sysroot(lock, profile.boot.kernel)
    kernel_origin = origins.package(lock, profile.boot.kernel, "linux-image-6")
    wanted = (*profile.boot.modules, *profile.emulator.modules)
    shelf = modules.Shelf(tree)
    chosen = modules.choose(shelf, wanted)
    manifest = modules.manifest(chosen, wanted).encode()
    init = programs.init(paths.data_dir() / "runtime" / "init", profile.debian_arch)
    root = _root(store, lock, profile, init, allow_shell=allow_shell)
    root += _module_files("/usr/lib/edge/modules", chosen, manifest, kernel_origin)
    initramfs = _initramfs(init, _module_files("/modules", chosen, manifest, kernel_origin))
    image = boot.kernel_image(tree)
    tar = to_tar(root)
    digest = hashlib.sha256(b"".join(hashlib.sha256(x).digest() for x in (image, initramfs, tar)))
    name = f"edge-root-{digest.hexdigest()[:12]}"
    kernel = boot.Kernel(
        image=image,
        initramfs=initramfs,
        release=shelf.release,
        command_line=command_line(profile, name),
        device_trees=boot.device_trees(tree, profile.boot.device_trees),
    )
    made = boot.partition(store, lock, profile, kernel)
    parts = {
        "boot": _boot(out, made, digest.hexdigest()),
        "data": _data(out, store, lock, profile, digest.hexdigest()),
    }
    facts = {
        "digest": digest.hexdigest(),
        "root_name": name,
        "hybrid": made.hybrid,
        "parts": parts,
        "origins": {entry.path: entry.origin for entry in root if entry.kind == "file"},
        "boot_files": _boot_listing(made, image, initramfs, kernel_origin),
        "console": profile.boot.console,
    }
    files.atomic_write(out / "root.tar", tar)
    listed = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    files.atomic_write(out / "base.json", listed.encode())


def command_line(profile: Profile, root_name: str) -> str:
    """The kernel's command line on the device."""
    words = [f"edge.root={root_name}", f"console={profile.boot.console},115200"]
    words += ["quiet", "loglevel=4", "panic=10", profile.boot.command_line]
    return " ".join(word for word in words if word)


def _module_files(
    folder: str, chosen: list[modules.Module], manifest: bytes, origin: str
) -> list[Entry]:
    drivers = [
        Entry(path=f"{folder}/{module.name}.ko", data=module.data, origin=origin)
        for module in chosen
    ]
    return [directory(folder), *drivers, Entry(path=f"{folder}/manifest", data=manifest)]


def _initramfs(init: bytes, module_files: list[Entry]) -> bytes:
    entries = [directory(path) for path in ("/dev", "/proc", "/sys", "/sysroot")]
    entries.append(Entry(path="/init", mode=0o755, data=init))
    # The kernel opens it for PID 1 before anything is mounted.
    entries.append(Entry(path="/dev/console", kind="console", mode=0o600))
    data = cpio.archive([*entries, *module_files])
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(data)


def _root(
    store: Store, lock: Lock, profile: Profile, init: bytes, *, allow_shell: bool
) -> list[Entry]:
    client = programs.dhcpcd(store.source(lock, "dhcpcd"), profile.debian_arch)
    release = boot.OS_RELEASE.format(title=profile.title, name=profile.name)
    folders = "/data /dev /etc /etc/edge /proc /run /sbin /sys /tmp /usr /usr/bin /usr/lib /var"
    entries = [directory(path) for path in f"{folders} /usr/lib/edge /var/empty".split()]
    texts = {"passwd": _PASSWD, "group": _GROUP, "hosts": _HOSTS, "os-release": release}
    texts["dhcpcd.conf"] = _DHCPCD_CONF
    entries += [Entry(path=f"/etc/{name}", data=text.encode()) for name, text in texts.items()]
    entries += [
        Entry(path="/sbin/init", mode=0o755, data=init),
        Entry(
            path="/sbin/dhcpcd",
            mode=0o755,
            data=client,
            origin=origins.package(lock, "dhcp", "dhcpcd"),
        ),
        link("/sbin/dhcp-hook", "init"),
        link("/etc/resolv.conf", "/run/resolv.conf"),
    ]
    return entries + (_shell(store, lock, profile.debian_arch) if allow_shell else [])


def _shell(store: Store, lock: Lock, arch: str) -> list[Entry]:
    group = f"debug-shell-{arch}"
    data = boot.one_file(store.sysroot(lock, group), "usr/bin/busybox").read_bytes()
    origin = origins.package(lock, group, "busybox-static")
    program = Entry(path="/usr/bin/busybox", mode=0o755, data=data, origin=origin)
    return [program, *(link(f"/usr/bin/{name}", "busybox") for name in _SHELL_COMMANDS)]


_SHELL_COMMANDS = (
    "sh",
    "cat",
    "dmesg",
    "free",
    "ip",
    "kill",
    "ls",
    "mount",
    "ping",
    "ps",
    "reboot",
)


def _boot(out: Path, made: boot.BootPartition, digest: str) -> dict[str, object]:
    volume = identifier(digest, "boot volume").int & 0xFFFFFFFF
    used = fat.image(made.files, BOOT_PARTITION_BYTES, volume, "EDGE-BOOT")
    files.atomic_write(out / "boot.zst", frames.frame(used, BOOT_PARTITION_BYTES, _LEVEL))
    return {"bytes": BOOT_PARTITION_BYTES, "ranges": [_range(0, used)]}


def _data(out: Path, store: Store, lock: Lock, profile: Profile, digest: str) -> dict[str, object]:
    size = -(-profile.storage.data_bytes // (1 << 20)) << 20
    mkfs = tools.tool(store, lock, "mke2fs")
    image = filesystems.ext4(mkfs, size, identifier(digest, "data file system"))
    files.atomic_write(out / "data.zst", frames.frame(image, size, _LEVEL))
    ranges = [_range(first, image[first:end]) for first, end in filesystems.ext4_used(image)]
    return {"bytes": size, "ranges": ranges}


def _range(offset: int, content: bytes) -> dict[str, object]:
    """Blocks relative to the partition's start."""
    mapped = digest_range(offset, content)
    return {"first": mapped.first, "last": mapped.last, "sha256": mapped.sha256}


def _boot_listing(
    made: boot.BootPartition, image: bytes, initramfs: bytes, kernel_origin: str
) -> list[dict[str, str | int]]:
    """The boot partition's files, and the two that may be inside another file."""
    entries = [
        Entry(path=f"/boot/{path}", data=data, origin=made.origins.get(path, "edgebuild"))
        for path, data in made.files.items()
    ]
    inside = [
        Entry(path="/boot/#kernel", data=image, origin=kernel_origin),
        Entry(path="/boot/#initramfs", data=initramfs),
    ]
    return listing([*entries, *inside])
