# SPDX-License-Identifier: Apache-2.0
"""Compile specs for the machine at hand, run them, and compare with the NumPy reference."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import itertools
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.host.processor import this_processor
from edgebuild.kernels import hostcpu, reference, specs, tir
from edgebuild.kernels.program import Operand, Program, Step
from edgebuild.model.profile import Cache, Cpu

Array = NDArray[Any]


def cpu(arch: str, model: str, bits: int, *features: str) -> Cpu:
    return Cpu(
        arch=arch, model=model, features=features, cores=1, clock_mhz=2000, vector_bits=bits,
        cache=Cache(l1d_bytes=32768, l2_bytes=1 << 20),
        macs_per_cycle_f32=8, macs_per_cycle_int8=16,
    )  # fmt: skip


V2 = cpu("x86_64", "x86-64-v2", 128)
V3 = cpu("x86_64", "x86-64-v3", 256)
VNNI = cpu("x86_64", "znver4", 512)
A72 = cpu("aarch64", "cortex-a72", 128)
A76 = cpu("aarch64", "cortex-a76", 128)
N2 = cpu("aarch64", "neoverse-n2", 128)
M4 = cpu("armv7e-m", "cortex-m4", 0, "+vfp4d16sp")
WASM = cpu("wasm32", "generic", 128, "+simd128")
RV64 = cpu("riscv64", "generic-rv64", 0, "+m", "+a", "+f", "+d", "+c")


@functools.cache
def host() -> Cpu:
    return hostcpu.describe(this_processor())


def runnable() -> list[Cpu]:
    """Processors whose code this machine runs: itself, and narrower ones of its kind."""
    mine = host()
    if mine.arch != "x86_64":
        return [mine]
    return [mine, *(c for c in (V3, V2) if c.vector_bits <= mine.vector_bits)]


def tiny_caches(target: Cpu, l2_bytes: int, cores: int) -> Cpu:
    """A processor whose second cache hardly holds a row: everything large is done in strips."""
    cache = Cache(l1d_bytes=1024, l2_bytes=l2_bytes)
    return dataclasses.replace(target, cores=cores, cache=cache)


def aligned(size: int, shift: int = 0) -> Array:
    raw = np.zeros(size + 192, np.uint8)
    start = -raw.ctypes.data % 64 + shift
    return raw[start : start + size]


class Compiled:
    """Specs compiled into one shared object."""

    def __init__(
        self, folder: Path, many: Sequence[specs.Spec], target: Cpu, *,
        over: str | None = None, free_bytes: int = tir.UNBOUNDED,
    ) -> None:  # fmt: skip
        """``over``: the argument that the output takes over, if it is not apart from all."""
        self.specs, self.over = list(many), over
        self.kernels = [
            tir.kernel(s, target, f"k{i}", over=over, free_bytes=free_bytes)
            for i, s in enumerate(self.specs)
        ]
        functions = [p.func for k in self.kernels for p in k.phases]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "k.o").write_bytes(tir.compile(functions, target))
        linked = subprocess.run(
            [sys.executable, "-m", "ziglang", "ld.lld", "-shared", "--no-undefined",
             "--warn-unresolved-symbols", "-o", str(folder / "k.so"), str(folder / "k.o")],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        # every C library and every compiler's runtime has these; nothing else may be needed
        missing = set(re.findall(r"undefined symbol: (\S+)", linked.stderr))
        assert missing <= {"memcpy", "memset"}, missing
        self.library = ctypes.CDLL(str(folder / "k.so"))

    def run(
        self, number: int, arguments: Sequence[Array], *, pieces: int = 1, shift: int = 0,
        output: Array | None = None,
    ) -> Array:  # fmt: skip
        """``pieces``: split each phase's tasks; ``shift``: move the buffers off alignment."""
        spec, kernel = self.specs[number], self.kernels[number]
        kept, pointers, constants, shared = list[Array](), list[int](), list[Array](), -1
        for argument, value in zip(spec.arguments(), arguments, strict=False):
            if argument.name == self.over:
                shared, output = len(pointers), value
            if argument.role == "constant":
                constants.append(value)
            else:
                kept.append(aligned(value.nbytes, shift * value.itemsize))
                kept[-1][:] = np.frombuffer(value.tobytes(), np.uint8)
                pointers.append(kept[-1].ctypes.data)
        blob = np.frombuffer(kernel.pack(constants), np.uint8)
        kept += [aligned(blob.size), aligned(kernel.scratch_bytes)]
        kept[-2][:] = blob
        last = spec.arguments()[-1]
        dtype = np.dtype(last.dtype)
        size = int(np.prod(last.shape, dtype=np.int64)) * dtype.itemsize
        out = aligned(size + 64, shift * dtype.itemsize)
        out[:] = 0xA5
        if output is not None:
            out[:size] = np.frombuffer(output.tobytes(), np.uint8)
        if shared >= 0:
            pointers[shared] = out.ctypes.data
        pointers += [kept[-2].ctypes.data, out.ctypes.data, kept[-1].ctypes.data]
        for phase in kernel.phases:
            function = getattr(self.library, phase.symbol)
            function.restype = None
            cuts = [phase.tasks * i // pieces for i in range(pieces + 1)]
            for begin, end in itertools.pairwise(cuts):
                function(*map(ctypes.c_void_p, pointers), ctypes.c_int32(begin),
                         ctypes.c_int32(end))  # fmt: skip
        assert (out[size:] == 0xA5).all(), "written beyond the output"
        return out[:size].view(dtype).reshape(last.shape)


def random_arguments(spec: specs.Spec, seed: int = 0) -> list[Array]:
    """Inputs and constants; int32 ones are biases, multipliers and shifts by their order."""
    rng, result, wide = np.random.default_rng(seed), list[Array](), 0
    for argument in spec.arguments():
        if argument.role == "output":
            break
        value: Array
        if argument.dtype == "float32":
            value = (2 * rng.standard_normal(argument.shape)).astype(np.float32)
        elif argument.dtype == "float64":
            value = rng.uniform(1e-5, 1e-2, argument.shape)
        elif argument.dtype == "int8":
            least = -127 if getattr(spec, "symmetric", False) else -128
            value = rng.integers(least, 128, argument.shape).astype(np.int8)
        elif argument.dtype == "float16":
            value = rng.standard_normal(argument.shape).astype(np.float16)
        elif argument.dtype == "bool":
            value = rng.integers(0, 2, argument.shape).astype(bool)
        elif argument.role == "constant":
            ranges = ((-(1 << 14), 1 << 14), (1 << 30, (1 << 31) - 1), (-14, 2))
            value = rng.integers(*ranges[wide % 3], argument.shape).astype(np.int32)
            wide += 1
        else:
            value = rng.integers(-20, 20, argument.shape).astype(argument.dtype)
        result.append(value)
    return result


def compare(spec: specs.Spec, got: Array, arguments: Sequence[Array], tolerance: float) -> None:
    """Equal for integers; for floats within ``tolerance`` of the largest result."""
    want = np.asarray(reference.evaluate(spec, arguments)).reshape(got.shape)
    if got.dtype != np.float32:
        assert np.array_equal(got, want), spec
        return
    assert np.array_equal(np.isnan(got), np.isnan(want)), spec
    finite = np.isfinite(want)
    assert np.array_equal(got[~finite & ~np.isnan(want)], want[~finite & ~np.isnan(want)]), spec
    if finite.any():
        size = max(1.0, float(np.abs(want[finite]).max()))
        assert np.abs(got[finite].astype(np.float64) - want[finite]).max() <= tolerance * size, spec


def check(folder: Path, many: Sequence[specs.Spec], *, tolerance: float = 1e-5) -> None:
    """Compile and compare all specs on every processor this machine can play."""
    for target in runnable():
        compiled = Compiled(folder / f"{target.model}-{target.vector_bits}", many, target)
        for number, spec in enumerate(many):
            arguments = random_arguments(spec, number)
            compare(spec, compiled.run(number, arguments), arguments, tolerance)


def operand(shape: Sequence[int], dtype: str = "float32", source: Any = "input") -> Operand:
    return Operand(source=source, shape=tuple(shape), dtype=dtype)


def step(function: str, arguments: Sequence[int], *numbers: float, dtype: str = "float32") -> Step:
    return Step(function=function, arguments=tuple(arguments), numbers=numbers, dtype=dtype)


def plain(shape: Sequence[int], dtype: str = "float32") -> Program:
    """An epilogue that does nothing."""
    return Program(operands=(operand(shape, dtype, "accumulator"),), steps=())


def requantised(
    shape: Sequence[int], *, residual: bool = False, zero: int = 3, known: int = 0
) -> Program:
    """Bias, requantisation and, if asked, the residual sum of int8 networks."""
    channels = (shape[-1],)
    operands = [operand(shape, "int32", "accumulator")]
    operands += [operand(channels, "int32", "constant") for _ in range(3)]
    operands += [operand(shape, "int8")] if residual else []
    count = len(operands)
    steps = [
        step("add", (0, 1), dtype="int32"),
        step("requantise", (count, 2, 3), zero, -128, 127, known, dtype="int8"),
    ]
    if residual:
        numbers = (zero, 1657902019, -2, 4, 1 << 30, 0, 20, 1835721671, -18, 5, -120, 127)
        steps.append(step("add_int8", (count + 1, 4), *numbers, dtype="int8"))
    return Program(operands=tuple(operands), steps=tuple(steps))


def rescaled_really(shape: Sequence[int], *, known: int = 0) -> Program:
    """Bias and the requantisation of dense layers, in double."""
    channels = (shape[-1],)
    return Program(
        operands=(operand(shape, "int32", "accumulator"), operand(channels, "int32", "constant"),
                  operand(channels, "float64", "constant")),
        steps=(step("add", (0, 1), dtype="int32"),
               step("requantise_real", (3, 2), -4, -128, 127, known, dtype="int8")),
    )  # fmt: skip


def clamped(shape: Sequence[int]) -> Program:
    """Bias and ReLU6 of float networks."""
    return Program(
        operands=(operand(shape, "float32", "accumulator"),
                  operand((shape[-1],), "float32", "constant")),
        steps=(step("add", (0, 1)), step("clamp", (2,), 0.0, 6.0)),
    )  # fmt: skip


def elementwise(shape: Sequence[int], operands: Sequence[Operand], *steps: Step) -> Any:
    program = Program(operands=tuple(operands), steps=steps)
    return specs.Elementwise(shape=tuple(shape), program=program)
