# SPDX-License-Identifier: Apache-2.0
"""A processor that lacks what the code was compiled for is told so, not sent a signal."""

import platform
import subprocess
from pathlib import Path

import pytest

from edgebuild.host import paths, tools
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
from edgebuild.runtimes import link, objects
from edgebuild.runtimes.toolchain import Toolchain, Unit, machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the lock has tools for amd64"),
]

ASKS_FOR_THE_CPU = """
#include <stdio.h>
#include "cpu.h"
int main(void) { edge_require_cpu(); return puts("runs") < 0; }
"""


@pytest.mark.parametrize(
    ("deb_arch", "mcpu", "emulator", "emulated", "missing"),
    [
        ("amd64", "x86_64_v4", None, "", None),
        ("arm64", "cortex_a72+dotprod", "qemu-aarch64", "cortex-a72", "dotprod;"),
        ("arm64", "cortex_a72+dotprod", "qemu-aarch64", "max", ""),
        ("arm64", "cortex_a72+lse+fullfp16", "qemu-aarch64", "cortex-a72", "lse, fp16;"),
        ("riscv64", "baseline_rv64+v", "qemu-riscv64", "rv64,v=false", "v;"),
        ("riscv64", "baseline_rv64+v", "qemu-riscv64", "rv64,v=true", ""),
    ],
)
def test_a_cpu_that_lacks_a_feature_is_told_so(
    store: Store,
    lock: Lock,
    tmp_path: Path,
    deb_arch: str,
    mcpu: str,
    emulator: str | None,
    emulated: str,
    missing: str | None,
) -> None:
    native = paths.data_dir() / "runtime/native"
    (tmp_path / "main.c").write_text(ASKS_FOR_THE_CPU)
    made = Toolchain(
        deb_arch=deb_arch,
        machine=machine(deb_arch),
        mcpu=mcpu,
        sysroot=store.sysroot(lock, f"runtime-{deb_arch}"),
    )
    flags = ("-mcpu=baseline", f"-I{native}")
    units = [
        Unit(name="main", source=tmp_path / "main.c", flags=flags),
        Unit(name="cpu", source=native / "cpu.c", flags=flags),
        Unit(name="needs", source=native / "needs.c"),
    ]
    parts = link.Parts(
        tools=made,
        recipe=objects.link_recipe(made, []),
        objects=tuple(made.compile(units, tmp_path, jobs=1)),
    )
    program = tmp_path / "program"
    subprocess.run([*link.command(parts), "-o", str(program)], check=True)
    start = [*tools.tool(store, lock, emulator), "-cpu", emulated] if emulator else []
    done = subprocess.run([*start, str(program)], capture_output=True, check=False)
    if missing is None:  # this machine: whatever it is, it is not an illegal instruction
        missing = ";" if done.returncode else ""
    assert done.returncode == bool(missing)
    assert done.stdout == (b"" if missing else b"runs\n")
    assert missing.encode() in done.stderr
