# SPDX-License-Identifier: Apache-2.0
"""Instructions of one inference on each CPU, beside the recorded ones.

    python benchmarks/counts.py             print the table; exit 1 on a regression
    python benchmarks/counts.py --record    write benchmarks/counts.json anew

Counts are exact and the same on every machine, so a change of the file is a change of the
kernels: commit both together. A count that grows by more than 5 % is a regression.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebuild.config import profiles
from edgebuild.host import lockfile, paths, tools
from edgebuild.host.store import Store
from edgebuild.kernels import bench_count
from edgebuild.model.profile import Cache, Cpu

RECORD = Path(__file__).with_name("counts.json")
ALLOWED = 1.05
MODELS = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "pretrainedResnet")
FLOATS = ("pretrainedresnet",)  # rounding may differ from core to core


@dataclass(frozen=True, kw_only=True)
class Core:
    """A CPU to count on: a profile's, with what another core of that architecture has.

    ``whole`` is a CPU that has no profile, ``system`` then its emulator.
    """

    profile: str = ""
    qemu: str
    model: str
    features: tuple[str, ...] = ()
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    whole: Cpu | None = None
    system: str = ""

    def cpu(self) -> Cpu:
        """The CPU that kernels are compiled for."""
        if self.whole is not None:
            return self.whole
        base = profiles.load(self.profile, paths.data_dir() / "targets").cpu
        return dataclasses.replace(base, model=self.model, features=self.features, **self.changes)


def micro(model: str, ram_bytes: int, l1d_bytes: int, *features: str) -> Core:
    """An Arm microcontroller; its fast memory stands where others have a cache."""
    vectors = "+mve.fp" in features
    cpu = Cpu(
        arch="armv8.1-m" if vectors else "armv7e-m",
        model=model,
        features=features,
        cores=1,
        clock_mhz=100,
        cache=Cache(l1d_bytes=l1d_bytes, l2_bytes=ram_bytes, line_bytes=32),
        vector_bits=128 if vectors else 0,
        macs_per_cycle_f32=2.0 if vectors else 0.5,
        macs_per_cycle_int8=8.0 if vectors else 1.0,
    )
    return Core(qemu=model, model=model, whole=cpu, system="qemu-system-arm")


RV = ("+m", "+a", "+f", "+d", "+c")
CORES: Mapping[str, Core] = {
    "cortex-a53": Core(profile="rpi4", qemu="cortex-a53", model="cortex-a53"),
    "cortex-a72": Core(profile="rpi4", qemu="cortex-a72", model="cortex-a72"),
    "cortex-a76": Core(
        profile="rpi4",
        qemu="cortex-a76",
        model="cortex-a76",
        changes={"macs_per_cycle_f32": 8.0, "macs_per_cycle_int8": 32.0},
    ),
    "neoverse-n2": Core(
        profile="rpi4",
        qemu="neoverse-n2",
        model="neoverse-n2",  # i8mm
        changes={"macs_per_cycle_f32": 8.0, "macs_per_cycle_int8": 64.0},
    ),
    "neoverse-v1": Core(
        profile="rpi4",
        qemu="neoverse-v1",
        model="neoverse-v1",  # i8mm and SVE
        changes={"vector_bits": 256, "macs_per_cycle_f32": 16.0, "macs_per_cycle_int8": 128.0},
    ),
    "x86-64-v3": Core(profile="x86_64", qemu="Haswell-v4", model="x86-64-v3"),
    "rv64gc": Core(profile="riscv64", qemu="rv64", model="generic-rv64", features=RV),
    "rv64gcv": Core(
        profile="riscv64",
        qemu="rv64,v=true,vlen=128",
        model="generic-rv64",
        features=(*RV, "+v"),
        changes={"vector_bits": 128, "macs_per_cycle_f32": 4.0, "macs_per_cycle_int8": 8.0},
    ),
    "cortex-m4": micro("cortex-m4", 256 << 10, 256 << 10, "+vfp4d16sp"),
    "cortex-m7": micro("cortex-m7", 512 << 10, 16 << 10, "+fp-armv8d16"),
    "cortex-m55": micro("cortex-m55", 512 << 10, 32 << 10, "+mve.fp", "+fp-armv8d16"),
}


def emulator(core: Core) -> list[str]:
    """The locked QEMU for ``core``."""
    lock = lockfile.read(paths.data_dir() / "locks" / "trixie.lock.json")
    store = Store(cache=paths.cache_dir(), mirror=None, offline=False, progress=lambda *_: None)
    if core.system:
        return tools.tool(store, lock, core.system)
    profile = profiles.load(core.profile, paths.data_dir() / "targets")
    return tools.tool(store, lock, profile.emulator.system)


def measure(name: str, models: Sequence[Path], work: Path) -> list[dict[str, Any]]:
    """Rows of ``bench_count.run`` for the core ``name``."""
    core = CORES[name]
    result = bench_count.run(
        models, cpu=core.cpu(), emulator=emulator(core), qemu_cpu=core.qemu, work=work
    )
    rows: list[dict[str, Any]] = result["models"]
    return rows


def regressions(recorded: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Models that take over 5 % more than recorded, or are not recorded, one line each."""
    lines = []
    for model, count in sorted(found.items()):
        before = recorded.get(model)
        if before is None:
            lines.append(f"{model}: {count:,} instructions, none recorded")
        elif count > before * ALLOWED:
            lines.append(f"{model}: {count:,} instructions, {count / before:.2f}× of {before:,}")
    return lines


def main() -> int:
    """Count everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", action="store_true")
    record = parser.parse_args().record
    folder = paths.data_dir() / "tests" / "models"
    models = [folder / f"{name}.tflite" for name in MODELS]
    present = [path for path in models if path.is_file()]
    recorded = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    found: dict[str, dict[str, int]] = {"checksums": {}}
    failed = False
    for core in CORES:
        with tempfile.TemporaryDirectory() as work:
            rows = measure(core, present, Path(work))
        found[core] = {row["name"]: row["instructions"] for row in rows}
        for row in rows:
            before = recorded.get(core, {}).get(row["name"])
            change = f"{row['instructions'] / before - 1:+.1%}" if before else "new"
            per_mac = row["instructions"] / row["macs"]
            print(f"{core:12} {row['name']:24} {row['instructions']:>12,} {per_mac:6.3f} {change}")
            if row["name"] not in FLOATS:
                same = found["checksums"].setdefault(row["name"], row["checksum"])
                if same != row["checksum"]:
                    print(f"{core:12} {row['name']:24} answers otherwise than the cores before")
                    failed = True
        failed |= bool(regressions(recorded.get(core, {}), found[core]))
    if record:
        RECORD.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
        return 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
