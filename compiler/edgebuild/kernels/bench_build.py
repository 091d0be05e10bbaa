# SPDX-License-Identifier: Apache-2.0
"""Make the shared objects that the bench worker loads: harness, bundle and thread pool."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgebuild.host import compiler, paths, process
from edgebuild.kernels import bundle, naming
from edgebuild.model.profile import Cpu

HARNESS = Path("runtime/native/bench/harness.c")
POOL = Path("runtime/native/threads.c")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One model, ready to be timed. ``profile`` is the build that times each operator."""

    name: str
    card: dict[str, Any]
    library: Path
    profile: Path


def build(model: Path, cpu: Cpu, work: Path, *, threads: int = 1) -> Built:
    """Compile ``model`` for ``threads`` cores and link it twice: plainly, and timing operators.

    For cores that are not there scratch would be cut into shares that nobody takes.
    """
    name = naming.identifier(model)
    out = work / name
    bundle.compile(model, replace(cpu, cores=threads), out, name=name)
    return link(name, out, threads=threads)


def link(name: str, out: Path, *, threads: int = 1) -> Built:
    """Link the bundle ``name`` in ``out``."""
    card = json.loads((out / f"{name}.json").read_bytes())
    library = shared_object(out / f"{name}.so", name, [out / f"{name}.o"], threads=threads)
    profile = shared_object(
        out / f"{name}.profile.so", name, parts(name, out), "-DEDGE_PROFILE", threads=threads
    )
    return Built(name=name, card=card, library=library, profile=profile)


def parts(name: str, out: Path) -> list[Path]:
    """What a bundle is made from, for builds with instruments: the driver is compiled again."""
    return [out / f"{name}.{suffix}" for suffix in ("driver.c", "kernels.o", "data.o")]


def shared_object(
    target: Path, name: str, objects: Sequence[Path], *flags: str, threads: int = 1
) -> Path:
    """The shared object ``target`` of the harness for model ``name`` with ``objects``."""
    data = paths.data_dir()
    pool: list[str | Path] = [data / POOL, f"-DEDGE_THREADS={threads}"] if threads > 1 else []
    flags = (f"-DEDGE_MODEL={name}", f"-I{data / POOL.parent}", *flags)
    process.run(
        [
            *(*compiler.zig(), "cc", "-O2", "-shared", "-fPIC", "-fno-sanitize=undefined"),
            *("-fvisibility=hidden", *flags),
            *[data / HARNESS, *objects, *pool, "-o", target],
        ],
        what=f"link the bench of {name}",
    )
    return target
