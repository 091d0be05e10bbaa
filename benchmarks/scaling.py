# SPDX-License-Identifier: Apache-2.0
"""What a second thread is worth: one model with one thread and with two, in turn.

    python -m benchmarks.scaling MODEL...

Both builds are sampled in turn by the wall's clock, and so are two threads that each run the
one-thread build at once: how much the machine itself has to give just then (2 when it is idle,
less when others use its cores). "could" is what the split kernels' share of the time allows
(Amdahl). Medians; minima in brackets. "same bytes" compares two builds, whose float sums may be cut
otherwise; one build's results do not depend on threads (tests/flow/test_kernels_callers.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgebuild.host.processor import this_processor
from edgebuild.kernels import bench_build, bench_worker, hostcpu

SAMPLES = 301
SAMPLE_S = 0.001  # shorter than a time slice, so that most samples meet no other process


def bundle(path: Path, work: Path, threads: int) -> tuple[bench_build.Built, list[Any]]:
    """The model built for so many threads, and inputs for it."""
    cpu = dataclasses.replace(hostcpu.describe(this_processor()), cores=threads)
    built = bench_build.build(path, cpu, work / str(threads), threads=threads)
    random = np.random.default_rng(0)
    inputs = [
        bench_worker.random_input(random, each["shape"], each["dtype"])
        for each in built.card["inputs"]
    ]
    return built, inputs


def loaded(built: bench_build.Built, inputs: Sequence[Any]) -> bench_worker.Bundle:
    """With its own memory; timed by the wall's clock."""
    return bench_worker.Bundle(str(built.library), built.card, inputs, 2)


def split_share(built: bench_build.Built, layers_s: Sequence[float]) -> float:
    """Share of the time that is in kernels which the driver may split."""
    driver = (built.library.parent / f"{built.name}.driver.c").read_text()
    parts = re.split(r"\n  /\* (\d+): \w+ \*/", driver)[1:]
    split = {
        int(n) for n, code in zip(parts[::2], parts[1::2], strict=True) if "in_parallel(" in code
    }
    return sum(each for n, each in enumerate(layers_s) if n in split) / sum(layers_s)


def both(first: Callable[[int], Any], second: Callable[[int], Any], times: int) -> float:
    """Seconds for each inference when two threads infer at once."""
    other = threading.Thread(target=second, args=(times,))
    begin = time.perf_counter()
    other.start()
    first(times)
    other.join()
    return (time.perf_counter() - begin) / (2 * times)


def measure(path: Path, work: Path) -> dict[str, Any]:
    """One row."""
    (one, inputs), (two, _) = bundle(path, work, 1), bundle(path, work, 2)
    single, twin, double = loaded(one, inputs), loaded(one, inputs), loaded(two, inputs)
    for each in (single, twin, double):
        each.run(3)
    times = max(1, round(SAMPLE_S * 1e9 / max(1, single.run(3).wall_ns / 3)))
    taken: dict[str, list[float]] = {"one": [], "two": [], "machine": []}
    for _ in range(SAMPLES):
        for name, bundled in (("one", single), ("two", double)):
            bundled.run(times)  # its weights into the caches, which the other had
            taken[name].append(bundled.run(times).wall_ns / times / 1e9)
        taken["machine"].append(both(single.run, twin.run, 4 * times))
    same = all(
        np.array_equal(a, b) for a, b in zip(single.outputs(), double.outputs(), strict=True)
    )
    profile = bench_worker.layers(str(one.profile), one.card, inputs, 1)
    layers_s = [statistics.median(each) for each in zip(*profile, strict=True)]
    share = split_share(two, layers_s)
    return {
        "model": one.name,
        "same": same,
        "split_share": share,
        "could": 1 / (1 - share / 2),
        **{name: (statistics.median(each), min(each)) for name, each in taken.items()},
    }


def text(row: dict[str, Any]) -> str:
    """One line of a table in Markdown."""
    (one, one_min), (two, two_min) = row["one"], row["two"]
    machine = one / row["machine"][0], one_min / row["machine"][1]
    return (
        f"| {row['model']} | {one * 1e6:.1f} µs | {two * 1e6:.1f} µs | "
        f"{one / two:.2f} ({one_min / two_min:.2f}) | {row['could']:.2f} | "
        f"{machine[0]:.2f} ({machine[1]:.2f}) | {'yes' if row['same'] else 'NO'} |"
    )


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    print("| model | 1 thread | 2 threads | speed-up | could | machine | same bytes |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for path in arguments.models:
            row = measure(path, Path(work))
            print(json.dumps(row) if arguments.json else text(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
