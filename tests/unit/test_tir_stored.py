# SPDX-License-Identifier: Apache-2.0
"""Float operators with weights of 8 and 16 bits against the reference, whatever their sizes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.kernels import specs, tir
from edgebuild.kernels.program import Program
from edgebuild.kernels.specs import Window
from edgebuild.kernels.tir import conv2d, digits, isa
from edgebuild.model.profile import Cpu
from tests.unit import tir_helpers as h
from tests.unit.test_tir_contraction import _WINDOWS, conv

AVXVNNI = h.cpu("x86_64", "alderlake", 256)
#: Of each way to multiply, whether three digits are used for one row, and for several.
ISAS = {
    "baseline": (h.cpu("x86_64", "x86-64", 128), False, False),
    "v3": (h.V3, False, False),
    "vnni": (h.VNNI, True, True),
    "avxvnni": (AVXVNNI, True, True),
    "a53": (h.cpu("aarch64", "cortex-a53", 128), True, False),
    "a72": (h.A72, True, False),
    "a76": (h.A76, True, True),
    "n2": (h.N2, True, True),
    "rv64gc": (h.RV64, False, False),
    "rv64gcv": (h.cpu("riscv64", "generic-rv64", 128, "+m", "+a", "+f", "+d", "+c", "+v"),
                False, False),
    "m4": (h.M4, False, False),
    "m55": (h.cpu("armv8.1-m", "cortex-m55", 128), False, False),
    "wasm": (h.WASM, False, False),
}  # fmt: skip


def scaled(shape: tuple[int, ...], *, per_channel: bool = True) -> Program:
    """Scale, bias and ReLU6."""
    scale = (shape[-1],) if per_channel else (1,)
    return Program(
        operands=(h.operand(shape, "float32", "accumulator"),
                  h.operand(scale, "float32", "constant"),
                  h.operand((shape[-1],), "float32", "constant")),
        steps=(h.step("mul", (0, 1)), h.step("add", (3, 2)), h.step("clamp", (4,), -500.0, 900.0)),
    )  # fmt: skip


def dense(m: int, k: int, n: int, stored: str = "int8", *, per_channel: bool = True) -> specs.Dense:
    epilogue = scaled((m, n), per_channel=per_channel) if stored == "int8" else h.plain((m, n))
    return specs.Dense(m=m, k=k, n=n, dtype="float32", stored=stored, epilogue=epilogue)


def smaller(spec: specs.Conv2d, stored: str) -> specs.Conv2d:
    epilogue = scaled(spec.output) if stored == "int8" else spec.epilogue
    return dataclasses.replace(spec, stored=stored, epilogue=epilogue)


@pytest.mark.parametrize("stored", ["int8", "float16"])
def test_odd_sizes(tmp_path: Path, stored: str) -> None:
    """A sample of tests/flow/test_tir_sizes.py, which has all sizes from 1 to 70."""
    sizes = ((1, 1, 1), (1, 67, 33), (2, 5, 70), (7, 64, 17), (13, 31, 3), (70, 3, 48), (1, 70, 64))
    many = [dense(m, k, n, stored, per_channel=n % 2 == 0) for m, k, n in sizes]
    h.check(tmp_path, many)


@pytest.mark.parametrize("stored", ["int8", "float16"])
def test_convolutions(tmp_path: Path, stored: str) -> None:
    many = [
        smaller(conv(size, channels, window, dtype="float32", images=2, groups=groups), stored)
        for size, channels, window, groups in _WINDOWS
    ]
    h.check(tmp_path, many)


@pytest.mark.parametrize("stored", ["int8", "float16"])
def test_depthwise(tmp_path: Path, stored: str) -> None:
    many = []
    for channels in (1, 7, 16, 33):
        shape = (1, 6, 5, channels)
        many.append(specs.Depthwise2d(
            input=shape, output=shape, window=Window(kernel=(3, 3), padding=(1, 1)),
            dtype="float32", stored=stored, epilogue=scaled(shape),
        ))  # fmt: skip
    h.check(tmp_path, many)
    # where memory is tight, these too are kept small
    for target in (h.M4, ISAS["m55"][0]):
        kernel = tir.kernel(many[-1], target, "k")
        whole = tir.kernel(dataclasses.replace(many[-1], stored=""), target, "k")
        assert kernel.constants_bytes < whole.constants_bytes - 9 * 33


@pytest.mark.parametrize("name", ISAS)
def test_weights_are_as_large_as_in_the_file(name: str) -> None:
    target = ISAS[name][0]
    for m in (1, 3, 40):
        for item, stored in ((1, "int8"), (2, "float16")):
            spec = dense(m, 256, 128, stored)
            expanded = 4 if stored == "float16" and not isa.of(target).half else item
            size = tir.kernel(spec, target, "k").constants_bytes
            assert 256 * 128 * expanded <= size < 256 * 128 * expanded + 3000
    window = Window(kernel=(1, 1))
    spec = smaller(conv((9, 9), (64, 64), window, dtype="float32"), "int8")
    assert tir.kernel(spec, target, "k").constants_bytes < 64 * 64 + 2000


@pytest.mark.parametrize("name", ISAS)
def test_the_rule(name: str) -> None:
    target, one, several = ISAS[name]
    for m, expected in ((1, one), (5, several)):
        spec = dataclasses.replace(dense(m, 64, 64), symmetric=True)
        flat = specs.Conv2d(
            input=(1, 1, m, 64), output=(1, 1, m, 64), window=Window(kernel=(1, 1)),
            dtype="float32", epilogue=spec.epilogue, symmetric=True, stored="int8",
        )  # fmt: skip
        build = conv2d.Build(spec, isa.of(target), "k", None, tir.UNBOUNDED)
        assert digits.suits(flat, build) is expected
        following = conv2d.Build(spec, isa.of(target), "k", "input", tir.UNBOUNDED)
        assert not digits.suits(flat, following)


def vnni() -> list[Cpu]:
    return [c for c in h.runnable() if isa.of(c).products == "vnni"]


@pytest.fixture
def core() -> Cpu:
    found = vnni()
    if not found:
        pytest.skip("this machine has no dot products of bytes")
    return found[0]


def results(folder: Path, target: Cpu, spec: specs.Dense, x: h.Array, w: h.Array) -> h.Array:
    ones, zeros = np.ones(spec.n, np.float32), np.zeros(spec.n, np.float32)
    return h.Compiled(folder, [spec], target).run(0, [x, w, ones, zeros])


def open_ended(m: int, k: int, n: int) -> specs.Dense:
    """Without limits at the end, so that everything shows."""
    spec = dense(m, k, n)
    return dataclasses.replace(
        spec, epilogue=dataclasses.replace(spec.epilogue, steps=spec.epilogue.steps[:2])
    )


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e-38, 1e-42, 1e30])
def test_digits_are_as_exact_as_floats(tmp_path: Path, core: Cpu, size: float) -> None:
    rng, spec = np.random.default_rng(5), open_ended(4, 300, 64)
    x = (rng.standard_normal((4, 300)) * size).astype(np.float32)
    x[1] *= np.float32(1e-6)  # rows have their own scales
    w = rng.integers(-127, 128, (64, 300)).astype(np.int8)
    got = results(tmp_path, core, spec, x, w)
    want = x.astype(np.float64) @ w.T.astype(np.float64)
    largest = np.abs(x).max(axis=1, keepdims=True).astype(np.float64)
    weights = np.abs(w.astype(np.float64)).sum(axis=1)
    # an element is off by half of the last digit's one, which is never less than 2**-125
    off = np.maximum(2.0**-22 * largest, 2.0**-126)
    assert (np.abs(got - want) <= off * weights + 2.0**-22 * np.abs(want)).all()


def test_rows_of_zeros_and_what_is_not_finite(tmp_path: Path, core: Cpu) -> None:
    spec, rng = open_ended(6, 37, 40), np.random.default_rng(6)
    x = rng.standard_normal((6, 37)).astype(np.float32)
    x[0], x[1, 3], x[2, 36], x[3, 0] = 0, np.nan, np.inf, -np.inf
    x[4] = np.finfo(np.float32).max
    w = rng.integers(1, 2, (40, 37)).astype(np.int8)
    got = results(tmp_path, core, spec, x, w)
    assert (got[0] == 0).all()
    assert np.isnan(got[1:4]).all()
    assert np.isposinf(got[4]).all()
    assert np.isfinite(got[5]).all()


def test_any_split_and_any_strip_give_the_same_bytes(tmp_path: Path, core: Cpu) -> None:
    spec, rng = open_ended(67, 45, 70), np.random.default_rng(7)
    x = rng.standard_normal((67, 45)).astype(np.float32)
    w = rng.integers(-128, 128, (70, 45)).astype(np.int8)
    constants = [np.ones(70, np.float32), np.zeros(70, np.float32)]
    found = set()
    for cores, l2_bytes in ((1, 1 << 20), (1, 1 << 14), (3, 1 << 14), (4, 1 << 20)):
        target = h.tiny_caches(core, l2_bytes, cores)
        compiled = h.Compiled(tmp_path / f"{cores}-{l2_bytes}", [spec], target)
        for pieces in (1, 2, 5):
            found.add(compiled.run(0, [x, w, *constants], pieces=pieces).tobytes())
    assert len(found) == 1


@given(st.integers(1, 70), st.integers(1, 70), st.integers(16, 70), st.integers(1, 4))
def test_every_shape_has_a_kernel(m: int, k: int, n: int, which: int) -> None:
    target = list(ISAS.values())[2 * which][0]
    kernel = tir.kernel(dense(m, k, n), target, "k")
    constants = h.random_arguments(dense(m, k, n))[1:]
    assert len(kernel.pack(constants)) == kernel.constants_bytes


@pytest.mark.parametrize("name", ["baseline", "v3", "a72", "a53", "rv64gc", "rv64gcv", "wasm"])
def test_many_rows_have_their_weights_widened_once(name: str) -> None:
    target = ISAS[name][0]
    few, many, large = dense(2, 64, 64), dense(70, 64, 64), dense(70, 1024, 1024)
    assert tir.kernel(few, target, "k").scratch_bytes < 4 * 64 * 64
    kernel = tir.kernel(many, target, "k")
    assert 4 * 64 * 64 <= kernel.scratch_bytes < 4 * 64 * 64 + 4096
    assert kernel.constants_bytes < 64 * 64 + 2000
    assert tir.kernel(large, target, "k").scratch_bytes < 4 * 1024 * 1024  # more than fits L2
    assert tir.kernel(many, target, "k", free_bytes=16_000).scratch_bytes <= 16_000
    for core in (h.M4, ISAS["m55"][0]):
        tight = dataclasses.replace(core, cache=dataclasses.replace(core.cache, l2_bytes=0))
        assert tir.kernel(many, tight, "k").scratch_bytes < 4 * 64 * 64


def test_widened_weights_do_not_depend_on_the_split(tmp_path: Path) -> None:
    window = Window(kernel=(3, 3), padding=(1, 1))
    many: list[specs.Spec] = [
        dense(67, 130, 70), smaller(conv((9, 7), (5, 37), window, dtype="float32"), "int8"),
        smaller(conv((9, 9), (8, 12), window, dtype="float32", groups=2), "int8"),
    ]  # fmt: skip
    for target in h.runnable():
        compiled = h.Compiled(tmp_path / f"{target.vector_bits}", many, target)
        for number, spec in enumerate(many):
            arguments = h.random_arguments(spec)
            found = {compiled.run(number, arguments, pieces=n).tobytes() for n in (1, 2, 5)}
            assert len(found) == 1
