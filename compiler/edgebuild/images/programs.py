# SPDX-License-Identifier: Apache-2.0
"""Compiles the two programs of the base system: PID 1 and the DHCP client, static with musl."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgebuild.host import compiler, process

TARGETS = {
    "amd64": "x86_64-linux-musl",
    "arm64": "aarch64-linux-musl",
    "riscv64": "riscv64-linux-musl",
}
# The machine code must run on every device of the architecture: no -mcpu.
_FLAGS = ("-static", "-Os", "-s", "-D_GNU_SOURCE", "-fno-sanitize=undefined",
          "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")  # fmt: skip

_DHCPCD = """
common control dhcpcd duid eloop logerr if if-options sa route dhcp-common script if-linux
dhcp ipv4 bpf arp ipv6 ipv6nd dhcp6 privsep privsep-root privsep-control privsep-inet
privsep-bpf privsep-linux
"""
_DHCPCD_COMPAT = """
closefrom arc4random arc4random_uniform pidfile setproctitle strtoi strtou rb
crypt/md5 crypt/sha256
"""
_DHCPCD_FEATURES = ("INET", "ARP", "INET6", "DHCP6", "PRIVSEP")
# What dhcpcd's configure finds out on Linux with musl, and where things are in our image.
_DHCPCD_CONFIG = """\
#define SYSCONFDIR "/etc"
#define SBINDIR "/sbin"
#define LIBDIR "/lib"
#define LIBEXECDIR "/lib/dhcpcd"
#define DBDIR "/data/system/dhcp"
#define RUNDIR "/run/dhcpcd"
#define SCRIPT "/sbin/dhcp-hook"
#define PRIVSEP_USER "dhcpcd"
#include <asm/types.h>
#include <sys/socket.h>
#include <linux/rtnetlink.h>
#define HAVE_NL80211_H
#define HAVE_IN6_ADDR_GEN_MODE_NONE
#define HAVE_EXPLICIT_BZERO
#define HAVE_OPEN_MEMSTREAM
#define HAVE_REALLOCARRAY
#define HAVE_PPOLL
#define HAVE_NBTOOL_CONFIG_H 0
#define RBTEST
#include "compat/closefrom.h"
#include "compat/arc4random.h"
#include "compat/arc4random_uniform.h"
#include "compat/pidfile.h"
#include "compat/setproctitle.h"
#include "compat/strtoi.h"
#include "compat/consttime_memequal.h"
#include "compat/queue.h"
#include "compat/rbtree.h"
#include "compat/endian.h"
#include "compat/crypt/md5.h"
#include "compat/crypt/sha256.h"
#include "compat/crypt/hmac.h"
"""


def init(folder: Path, debian_arch: str) -> bytes:
    """PID 1 from ``folder`` (runtime/init), as an executable."""
    return _compile(
        "PID 1", debian_arch, folder, [path.name for path in sorted(folder.glob("*.c"))],
        ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-format-truncation"),
    )  # fmt: skip


def dhcpcd(source: Path, debian_arch: str) -> bytes:
    """The DHCP client from its unpacked Debian source package, as an executable."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        (made / "config.h").write_text(_DHCPCD_CONFIG)
        (made / "dhcpcd-embedded.c").write_text(_embedded_c(source / "src"))
        (made / "dhcpcd-embedded.h").write_text(_embedded_h(source / "src"))
        files = [f"src/{name}.c" for name in _DHCPCD.split()]
        files += [f"compat/{name}.c" for name in _DHCPCD_COMPAT.split()]
        options = [f"-D{feature}" for feature in _DHCPCD_FEATURES]
        options += ["-std=c99", "-w", "-DHAVE_CONFIG_H", "-DNDEBUG", f"-I{made}"]
        options += ["-I.", "-Isrc", "-Icompat/crypt", str(made / "dhcpcd-embedded.c")]
        return _compile("the DHCP client", debian_arch, source, files, options)


def _compile(
    what: str, debian_arch: str, folder: Path, files: Sequence[str], options: Sequence[str]
) -> bytes:
    with tempfile.TemporaryDirectory() as out:
        program = Path(out, "program")
        argv = [*compiler.zig(), "cc", "-target", TARGETS[debian_arch], *_FLAGS, *options]
        process.run([*argv, *files, "-o", program], what=f"compile {what}", cwd=folder)
        return program.read_bytes()


def _definitions(source: Path) -> list[str]:
    text = (source / "dhcpcd-definitions.conf").read_text()
    return [line.split("#")[0] for line in text.splitlines() if line.split("#")[0]]


def _embedded_c(source: Path) -> str:
    """dhcpcd's table of options, as its genembedc writes it."""
    lines = ['"' + re.sub(r"[ \t]+", " ", line) + '\\n"' for line in _definitions(source)]
    head = (source / "dhcpcd-embedded.c.in").read_text()
    return head + "\n".join([*lines, '"\\0";\n'])


def _embedded_h(source: Path) -> str:
    """How many options of each kind there are, as dhcpcd's genembedh writes it."""
    text = (source / "dhcpcd-embedded.h.in").read_text()
    for word, name in (("define", "S"), ("definend", "NDS"), ("define6", "6S")):
        count = sum(line.startswith(word + " ") for line in _definitions(source))
        text = text.replace(f"@INITDEFINE{name}@", str(count))
        text = text.replace(f"@INITDEFINE{name}_SMALL@", str(count))
    return text
