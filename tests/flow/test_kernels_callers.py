# SPDX-License-Identifier: Apache-2.0
"""Bundles under every caller: odd addresses, wrong arguments, two at once, with sanitizers."""

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

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
    bundle.compile(model(name, tmp_path), cpu, tmp_path, name="model")
    alone = checked(tmp_path)
    assert alone.startswith("ok ")
    # Results do not depend on the number of threads, nor on who else calls.
    pool = [RUNTIME / "threads.c", f"-I{RUNTIME}", "-DEDGE_THREADS_ALWAYS"]
    assert checked(tmp_path, "-DEDGE_THREADS=2", *pool) == alone
    assert checked(tmp_path, "-DEDGE_THREADS=5", *pool) == alone


def test_large_kernels_use_the_pool(tmp_path):
    cpu = profiles.load("x86_64", paths.data_dir() / "targets").cpu
    bundle.compile(MODELS / "pretrainedResnet_quant.tflite", cpu, tmp_path, name="model")
    assert "in_parallel(part_" in (tmp_path / "model.driver.c").read_text()


def checked(tmp_path: Path, *more: str | Path) -> str:
    """Link the bundle with the check and run it; what it printed."""
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
    return process.run([tmp_path / "check"], what="check a bundle", timeout_s=120).text
