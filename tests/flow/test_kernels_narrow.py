# SPDX-License-Identifier: Apache-2.0
"""Kernels for 32-bit processors: microcontrollers on QEMU's boards, WebAssembly in Node."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import counts
from edgebuild.errors import EdgebuildError
from edgebuild.host import mirrors
from edgebuild.kernels import armtags, bundle, check, cputarget, disassembly, metal, naming
from edgebuild.model.profile import Cache, Cpu
from tests import models_build
from tests.flow import test_kernels_extremes as extremes
from tests.flow.test_kernels_check import MODELS, made
from tests.tools.one_operator import Case

pytestmark = pytest.mark.slow

WASM = Cpu(
    arch="wasm32", model="generic", features=("+simd128",), cores=1, clock_mhz=1000,
    cache=Cache(l1d_bytes=32768, l2_bytes=262144), vector_bits=128,
    macs_per_cycle_f32=4, macs_per_cycle_int8=8,
)  # fmt: skip
RUNNER = Path(__file__).parents[1] / "tools" / "wasi.mjs"


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
    board = metal.MACHINES[processor(name).arch].boards[name]
    return [
        *counts.emulator(counts.CORES[name]), "-M", board,
        "-cpu", name, "-nodefaults", "-display", "none", "-serial", "stdio",
        "-semihosting-config", "enable=on,target=native", "-kernel",
    ]  # fmt: skip


def checked(model: Path, name: str, out: Path) -> None:
    cpu, command = processor(name), emulator(name)
    bundle.compile(model, cpu, out, name=naming.identifier(model))
    disassembly.check(out / f"{naming.identifier(model)}.o", cpu)
    if cpu.arch in cputarget.MICRO:  # nothing says that a caller has to pass floats in registers
        whole = (out / f"{naming.identifier(model)}.o").read_bytes()
        assert armtags.callable_by_either(whole) == whole
    report = check.check(model, out, cpu, seed=3, emulator=command)
    assert report["passed"], report


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("cortex-m4", "words.onnx"),
        ("cortex-m7", "images_int8.onnx"),
        ("cortex-m55", "words.onnx"),
        ("cortex-m55", "images_int8.onnx"),
        ("wasm32", "words.onnx"),
        ("wasm32", "images_int8.onnx"),
    ],
)
def test_built_models(name: str, model: str, tmp_path: Path) -> None:
    checked(made(model, tmp_path), name, tmp_path / "out")


@pytest.mark.parametrize("model", ["ad01_int8", "kws_ref_model"])
def test_real_models_in_webassembly(model: str, tmp_path: Path) -> None:
    checked(MODELS / f"{model}.tflite", "wasm32", tmp_path)


@pytest.mark.parametrize("name", ["cortex-m4", "cortex-m55", "wasm32"])
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


def windows(case: Case, channels: tuple[int, int], groups: int, **options: int) -> bytes:
    """A convolution of 9x8 positions by 3x2 windows with random weights, and its residual sum."""
    random = np.random.default_rng(channels[0])
    into, out = channels
    x = case.int8((1, 9, 8, into), 0.5, 7)
    values = random.integers(-128, 128, (out, 3, 2, into // groups)).astype(np.int8)
    w = case.constant(values, scale=[0.5], zero_point=[0])
    b = case.constant(random.integers(-999, 999, out).astype(np.int32), scale=[0.25],
                      zero_point=[0])  # fmt: skip
    stride, apart, valid = options["stride"], options["dilation"], options["valid"]
    size = [
        -(-(n - (k - 1) * apart * valid) // stride) for n, k in zip((9, 8), (3, 2), strict=True)
    ]
    return case.file(
        "CONV_2D", [x, w, b], case.out((1, *size, out), 64.0, -3), version=3,
        options="Conv2DOptions", Padding=valid, StrideW=stride, StrideH=stride,
        DilationWFactor=apart, DilationHFactor=apart,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "groups", "options"),
    [
        ((3, 5), 1, {"stride": 1, "dilation": 1, "valid": 0}),
        ((16, 16), 1, {"stride": 2, "dilation": 1, "valid": 0}),
        ((17, 9), 1, {"stride": 1, "dilation": 2, "valid": 0}),
        ((40, 4), 1, {"stride": 1, "dilation": 1, "valid": 1}),
        ((12, 6), 3, {"stride": 2, "dilation": 1, "valid": 1}),
        ((64, 6), 2, {"stride": 1, "dilation": 1, "valid": 0}),
    ],
)
def test_windows_on_helium(
    channels: tuple[int, int], groups: int, options: dict[str, int], tmp_path: Path
) -> None:
    model = tmp_path / "windows.tflite"
    model.write_bytes(windows(Case(), channels, groups, **options))
    checked(model, "cortex-m55", tmp_path / "out")


def channels_apart(case: Case, channels: int, kernel: tuple[int, int], **options: int) -> bytes:
    """A depthwise convolution of 9x8 positions with random weights."""
    random = np.random.default_rng(channels)
    x = case.int8((2, 9, 8, channels), 0.5, 7)
    values = random.integers(-128, 128, (1, *kernel, channels)).astype(np.int8)
    w = case.constant(values, scale=[0.5], zero_point=[0])
    b = case.constant(random.integers(-999, 999, channels).astype(np.int32), scale=[0.25],
                      zero_point=[0])  # fmt: skip
    stride, apart, valid = options["stride"], options["dilation"], options["valid"]
    size = [
        -(-(n - (k - 1) * apart * valid) // stride) for n, k in zip((9, 8), kernel, strict=True)
    ]
    return case.file(
        "DEPTHWISE_CONV_2D", [x, w, b], case.out((2, *size, channels), 64.0, -3), version=3,
        options="DepthwiseConv2DOptions", Padding=valid, StrideW=stride, StrideH=stride,
        DepthMultiplier=1, DilationWFactor=apart, DilationHFactor=apart,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "kernel", "options"),
    [
        (16, (3, 3), {"stride": 1, "dilation": 1, "valid": 0}),
        (37, (3, 3), {"stride": 2, "dilation": 1, "valid": 0}),
        (5, (3, 3), {"stride": 1, "dilation": 2, "valid": 0}),
        (30, (5, 5), {"stride": 1, "dilation": 1, "valid": 0}),
        (11, (2, 6), {"stride": 1, "dilation": 1, "valid": 1}),
    ],
)
def test_channels_apart_on_helium(
    channels: int, kernel: tuple[int, int], options: dict[str, int], tmp_path: Path
) -> None:
    model = tmp_path / "windows.tflite"
    model.write_bytes(channels_apart(Case(), channels, kernel, **options))
    checked(model, "cortex-m55", tmp_path / "out")


def test_windows_of_all_kinds_and_in_place_on_helium(tmp_path: Path) -> None:
    net = models_build.mobilenet_v3(64, 0.5, 10)
    model = tmp_path / "net.tflite"
    model.write_bytes(models_build.to_tflite(net, int8=True))
    checked(model, "cortex-m55", tmp_path / "out")


@pytest.mark.parametrize("model", ["ad01_int8", "kws_ref_model"])
def test_real_models_on_helium_of_integers_only(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = counts.CORES["cortex-m55"]
    bare = dataclasses.replace(core, whole=dataclasses.replace(core.cpu(), features=("+mve",)))
    monkeypatch.setitem(counts.CORES, "cortex-m55", bare)
    checked(MODELS / f"{model}.tflite", "cortex-m55", tmp_path)


def test_a_profile_without_floating_point_gets_none(tmp_path: Path) -> None:
    cpu = Cpu(
        arch="armv7e-m", model="cortex-m4", cores=1, clock_mhz=100,
        cache=Cache(l1d_bytes=32768, l2_bytes=262144),
        macs_per_cycle_f32=0.1, macs_per_cycle_int8=1,
    )  # fmt: skip
    bundle.compile(MODELS / "kws_ref_model.tflite", cpu, tmp_path, name="model")
    disassembly.check(tmp_path / "model.o", cpu)
