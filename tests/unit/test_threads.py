# SPDX-License-Identifier: Apache-2.0
"""The thread pool: every task once, whatever the number of threads; and when to use it."""

import dataclasses
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.host import compiler, paths, process
from edgebuild.kernels import threads
from edgebuild.planning import roofline
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


def kernel(seconds: float) -> dict[str, object]:
    """A convolution that takes about so long on CPU."""
    macs = int(seconds * roofline.peak_macs_per_s(CPU, "float32"))
    work = {"rows": 100, "columns": 64, "products": macs // 6400, "stretch": 1, "reads": 0}
    work |= {"runs": 0, "functions": {}, "arithmetic": "float32"}
    counts = {"macs": macs, "bytes_moved": 0, "weights_read_bytes": 0}
    return {"kind": "conv2d", **counts, "work": work}


def test_parts_are_long_enough_and_no_more_than_the_loop_has():
    assert threads.split(1.0, 64) == 64
    assert threads.split(5.5 * threads.LEAST_PART_S, 64) == 5
    assert threads.split(0.5 * threads.LEAST_PART_S, 64) == 1


def test_a_model_that_saves_little_wakes_nobody():
    large, small = kernel(4 * threads.LEAST_SAVING_S), kernel(0.5 * threads.LEAST_SAVING_S)
    assert threads.grains([large], [[64]], CPU).keys() == {(0, 0)}
    assert threads.grains([small], [[64]], CPU) == {}
    # many small ones together are worth it
    assert len(threads.grains([small] * 20, [[64]] * 20, CPU)) == 20
    assert threads.grains([large], [[64]], dataclasses.replace(CPU, cores=1)) == {}


def test_what_cannot_be_split_is_not():
    large = kernel(100 * threads.LEAST_SAVING_S)
    found = threads.grains([large, large], [[1, 64], [1]], CPU)
    assert found.keys() == {(0, 1)}
    assert threads.grains([], [], CPU) == {}


@given(st.floats(0, 1e-2), st.integers(0, 10_000))
def test_every_split_keeps_its_bounds(seconds, extent):
    parts = threads.split(seconds, extent)
    assert 1 <= parts <= max(1, extent)
    assert parts == 1 or seconds / parts >= threads.LEAST_PART_S
