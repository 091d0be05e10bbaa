# SPDX-License-Identifier: Apache-2.0
"""Counting instructions: what the emulated program says and how it is linked."""

import dataclasses

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import process
from edgebuild.kernels import bench_build, bench_count, bench_table
from tests.unit.bench_helpers import CPU, compile_toy

CONSOLE = "status 0\ntotal 1368\noperator 0 653\noperator 1 652\nsum 281276192\nend\n"


def test_parse():
    counts = bench_count.parse(CONSOLE)
    assert counts == bench_count.Counts(total=1368, operators=(653, 652), checksum=281276192)


@pytest.mark.parametrize(
    "console", ["", "status 0\ntotal 5\n", CONSOLE.replace("status 0", "status -3")]
)
def test_a_program_that_does_not_finish(console):
    with pytest.raises(EdgebuildError) as error:
        bench_count.parse(console)
    assert error.value.kind.code == "E283"


def test_no_machine_for_this_cpu(tmp_path):
    with pytest.raises(EdgebuildError) as error:
        bench_count.count("toy", tmp_path, "mips", ["qemu"], "24Kc")
    assert error.value.kind.code == "E284"


@pytest.mark.parametrize("arch", ["aarch64", "riscv64", "x86_64", "armv7e-m"])
def test_run_links_a_program_and_reports(monkeypatch, tmp_path, arch):
    started = []
    monkeypatch.setattr(bench_build.bundle, "compile", compile_toy)
    original = process.run

    def run(argv, **options):
        if argv[0] != "emulator":
            return original(argv, **options)
        started.append([str(each) for each in argv])
        return process.Completed(stdout=CONSOLE.encode(), stderr=b"")

    monkeypatch.setattr(bench_count.process, "run", run)
    cpu = dataclasses.replace(CPU, arch=arch, model="a-core", features=())
    qemu = "cortex-m4" if arch == "armv7e-m" else "core"
    told: list[str] = []
    result = bench_count.run(
        [tmp_path / "toy.tflite"], cpu=cpu, emulator=["emulator"], qemu_cpu=qemu, work=tmp_path,
        tell=told.append,
    )  # fmt: skip
    assert told == ["compile and count toy.tflite (1 of 1)"]
    (row,) = result["models"]
    assert row["instructions"] == 1368
    assert [each["instructions"] for each in row["operators"]] == [653, 652]
    assert (tmp_path / "toy/toy.count.elf").read_bytes()[:4] == b"\x7fELF"
    assert len(started) == 2
    # the board's timer ticks every 40 ns: an instruction has to last longer
    shift = "shift=7" if arch == "armv7e-m" else "shift=0"
    assert started[0][started[0].index("-icount") :][:2] == ["-icount", shift]
    text = bench_table.counts(result)
    assert "1,368" in text
    assert "increase" in text
