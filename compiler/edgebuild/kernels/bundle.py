# SPDX-License-Identifier: Apache-2.0
"""A model compiled for one processor: one relocatable object, a header and a card."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import edgebuild
from edgebuild.errors import CATALOGUE, EdgebuildError
from edgebuild.errors.kernels import KERNELS_FAILED
from edgebuild.host import compiler, process
from edgebuild.kernels import armtags, card, cputarget, elf, naming
from edgebuild.kernels.tvm_worker import encode_cpu
from edgebuild.model.profile import Cpu

#: far beyond any model that fits into a device
LIMIT_S = 1800

_C_FLAGS = (
    "-O2", "-std=c11", "-fno-sanitize=undefined", "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables", "-ffunction-sections",
)  # fmt: skip


def compile(model: Path, cpu: Cpu, out: Path, *, name: str) -> None:
    """Write ``<name>.o``, ``<name>.h`` and ``<name>.json`` into ``out``.

    ``<name>.driver.c``, ``<name>.kernels.o`` and ``<name>.data.o`` stay beside them for builds
    with instruments. Raises the importer's errors, CPU_UNSUPPORTED, or KERNELS_FAILED when the
    kernel compiler's process dies.
    """
    naming.checked(name)
    cputarget.triple(cpu)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgebuild-") as folder:
        work = Path(folder)
        _generate("compile", model, cpu, work, name)
        _link(cpu, work, name)
        for suffix in ("driver.c", "kernels.o", "data.o", "h", "json", "o"):
            shutil.move(work / f"{name}.{suffix}", out / f"{name}.{suffix}")


def child(module: str) -> tuple[list[str], dict[str, str]]:
    """How a module of ours is run in a process of its own: command and environment."""
    source = str(Path(edgebuild.__file__).parents[1])
    return [sys.executable, "-m", module], {"PYTHONPATH": source}


def plan(model: Path, cpu: Cpu, *, name: str) -> dict[str, Any]:
    """The card that ``compile`` would give, but for the size of its code, in a few seconds."""
    naming.checked(name)
    cputarget.triple(cpu)
    with tempfile.TemporaryDirectory(prefix="edgebuild-") as folder:
        _generate("plan", model, cpu, Path(folder), name)
        found: dict[str, Any] = json.loads((Path(folder) / f"{name}.card.json").read_bytes())
        return found


def _generate(action: str, model: Path, cpu: Cpu, work: Path, name: str) -> None:
    command, environment = child("edgebuild.kernels.tvm_worker")
    try:
        process.run(
            [*command, action, model.absolute(), work, name],
            what=f"{action} the kernels of {model.name}",
            env=environment,
            stdin=encode_cpu(cpu),
            timeout_s=LIMIT_S,
        )
    except EdgebuildError as error:
        raise KERNELS_FAILED(
            error.message,
            where=model.name,
            hint="this is a fault of edgebuild, not of the model: please report it with the model",
        ) from error
    raise_error(work / "error.json")


def raise_error(path: Path) -> None:
    """Raise what a child process reported, if it did."""
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        kind = CATALOGUE[found["code"]]
        raise EdgebuildError(kind, found["message"], where=found["where"], hint=found["hint"])


def _link(cpu: Cpu, work: Path, name: str) -> None:
    """Compile driver and data, and join everything into one relocatable object."""
    triple = cputarget.triple(cpu)
    pic = "-fPIC" if triple.pic else "-fno-pic"
    _zig_cc(cpu, work, f"{name}.driver.c", "driver.o", *_C_FLAGS, pic)
    found: dict[str, Any] = json.loads((work / f"{name}.card.json").read_bytes())
    parts = [work / "driver.o", work / f"{name}.kernels.o"]
    found["code_bytes"] = sum(elf.code_bytes(part.read_bytes()) for part in parts)
    (work / f"{name}.json").write_bytes(card.encode(found))
    (work / "card").write_bytes(card.compact(found) + b"\0")
    sizes = (work / f"{name}.constants").stat().st_size, (work / "card").stat().st_size
    (work / "data.s").write_text(_data(name, triple, *sizes))
    _zig_cc(cpu, work, "data.s", f"{name}.data.o")
    process.run(
        [
            *compiler.zig(), triple.linker, "-r", "-o", f"{name}.o",
            "driver.o", f"{name}.kernels.o", f"{name}.data.o",
        ],
        what=f"join the objects of {name}",
        cwd=work,
    )  # fmt: skip
    if cpu.arch in cputarget.MICRO:
        whole = work / f"{name}.o"
        whole.write_bytes(armtags.callable_by_either(whole.read_bytes()))


def _zig_cc(cpu: Cpu, work: Path, source: str, target: str, *flags: str) -> None:
    triple = cputarget.triple(cpu)
    process.run(
        [
            *compiler.zig(), "cc", "-target", triple.zig, f"-mcpu={triple.zig_cpu}", *flags,
            "-g0",  # zig's default writes the working folder into the object
            "-c", source, "-o", target,
        ],
        what=f"compile {source}",
        cwd=work,
    )  # fmt: skip


def _data(name: str, triple: cputarget.Triple, constants_bytes: int, card_bytes: int) -> str:
    """Assembly that takes the constants and the card, with its final zero, in as they are."""
    word = ".8byte" if triple.pointer_bytes == 8 else ".4byte"
    wasm = triple.linker == "wasm-ld"
    read_only, kind = ('"",@', "@object") if wasm else ('"a"', "%object")
    parts = [
        ("constants", f'.incbin "{name}.constants"\n.byte 0', constants_bytes + 1, 64),
        ("card", '.incbin "card"', card_bytes, 1),
        ("card_bytes", f"{word} {card_bytes - 1}", triple.pointer_bytes, 8),
    ]
    lines = [] if wasm else ['.section .note.GNU-stack,"",%progbits']
    for what, content, size, alignment in parts:
        symbol = f"edge_{name}_{what}"
        lines += [
            f".section .rodata.{symbol},{read_only}",
            f".type {symbol},{kind}",
            f".globl {symbol}",
            *([f".hidden {symbol}"] if what == "constants" else []),
            f".balign {alignment}",
            f"{symbol}:",
            content,
            f".size {symbol}, {size}",
        ]
    return "\n".join(lines) + "\n"
