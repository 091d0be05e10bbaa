# SPDX-License-Identifier: Apache-2.0
"""Bundles under every caller: odd addresses, wrong arguments, two at once, with sanitizers."""

import dataclasses
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebuild.config import profiles
from edgebuild.host import compiler, paths, process
from edgebuild.kernels import bench_build, bundle
from tests.models_build import gemm, mobilenet_v2, to_onnx, to_tflite, transformer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 kernels"),
]

NATIVE = Path(__file__).parents[1] / "native"
RUNTIME = paths.data_dir() / "runtime" / "native"
SANITIZE = "-fsanitize=address,undefined"
MODELS = Path(os.environ["EDGEBUILD_TEST_MODELS"])


def model(name: str, folder: Path) -> Path:
    """One of the models in the tree, or a built one."""
    path = folder / name
    made = {
        "odd_f32.tflite": lambda: to_tflite(gemm(3, 37, 19), int8=False),
        "odd_int8.tflite": lambda: to_tflite(gemm(3, 37, 19), int8=True),
        "images_f32.onnx": lambda: to_onnx(mobilenet_v2(32, 0.25, 10), int8=False),
        "images_int8.tflite": lambda: to_tflite(mobilenet_v2(32, 0.25, 10), int8=True),
        "words.onnx": lambda: transformer(1, 32, 2, 9, 50),
    }
    if name not in made:
        return MODELS / name
    path.write_bytes(made[name]())
    return path


def compilers(folder: Path) -> list[str]:
    """gcc with its sanitizers where it has them; else zig with the undefined-behaviour one."""
    gcc = shutil.which("gcc")
    empty = folder / "empty.c"
    empty.write_text("int main(void) { return 0; }")
    if gcc is not None:
        attempt = [gcc, SANITIZE, empty, "-o", folder / "empty"]
        if subprocess.run(attempt, check=False, capture_output=True).returncode == 0:
            return [gcc, SANITIZE, "-fno-sanitize-recover=all"]
    return [*compiler.zig(), "cc", "-fsanitize=undefined"]


@pytest.mark.parametrize(
    "name",
    [
        "ad01_int8.tflite",
        "kws_ref_model.tflite",
        "pretrainedResnet_quant.tflite",
        "odd_f32.tflite",
        "odd_int8.tflite",
        "images_f32.onnx",
        "images_int8.tflite",
        "words.onnx",
    ],
)
def test_bundle(name, tmp_path):
    cpu = profiles.load("x86_64", paths.data_dir() / "targets").cpu
    slow = dataclasses.replace(cpu, clock_mhz=1)  # so slow that every kernel is worth splitting
    bundle.compile(model(name, tmp_path), slow, tmp_path, name="model")
    if not name.startswith("odd"):  # those are one task
        assert "in_parallel(part_" in (tmp_path / "model.driver.c").read_text()
    alone = checked(linked(tmp_path))
    assert alone.startswith("ok ")
    # Results do not depend on the number of threads, nor on who else calls.
    pool = [RUNTIME / "threads.c", f"-I{RUNTIME}", "-DEDGE_THREADS_ALWAYS"]
    assert checked(linked(tmp_path, "-DEDGE_THREADS=2", *pool)) == alone
    assert checked(linked(tmp_path, "-DEDGE_THREADS=5", *pool)) == alone
    shuffled = linked(tmp_path, NATIVE / "shuffled_parallel.c")

    @settings(max_examples=25, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def any_split(seed: int) -> None:
        assert checked(shuffled, EDGE_SEED=str(seed)) == alone

    any_split()


def test_only_models_that_gain_use_the_pool(tmp_path):
    cpu = profiles.load("x86_64", paths.data_dir() / "targets").cpu
    two = dataclasses.replace(cpu, cores=2)
    for name, splits in (("kws_ref_model.tflite", False), ("pretrainedResnet.tflite", True)):
        bundle.compile(MODELS / name, two, tmp_path, name="model")
        driver = (tmp_path / "model.driver.c").read_text()
        assert ("in_parallel(part_" in driver) == splits


def checked(program: Path, **environment: str) -> str:
    """What the check printed."""
    return process.run([program], what="check a bundle", timeout_s=120, env=environment).text


def linked(tmp_path: Path, *more: str | Path) -> Path:
    """Link the bundle with the check."""
    card = json.loads((tmp_path / "model.json").read_bytes())
    sizes = {
        role: ",".join(str(each["bytes"]) for each in card[f"{role.lower()}s"])
        for role in ("INPUT", "OUTPUT")
    }
    command = [
        *compilers(tmp_path),
        *("-g", "-O1", "-pthread", "-DEDGE_MODEL=model"),
        *(f"-DEDGE_{role}_BYTES={text}" for role, text in sizes.items()),
        *(NATIVE / "bundle_check.c", *bench_build.parts("model", tmp_path)),
        *(*more, "-o", tmp_path / "check"),
    ]
    process.run(command, what="compile the check of a bundle")
    return tmp_path / "check"
