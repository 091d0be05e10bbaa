# SPDX-License-Identifier: Apache-2.0
"""Kernels for other CPUs: no instruction that a core lacks, the same answer, no more work."""

import json
import os
from pathlib import Path

import pytest

from benchmarks import counts
from edgebuild.config import profiles
from edgebuild.host import paths
from edgebuild.kernels import bundle, disassembly

pytestmark = pytest.mark.slow

MODELS = Path(os.environ["EDGEBUILD_TEST_MODELS"])
SMALL = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant")


@pytest.mark.parametrize("core", sorted(counts.CORES))
def test_instructions(core, tmp_path):
    models = [MODELS / f"{name}.tflite" for name in SMALL]
    rows = counts.measure(core, models, tmp_path)
    cpu = counts.CORES[core].cpu()
    for row in rows:
        disassembly.check(tmp_path / row["name"] / f"{row['name']}.o", cpu)
    recorded = json.loads(counts.RECORD.read_text())
    found = {row["name"]: row["instructions"] for row in rows}
    assert not counts.regressions(recorded[core], found)
    # Integer models answer the same on every core, so their outputs have one checksum.
    assert {row["name"]: row["checksum"] for row in rows} == recorded["checksums"]


@pytest.mark.parametrize("target", ["x86_64", "rpi4", "riscv64"])
@pytest.mark.parametrize("name", SMALL)
def test_no_foreign_instruction(target, name, tmp_path):
    cpu = profiles.load(target, paths.data_dir() / "targets").cpu
    bundle.compile(MODELS / f"{name}.tflite", cpu, tmp_path, name="model")
    disassembly.check(tmp_path / "model.o", cpu)


def test_a_regression_is_found():
    recorded = {"same": 100, "better": 100, "worse": 100}
    found = {"same": 105, "better": 50, "worse": 106, "new": 1}
    lines = counts.regressions(recorded, found)
    assert [line.split(":")[0] for line in lines] == ["new", "worse"]
