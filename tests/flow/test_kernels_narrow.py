# SPDX-License-Identifier: Apache-2.0
"""Kernels for 32-bit processors: microcontrollers on QEMU's boards, WebAssembly in Node."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import counts
from edgebuild.errors import EdgebuildError
from edgebuild.host import mirrors
from edgebuild.kernels import bundle, check, disassembly, naming
from edgebuild.model.profile import Cache, Cpu
from tests.flow import test_kernels_extremes as extremes
from tests.flow.test_kernels_check import MODELS, made

pytestmark = pytest.mark.slow

WASM = Cpu(
    arch="wasm32", model="generic", features=("+simd128",), cores=1, clock_mhz=1000,
    cache=Cache(l1d_bytes=32768, l2_bytes=262144), vector_bits=128,
    macs_per_cycle_f32=4, macs_per_cycle_int8=8,
)  # fmt: skip
RUNNER = Path(__file__).parents[1] / "tools" / "wasi.mjs"
BOARDS = {"cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"}


def processor(name: str) -> Cpu:
    return WASM if name == "wasm32" else counts.CORES[name].cpu()


def emulator(name: str) -> list[str]:
    """What runs a check program of that processor here."""
    if name == "wasm32":
        node = shutil.which("node")
        if node is None:
            pytest.skip("no Node.js on this machine")
        return [node, "--no-warnings", str(RUNNER)]
    try:
        mirrors.mirrors(None)
    except EdgebuildError as error:
        pytest.skip(f"no mirror: {error.message}")
    return [
        *counts.emulator(counts.CORES[name]), "-M", BOARDS[name], "-cpu", name, "-nodefaults",
        "-display", "none", "-serial", "stdio",
        "-semihosting-config", "enable=on,target=native", "-kernel",
    ]  # fmt: skip


def checked(model: Path, name: str, out: Path) -> None:
    cpu, command = processor(name), emulator(name)
    bundle.compile(model, cpu, out, name=naming.identifier(model))
    disassembly.check(out / f"{naming.identifier(model)}.o", cpu)
    report = check.check(model, out, cpu, seed=3, emulator=command)
    assert report["passed"], report


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("cortex-m4", "words.onnx"),
        ("cortex-m7", "images_int8.onnx"),
        ("wasm32", "words.onnx"),
        ("wasm32", "images_int8.onnx"),
    ],
)
def test_built_models(name: str, model: str, tmp_path: Path) -> None:
    checked(made(model, tmp_path), name, tmp_path / "out")


@pytest.mark.parametrize("model", ["ad01_int8", "kws_ref_model"])
def test_real_models_in_webassembly(model: str, tmp_path: Path) -> None:
    checked(MODELS / f"{model}.tflite", "wasm32", tmp_path)


@pytest.mark.parametrize("name", ["cortex-m4", "wasm32"])
@pytest.mark.parametrize(
    "make", [extremes.dense, extremes.conv, extremes.depthwise, extremes.product]
)
def test_extremes(
    make: Callable[[int, int], bytes], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fills = {127: -128, -128: 127}
    for zero, fill in fills.items():
        model = tmp_path / f"m{zero + 128}.tflite"
        model.write_bytes(make(-128, zero))
        monkeypatch.setattr(
            check, "random_inputs",
            lambda graph, _seed, fill=fill: [
                np.full(graph.tensors[n].shape, fill, np.int8) for n in graph.inputs
            ],
        )  # fmt: skip
        checked(model, name, tmp_path / model.stem)


def test_a_profile_without_floating_point_gets_none(tmp_path: Path) -> None:
    cpu = Cpu(
        arch="armv7e-m", model="cortex-m4", cores=1, clock_mhz=100,
        cache=Cache(l1d_bytes=32768, l2_bytes=262144),
        macs_per_cycle_f32=0.1, macs_per_cycle_int8=1,
    )  # fmt: skip
    bundle.compile(MODELS / "kws_ref_model.tflite", cpu, tmp_path, name="model")
    disassembly.check(tmp_path / "model.o", cpu)
