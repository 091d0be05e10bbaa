# SPDX-License-Identifier: Apache-2.0
"""Count the instructions that an inference takes on another CPU, exactly and repeatably.

The bundle runs on a bare machine of QEMU with ``-icount shift=0``, where the cycle counter ticks
once for each instruction: no operating system, no sampling, the same count on every run. What
an instruction costs is not modelled; the count compares kernels of one CPU with one another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebuild.errors.kernels import COUNT_FAILED, NO_COUNTER
from edgebuild.host import compiler, paths, process
from edgebuild.kernels import bench_build, bundle, naming
from edgebuild.kernels.metal import MACHINES, SOURCES
from edgebuild.model.profile import Cpu

TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Instructions of one inference; of each operator, in the card's order; outputs' checksum."""

    total: int
    operators: tuple[int, ...]
    checksum: int


def run(
    models: Sequence[Path],
    *,
    cpu: Cpu,
    emulator: Sequence[str],
    qemu_cpu: str,
    work: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Compile ``models`` for ``cpu`` and count.

    ``emulator`` is the command of the QEMU system emulator, ``qemu_cpu`` its name of the core
    with ``cpu``'s features; ``tell`` hears what is being done. Raises E283,
    E284 and what compiling raises.
    """
    rows = []
    for number, model in enumerate(models):
        name = naming.identifier(model)
        tell(f"compile and count {model.name} ({number + 1} of {len(models)})")
        bundle.compile(model, cpu, work / name, name=name)
        rows.append(count(name, work / name, cpu.arch, emulator, qemu_cpu))
    return {
        "cpu": {"arch": cpu.arch, "model": cpu.model, "features": list(cpu.features)},
        "models": rows,
    }


def count(
    name: str, out: Path, arch: str, emulator: Sequence[str], qemu_cpu: str
) -> dict[str, Any]:
    """Count the bundle ``name`` in ``out``: a row of the result."""
    if arch not in MACHINES:
        raise NO_COUNTER(
            f"instructions of {arch} cannot be counted",
            hint=f"there are bare machines for {', '.join(sorted(MACHINES))}",
        )
    card = json.loads((out / f"{name}.json").read_bytes())
    plain = execute(link(name, out, card, arch), arch, emulator, qemu_cpu)
    split = execute(link(name, out, card, arch, profile=True), arch, emulator, qemu_cpu)
    return {
        "name": name,
        "macs": card["macs"],
        "instructions": plain.total,
        "checksum": plain.checksum,
        "operators": [
            {"name": each["name"], "kind": each["kind"], "macs": each["macs"], "instructions": n}
            for each, n in zip(card["operators"], split.operators, strict=True)
        ],
    }


def link(
    name: str, out: Path, card: Mapping[str, Any], arch: str, *, profile: bool = False
) -> Path:
    """The program for the bare machine."""
    metal = MACHINES[arch]
    sources = paths.data_dir() / SOURCES
    target = out / f"{name}.{'profile' if profile else 'count'}.elf"
    objects = bench_build.parts(name, out) if profile else [out / f"{name}.o"]
    process.run(
        [
            *(*compiler.zig(), "cc", "-target", metal.triple, "-static", "-O2", "-fno-pie"),
            *("-fno-sanitize=undefined", "-fno-stack-protector", "-Wl,--gc-sections"),
            *("-Wl,-e,metal_start", *metal.flags, *_definitions(name, card)),
            *(["-DEDGE_PROFILE"] if profile else []),
            *(*metal.linked(), sources / "metal.c", *objects),
            *("-o", target),
        ],
        what=f"link the instruction count of {name}",
    )
    return target


def _definitions(name: str, card: Mapping[str, Any]) -> list[str]:
    inputs, outputs = card["inputs"], card["outputs"]
    heap = sum(each["bytes"] + 64 for each in [*inputs, *outputs])
    return [
        f"-DEDGE_MODEL={name}",
        f"-DEDGE_ARENA_BYTES={card['arena_bytes']}",
        f"-DEDGE_INPUT_BYTES={','.join(str(each['bytes']) for each in inputs)}",
        f"-DEDGE_OUTPUT_BYTES={','.join(str(each['bytes']) for each in outputs)}",
        f"-DEDGE_INPUT_KINDS={','.join(_kind(each['dtype']) for each in inputs)}",
        f"-DMETAL_HEAP_BYTES={heap}",
    ]


def _kind(dtype: str) -> str:
    if dtype.startswith("float"):
        return "'f'"
    return "'b'" if dtype in ("int8", "uint8") else "'i'"


def execute(program: Path, arch: str, emulator: Sequence[str], qemu_cpu: str) -> Counts:
    """Run ``program`` to its end. Raises E283."""
    metal = MACHINES[arch]
    option, prefix = metal.program
    board = ["-M", metal.boards[qemu_cpu]] if qemu_cpu in metal.boards else []
    answer = process.run(
        [
            *(*emulator, *metal.machine, *board, "-cpu", qemu_cpu),
            *("-icount", f"shift={metal.shift}"),
            *("-nodefaults", "-display", "none", "-serial", "stdio"),
            *(option, f"{prefix}{program}{metal.suffix}"),
        ],
        what="count instructions",
        timeout_s=TIMEOUT_S,
    )
    return parse(answer.text)


def parse(console: str) -> Counts:
    """What metal.c wrote. Raises E283 if it did not come to its end or the bundle failed."""
    lines = [line.split() for line in console.splitlines()]
    values = {line[0]: int(line[1]) for line in lines if len(line) == 2}
    if ["end"] not in lines or values.get("status", -1) != 0:
        raise COUNT_FAILED(
            "the emulated program did not finish",
            where=console.strip()[-200:] or "no output",
            hint="does the emulated CPU have every feature of the profile's?",
        )
    operators = tuple(int(line[2]) for line in lines if line[0] == "operator")
    return Counts(total=values["total"], operators=operators, checksum=values["sum"])
