# SPDX-License-Identifier: Apache-2.0
"""Kernels under pytest-benchmark: ``--benchmark-autosave``, then ``--benchmark-compare``.

Only our own bundles, for a quick before and after; ``history.py`` measures beside other runtimes.
"""

import platform
from pathlib import Path

import numpy as np
import pytest

from edgebuild.host import paths
from edgebuild.host.processor import this_processor
from edgebuild.kernels import bench_build, bench_worker, hostcpu
from tests.models_build import gemm, mobilenet_v1, mobilenet_v2, to_onnx, to_tflite, transformer

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux", reason="the harness is made for Linux"
)

IN_TREE = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant")
BUILT = {
    "mobilenet_v1_96_f32": lambda: (to_tflite(mobilenet_v1(96), int8=False), ".tflite"),
    "mobilenet_v1_96_int8": lambda: (to_tflite(mobilenet_v1(96), int8=True), ".tflite"),
    "mobilenet_v2_96_f32": lambda: (to_onnx(mobilenet_v2(96), int8=False), ".onnx"),
    "mobilenet_v2_96_int8": lambda: (to_tflite(mobilenet_v2(96), int8=True), ".tflite"),
    "gemm_512_f32": lambda: (to_tflite(gemm(512, 512, 512), int8=False), ".tflite"),
    "gemm_512_int8": lambda: (to_tflite(gemm(512, 512, 512), int8=True), ".tflite"),
    "gemv_1024_f32": lambda: (to_tflite(gemm(1, 1024, 1024), int8=False), ".tflite"),
    "transformer_6x256_128": lambda: (transformer(), ".onnx"),
}


def model(name: str, folder: Path) -> Path:
    """The model's file."""
    if name in IN_TREE:
        return paths.data_dir() / "tests" / "models" / f"{name}.tflite"
    data, suffix = BUILT[name]()
    path = folder / f"{name}{suffix}"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", [*IN_TREE, *BUILT])
def test_inference(benchmark, tmp_path, name):
    cpu = hostcpu.describe(this_processor())
    built = bench_build.build(model(name, tmp_path), cpu, tmp_path / "work")
    random = np.random.default_rng(0)
    inputs = [
        bench_worker.random_input(random, each["shape"], each["dtype"])
        for each in built.card["inputs"]
    ]
    bundle = bench_worker.Bundle(str(built.library), built.card, inputs)
    benchmark.extra_info["macs"] = built.card["macs"]
    benchmark(bundle.run, 1)
