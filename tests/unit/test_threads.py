# SPDX-License-Identifier: Apache-2.0
"""The thread pool: every task once, whatever the number of threads; and when to use it."""

import dataclasses
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from edgebuild.host import compiler, paths, process
from edgebuild.kernels import threads
from tests.unit.bench_helpers import CPU, NATIVE

NATIVE_RUNTIME = paths.data_dir() / "runtime" / "native"
SOURCES = [NATIVE_RUNTIME / "threads.c", NATIVE / "threads_check.c"]
FLAGS = ["-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE_RUNTIME}", "-pthread"]


def run(compile_command: list[str], count: int, out: Path, *flags: str) -> str:
    """Compile the check for ``count`` threads and run it."""
    command = [*compile_command, *FLAGS, f"-DEDGE_THREADS={count}", *flags, *SOURCES, "-o", out]
    process.run(command, what="compile the check of the thread pool")
    return process.run([out], what="check the thread pool", timeout_s=60).text.strip()


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_results_do_not_depend_on_the_number_of_threads(tmp_path, count):
    zig = [*compiler.zig(), "cc"]
    assert run(zig, count, tmp_path / "check", "-DEDGE_THREADS_ALWAYS") == str(count)


def test_no_more_threads_than_cores(tmp_path):
    assert 1 <= int(run([*compiler.zig(), "cc"], 64, tmp_path / "check")) <= 64


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs a static x86-64 program")
def test_with_musl_and_static(tmp_path):
    zig = [*compiler.zig(), "cc", "-target", "x86_64-linux-musl", "-static"]
    assert run(zig, 4, tmp_path / "check", "-DEDGE_THREADS_ALWAYS") == "4"


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_with_sanitizers(tmp_path, sanitizer):
    flags = [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    gcc = shutil.which("gcc")
    empty = tmp_path / "empty.c"
    empty.write_text("int main(void) { return 0; }")
    build = [gcc or "", *flags, empty, "-o", tmp_path / "empty"]
    if gcc is None or subprocess.run(build, check=False).returncode:
        pytest.skip("no gcc with sanitizers here; zig brings none for addresses")
    assert run([gcc], 4, tmp_path / "check", "-DEDGE_THREADS_ALWAYS", *flags) == "4"


def test_small_kernels_are_left_whole():
    assert threads.split(1000, 4096, 64, "float32", CPU) == 1
    assert threads.split(10**9, 10**6, 1, "float32", CPU) == 1
    assert threads.split(10**9, 10**6, 64, "float32", dataclasses.replace(CPU, cores=1)) == 1


def test_parts_are_long_enough_and_no_more_than_the_loop_has():
    assert threads.split(10**9, 10**6, 64, "float32", CPU) == 64
    macs = int(5.5 * threads.LEAST_PART_S * 2e9 * 16 * threads.EFFICIENCY)
    assert threads.split(macs, 0, 64, "float32", CPU) == 5
    half = dataclasses.replace(CPU, macs_per_cycle_int8=2 * CPU.macs_per_cycle_f32)
    assert threads.split(macs, 0, 64, "int8", half) == 2
    assert threads.split(0, int(3.5 * threads.LEAST_PART_S * 2e9 * 8), 64, "float32", CPU) == 3
