# SPDX-License-Identifier: Apache-2.0
"""``bench``: kernels timed on this machine, or counted in instructions for a target."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgebuild.cli.build import open_store, read_lock
from edgebuild.cli.progress import Display
from edgebuild.config import profiles
from edgebuild.config.request import model_file
from edgebuild.errors.general import INVALID_VALUE
from edgebuild.host import paths


def bench(arguments: argparse.Namespace) -> None:
    """Print the tables, or JSON."""
    from edgebuild.kernels import bench_table

    given = arguments.model or [paths.data_dir() / "demo" / "kws.tflite"]
    models = [model_file(path).path for path in given]
    if arguments.target and (arguments.against or arguments.threads != 1):
        raise INVALID_VALUE(
            "instructions of a target are counted for its own kernels, on one core",
            hint="leave out --against and --threads, or --target",
        )
    with (
        tempfile.TemporaryDirectory(prefix="edgebuild-bench-") as work,
        Display(quiet=arguments.json) as display,
    ):
        measure = counted if arguments.target else timed
        result = measure(arguments, models, Path(work), display.doing)
    text = bench_table.counts if arguments.target else bench_table.table
    print(json.dumps(result, indent=1) if arguments.json else text(result))


def timed(
    arguments: argparse.Namespace, models: list[Path], work: Path, tell: Callable[[str], None]
) -> Mapping[str, Any]:
    """Times on this machine, runs interleaved with those of the peers."""
    from edgebuild.host import processor
    from edgebuild.kernels import bench as benches
    from edgebuild.kernels import hostcpu, roofline_host

    cpu = hostcpu.describe(processor.this_processor())
    tell("measure this machine")
    machine = roofline_host.measure(cpu, work)
    return benches.run(
        models,
        cpu=cpu,
        work=work,
        machine=machine,
        against=tuple(filter(None, (arguments.against or "").split(","))),
        threads=arguments.threads,
        tell=tell,
    )


def counted(
    arguments: argparse.Namespace, models: list[Path], work: Path, tell: Callable[[str], None]
) -> Mapping[str, Any]:
    """Instructions on a target, on its emulated machine."""
    from edgebuild.host import tools
    from edgebuild.kernels import bench_count

    profile = profiles.load(arguments.target, paths.data_dir() / "targets")
    lock = read_lock()
    store = open_store(arguments.mirror, offline=arguments.offline)
    return bench_count.run(
        models,
        cpu=profile.cpu,
        emulator=tools.tool(store, lock, profile.emulator.system),
        qemu_cpu=profile.emulator.cpu,
        work=work,
        tell=tell,
    )
