# SPDX-License-Identifier: Apache-2.0
"""Instructions that LiteRT's aarch64 wheel takes for one inference, under QEMU's user emulator.

    python benchmarks/litert_aarch64.py --root TREE --site FOLDER --cpu cortex-a72 MODEL…

TREE is a folder in which Debian's arm64 packages python3.13-minimal, libpython3.13-stdlib and
what they depend on are unpacked; FOLDER one in which the aarch64 wheels of ai-edge-litert, numpy
and what they need are unpacked (benchmarks/README.md has the commands).

The emulator logs each translated block once and each execution of a block once; only blocks of
LiteRT's own library are logged. The count is the difference between a run with three inferences
and one with one, halved, so loading and preparing are not in it. Time spent in the C library
(memcpy, allocation) is not counted, in LiteRT's favour.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from edgebuild.host import lockfile, paths, tools
from edgebuild.host.store import Store

GUEST = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[2], num_threads=1)
interpreter.allocate_tensors()
random = np.random.default_rng(0)
for detail in interpreter.get_input_details():
    shape, dtype = detail["shape"], detail["dtype"]
    if dtype == np.int8:
        value = random.integers(-128, 128, shape).astype(dtype)
    else:
        value = random.uniform(-1, 1, shape).astype(dtype)
    interpreter.set_tensor(detail["index"], value)
for line in open("/proc/self/maps"):
    if "libpywrap_litert_common" in line and "r-x" in line:
        print("code", line.split()[0], flush=True)
for _ in range(int(sys.argv[3])):
    interpreter._interpreter.Invoke()
"""

TRACE = re.compile(r"^Trace \d+: (0x[0-9a-f]+) ")
INSTRUCTION = re.compile(r"^0x[0-9a-f]+:  [0-9a-f]{8}  ")


def executed(log: Iterable[str]) -> int:
    """Instructions in an ``exec,nochain,in_asm`` log: a block's length at each execution."""
    lengths: dict[str, int] = {}
    total = fresh = 0
    for line in log:
        if line.startswith("Trace"):
            found = TRACE.match(line)
            block = found[1] if found else ""
            if fresh:  # the block that was just translated; its memory may have been another's
                lengths[block] = fresh
                fresh = 0
            total += lengths.get(block, 0)
        elif INSTRUCTION.match(line):
            fresh += 1
        elif line.startswith("IN:"):
            fresh = 0
    return total


class Guest:
    """LiteRT in an aarch64 Python, with the same addresses on every run."""

    def __init__(self, emulator: list[str], arguments: argparse.Namespace) -> None:
        # Without randomised addresses the library lies at one place in every run.
        self._command = ["setarch", "-R", *emulator, "-cpu", arguments.cpu, "-L", arguments.root]
        self._python = [f"{arguments.root}/usr/bin/python3.13", "-c", GUEST, arguments.site]

    def run(self, model: Path, times: int, *options: str) -> str:
        """What the guest printed."""
        command = [*self._command, *options, *self._python, str(model), str(times)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def count(self, model: Path) -> int:
        """Instructions of one inference."""
        code = re.search(r"code ([0-9a-f]+)-([0-9a-f]+)", self.run(model, 0))
        assert code is not None, "the library was not found in the guest's memory map"
        window = f"0x{code[1]}..0x{code[2]}"
        totals = []
        for times in (1, 3):
            with tempfile.NamedTemporaryFile(mode="r", suffix=".log") as log:
                options = ("-d", "exec,nochain,in_asm", "-dfilter", window, "-D", log.name)
                self.run(model, times, *options)
                totals.append(executed(log))
        return (totals[1] - totals[0]) // 2


def main() -> int:
    """Print one line for each model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--site", required=True)
    parser.add_argument("--cpu", default="cortex-a72")
    parser.add_argument("models", nargs="+", type=Path)
    arguments = parser.parse_args()
    lock = lockfile.read(paths.data_dir() / "locks" / "trixie.lock.json")
    store = Store(cache=paths.cache_dir(), mirror=None, offline=False, progress=lambda *_: None)
    guest = Guest(tools.tool(store, lock, "qemu-aarch64"), arguments)
    for model in arguments.models:
        print(f"{model.stem:40} {guest.count(model):>14,}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
