# SPDX-License-Identifier: Apache-2.0
"""A bundle made by hand (tests/native/toy_bundle.c), in the files that the compiler leaves."""

import json
import shutil
from pathlib import Path

from edgebuild.host import compiler, process
from edgebuild.kernels import cputarget
from edgebuild.model.profile import Cache, Cpu
from edgebuild.planning.roofline import Machine

NATIVE = Path(__file__).parents[1] / "native"

WORK = {
    "rows": 1,
    "columns": 1024,
    "products": 0,
    "stretch": 1,
    "reads": 1024,
    "runs": 1,
    "functions": {"add": 1},
    "arithmetic": "float32",
}
OPERATOR = {
    "kind": "elementwise",
    "macs": 0,
    "bytes_moved": 8192,
    "weights_read_bytes": 0,
    "dtype": "float32",
    "work": WORK,
}
TENSOR = {"shape": [1, 1024], "dtype": "float32", "bytes": 4096}
CARD = {
    "name": "toy",
    "macs": 1024,
    "weights_bytes": 0,
    "arena_bytes": 4096,
    "inputs": [{"name": "input", **TENSOR}],
    "outputs": [{"name": "output", **TENSOR}],
    "operators": [{"name": "double", **OPERATOR}, {"name": "increase", **OPERATOR}],
}

CPU = Cpu(
    arch="x86_64",
    model="x86-64-v3",
    cores=2,
    clock_mhz=2000,
    cache=Cache(l1d_bytes=32768, l2_bytes=262144),
    vector_bits=256,
    macs_per_cycle_f32=16,
    macs_per_cycle_int8=32,
)

MACHINE = Machine(
    clock_hz=2e9,
    lanes=8,
    macs_per_s={"float32": 32e9, "int8": 64e9},
    bandwidth=((32768, 100e9), (262144, 40e9), (float("inf"), 10e9)),
)


def compile_toy(model: Path, cpu: Cpu, out: Path, *, name: str) -> None:
    """What ``bundle.compile`` would do."""
    out.mkdir(parents=True, exist_ok=True)
    flags = ["-O2", "-fPIC", "-fno-sanitize=undefined", "-target", cputarget.triple(cpu).zig]
    if cpu.arch == "riscv64":
        flags.append("-mcmodel=medany")
    source = NATIVE / "toy_bundle.c"
    process.run([*compiler.zig(), "cc", *flags, "-c", source, "-o", out / f"{name}.o"], what="toy")
    shutil.copy(source, out / f"{name}.driver.c")
    empty = out / "empty.c"
    empty.write_text("")
    for part in ("kernels", "data"):
        target = out / f"{name}.{part}.o"
        process.run([*compiler.zig(), "cc", *flags, "-c", empty, "-o", target], what="toy")
    (out / f"{name}.json").write_text(json.dumps(CARD))
