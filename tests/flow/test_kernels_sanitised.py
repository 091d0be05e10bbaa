# SPDX-License-Identifier: Apache-2.0
"""Kernels under AddressSanitizer, every buffer an allocation of its own; no undefined arithmetic.

What ``test_kernels_callers`` does with the driver of a bundle, for the machine code of its kernels.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebuild.kernels import importer, softmax, specs, tir, tvm_worker
from edgebuild.kernels.optimise import optimise
from edgebuild.kernels.specs import Window
from edgebuild.kernels.tir import scalars
from edgebuild.kernels.tir.winograd_rule import FOUR, TWO, Form
from edgebuild.model.profile import Cpu
from tests.flow.sanitised import Job, missing, run
from tests.flow.test_kernels_callers import model
from tests.unit import tir_helpers as h
from tests.unit.test_tir_contraction import conv, dense, matmul
from tests.unit.test_tir_families import copy, depthwise
from tests.unit.test_tir_memory import SAME, residual
from tests.unit.test_tir_winograd import TOLERANCE, force, squares

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 kernels"),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

TARGETS = [
    pytest.param(cpu, id=f"{cpu.vector_bits} bits")
    for cpu in h.runnable() if cpu is h.host() or cpu is h.V3
]  # fmt: skip
EACH_TARGET = pytest.mark.parametrize("target", TARGETS)
EACH_TYPE = pytest.mark.parametrize("dtype", ["int8", "float32"])


def jobs_of(many: Iterable[specs.Spec], **memory: Any) -> list[Job]:
    """Each with random arguments."""
    return [
        Job(spec=spec, arguments=h.random_arguments(spec, number), **memory)
        for number, spec in enumerate(many)
    ]


def check(folder: Path, jobs: Sequence[Job], target: Cpu, *, tolerance: float = 1e-5) -> None:
    """No wrong access, and the reference's results."""
    for job, got in zip(jobs, run(folder, jobs, target), strict=True):
        h.compare(job.spec, got, job.arguments, tolerance)


@EACH_TYPE
@EACH_TARGET
def test_products(tmp_path: Path, target: Cpu, dtype: str) -> None:
    many: list[specs.Spec] = [
        dense(m, k, n, dtype, real=n % 2 == 0)
        for m, k, n in ((1, 1, 1), (1, 67, 33), (3, 5, 70), (13, 31, 3), (3, 0, 5))
    ]
    turned = [(False, False, False), (False, True, False), (True, True, True)]
    many += [matmul((2,), 5, 7, 19, turn, dtype) for turn in turned]
    many += [
        conv(size, channels, window, dtype=dtype, images=images, groups=groups)
        for size, channels, window, groups, images in (
            ((5, 7), (3, 19), SAME, 1, 2),
            ((6, 5), (21, 33), Window(kernel=(1, 1), stride=(2, 2)), 1, 1),
            ((9, 9), (8, 12), SAME, 2, 1),
            ((9, 11), (5, 7), Window(kernel=(3, 3), dilation=(2, 2), padding=(2, 2)), 1, 1),
            ((12, 3), (1, 16), Window(kernel=(10, 4), stride=(2, 2), padding=(4, 1)), 1, 1),
            ((2, 1), (4, 5), Window(kernel=(5, 3), padding=(2, 1)), 1, 1),
        )
    ]
    check(tmp_path / "whole", jobs_of(many), target)
    strips = h.tiny_caches(target, 1024, 3)
    check(tmp_path / "strips", jobs_of(many[-6:-3], free_bytes=0), strips)


@EACH_TYPE
@EACH_TARGET
def test_depthwise_convolutions(tmp_path: Path, target: Cpu, dtype: str) -> None:
    many = [
        depthwise((7, 6), (c, c * multiplier), SAME, dtype, images)
        for c, multiplier, images in ((1, 8, 1), (3, 2, 2), (21, 1, 1))
    ]
    windows = [
        Window(kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
        Window(kernel=(4, 2), padding=(1, 0)),
        Window(kernel=(3, 3), dilation=(2, 2), padding=(2, 2)),
    ]
    many += [depthwise((9, 11), (18, 18), window, dtype) for window in windows]
    many += [depthwise((2, 1), (19, 19), Window(kernel=(5, 3), padding=(2, 1)), dtype)]
    check(tmp_path, jobs_of(many), target)


@pytest.mark.parametrize("form", [TWO, FOUR], ids=["two", "four"])
@EACH_TARGET
def test_winograd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Cpu, form: Form) -> None:
    force(monkeypatch, form)
    many = [
        squares((3, 3), (1, 1), padding=0), squares((4, 9), (5, 18), padding=2),
        squares((13, 6), (16, 33), padding=1),
    ]  # fmt: skip
    check(tmp_path / "whole", jobs_of(many), target, tolerance=TOLERANCE)
    cut = [squares((9, 25), (4, 8)), squares((7, 9), (3, 20), images=2)]
    several = h.tiny_caches(target, 1 << 12, 3)
    check(tmp_path / "cut", jobs_of(cut), several, tolerance=TOLERANCE)


def pools() -> list[specs.Spec]:
    window, shape = Window(kernel=(3, 3), stride=(2, 2), padding=(1, 1)), (2, 5, 4, 19)
    return [
        specs.Pool2d(
            function=function, input=(2, 9, 7, 19), output=shape, window=window, dtype=dtype,
            epilogue=h.plain(shape, "int32" if whole else dtype),
        )
        for function in ("average", "maximum") for dtype in ("int8", "float32")
        for whole in [(function, dtype) == ("average", "int8")]
    ]  # fmt: skip


def reductions() -> list[specs.Spec]:
    size = (2, 3, 4, 37)
    return [
        specs.Reduce(
            function=function, input=size, axes=axes, dtype=dtype,
            epilogue=h.plain(
                tuple(1 if axis in axes else n for axis, n in enumerate(size)),
                "int32" if (function, dtype) == ("sum", "int8") else dtype,
            ),
        )
        for axes in ((1, 2), (3,), (0, 1, 2, 3)) for function in ("sum", "maximum")
        for dtype in ("int8", "float32")
    ]  # fmt: skip


def rows() -> list[specs.Spec]:
    multiplier, left, smallest = softmax.parameters(1.0, 0.05)
    made: list[specs.Spec] = []
    for columns in (1, 10, 37, 70):
        made.append(specs.Softmax(rows=3, columns=columns, dtype="float32", beta=0.7))
        made.append(specs.Softmax(rows=3, columns=columns, dtype="int8", multiplier=multiplier,
                                  left_shift=left, diff_min=smallest))  # fmt: skip
        made.append(specs.LayerNorm(rows=3, columns=columns, epsilon=1e-5, addend=columns > 30,
                                    epilogue=h.plain((3, columns))))  # fmt: skip
    return made


def moves() -> list[specs.Spec]:
    made: list[specs.Spec] = [
        copy((3, 4, 5), (20, 1, 4), (20, 5, 1), (60, 60), "float32"),
        copy((3, 4), (1, 0), (4, 1), (3, 12), "int8"),
        copy((20, 30), (30, 1), (1, 20), (600, 600), "float32"),
        specs.Pad(input=(1, 4, 5, 3), output=(1, 7, 8, 3), before=(0, 1, 2, 0), value=7,
                  dtype="int8"),
        specs.Pad(input=(4, 5), output=(6, 9), before=(2, 1), value=-1.5, dtype="float32"),
    ]  # fmt: skip
    made += [
        specs.Gather(outer=2, size=9, inner=33, count=6, dtype="float32", index_dtype="int64",
                     constant=constant)
        for constant in (True, False)
    ]  # fmt: skip
    return made


def functions() -> list[specs.Spec]:
    shape = (3, 37)
    one, row = h.operand(shape), h.operand((37,))
    numbers = (-3, 1 << 30, -1, 4, 1700000000, 0, 20, 1500000000, -18, 5, -128, 127)
    byte = h.operand(shape, "int8")
    unary = ("exp", "erf", "tanh", "logistic", "rsqrt", "floor")
    return [
        *(h.elementwise(shape, [one], h.step(function, (0,))) for function in unary),
        *(h.elementwise(shape, [one, row], h.step(f, (0, 1))) for f in ("add", "div", "maximum")),
        h.elementwise(shape, [byte, byte], h.step("add_int8", (0, 1), *numbers, dtype="int8")),
        h.elementwise(shape, [byte, h.operand((256,), "int8", "constant")],
                      h.step("lookup", (0, 1), dtype="int8")),
        h.elementwise(shape, [one], h.step("quantise", (0,), 0.1, 3, -128, 127, dtype="int8")),
        h.elementwise(shape, [one, row], h.step("less", (0, 1), dtype="bool"),
                      h.step("select", (2, 0, 1))),
    ]  # fmt: skip


@EACH_TARGET
def test_all_other_families(tmp_path: Path, target: Cpu) -> None:
    many = [*pools(), *reductions(), *rows(), *moves(), *functions()]
    check(tmp_path, jobs_of(many), target)


@EACH_TARGET
def test_results_in_place_of_an_input(tmp_path: Path, target: Cpu) -> None:
    jobs = []
    for dtype in ("int8", "float32"):
        spec = conv((9, 7), (5, 37), SAME, dtype=dtype)
        added = dataclasses.replace(spec, epilogue=residual(spec.output, dtype))
        name = [a.name for a in added.arguments() if a.role == "input"][-1]
        jobs += jobs_of([added], over=name, free_bytes=0)
    follow = [
        specs.Dense(m=m, k=40, n=40, dtype="int8", epilogue=h.requantised((m, 40)))
        for m in (1, 67)
    ]  # fmt: skip
    jobs += jobs_of(follow, over="input", free_bytes=0)
    norm = specs.LayerNorm(rows=5, columns=70, epsilon=1e-5, addend=True, epilogue=h.plain((5, 70)))
    jobs += jobs_of([norm], over="addend")
    jobs += jobs_of([specs.Softmax(rows=5, columns=70, dtype="float32")], over="input")
    check(tmp_path, jobs, target)


@pytest.mark.parametrize(
    "name", ["ad01_int8.tflite", "kws_ref_model.tflite", "images_f32.onnx", "words.onnx"]
)
def test_every_kernel_of_a_model(tmp_path: Path, name: str) -> None:
    """With the memory that the plan leaves it, its own constants, and inputs drawn at random."""
    target = h.host()
    lowered = optimise(importer.load(model(name, tmp_path), "model"))
    plan = tvm_worker.arrange(lowered, target)
    jobs = {}
    for call, over, free in zip(lowered.calls, plan.over, plan.free_bytes, strict=True):
        drawn, own = h.random_arguments(call.spec), iter(call.constants)
        roles = [argument.role for argument in call.spec.arguments()]
        given = [
            next(own) if role == "constant" else value
            for role, value in zip(roles, drawn, strict=False)
        ]
        jobs[call.spec, over] = Job(spec=call.spec, arguments=given, over=over, free_bytes=free)
    results = run(tmp_path, list(jobs.values()), target, pieces=1)
    for job, got in zip(jobs.values(), results, strict=True):
        if not isinstance(job.spec, specs.Copy):  # others write the rest of its output
            h.compare(job.spec, got, job.arguments, 1e-4)


def extremes() -> list[Job]:
    """Whole numbers that leave their range, and numbers that no whole one is near to."""
    shape, ends = (37,), np.iinfo(np.int32)
    pair = [ends.max, ends.min, 5], [ends.max, ends.min, -1, 7]
    x, y = (np.resize(np.array(values, np.int32), 37) for values in pair)
    whole = h.operand(shape, "int32")
    jobs = [
        Job(spec=h.elementwise(shape, [whole, whole][:n], h.step(f, range(n), dtype="int32")),
            arguments=[x, y][:n])
        for f, n in (("add", 2), ("sub", 2), ("mul", 2), ("neg", 1), ("abs", 1))
    ]  # fmt: skip
    values = [np.nan, np.inf, -np.inf, 3e9, -3e9, 2147483520, -2147483648, -2.7, 200, 9.3e18]
    wild = np.resize(np.array(values, np.float32), 37)
    steps = [h.step("cast", (0,), dtype=dtype) for dtype in ("int32", "int64", "int8", "uint8")]
    steps.append(h.step("quantise", (0,), 0.1, 3, -128, 127, dtype="int8"))
    return jobs + [
        Job(spec=h.elementwise(shape, [h.operand(shape)], step), arguments=[wild]) for step in steps
    ]


@EACH_TARGET
def test_no_input_makes_arithmetic_undefined(tmp_path: Path, target: Cpu) -> None:
    check(tmp_path, extremes(), target)


def test_undefined_arithmetic_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of 32 bits where kernels have 64."""
    monkeypatch.setattr(scalars, "_WRAPPING", {})
    for number, job in enumerate(extremes()[:4]):
        with pytest.raises(AssertionError, match=r"undefined behaviour: .* nsw "):
            run(tmp_path / str(number), [job], h.host())


@pytest.mark.parametrize("first", [-1, 0])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_one_element_too_far_is_found(tmp_path: Path, dtype: str, first: int) -> None:
    """Seven elements of which there are six: from the one before them on, or to the one behind."""
    size = {"shape": (7,), "input_strides": (1,), "output_strides": (1,), "dtype": dtype}
    reads = specs.Copy(**size, input_size=6, output_size=7, input_offset=first)
    writes = specs.Copy(**size, input_size=7, output_size=6, output_offset=first)
    for spec, what in ((reads, "READ"), (writes, "WRITE")):
        with pytest.raises(AssertionError, match=f"heap-buffer-overflow[^$]*{what} of size"):
            run(tmp_path / what, jobs_of([spec]), h.host())


@pytest.mark.parametrize("what", ["constants", "scratch"])
def test_constants_and_scratch_have_their_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    made = tir.kernel

    def halved(*arguments: Any, **options: Any) -> tir.Kernel:
        kernel = made(*arguments, **options)
        if what == "scratch":
            return dataclasses.replace(kernel, scratch_bytes=kernel.scratch_bytes // 2)
        return dataclasses.replace(
            kernel, pack=lambda v: kernel.pack(v)[: len(kernel.pack(v)) // 2]
        )

    monkeypatch.setattr(tir, "kernel", halved)
    with pytest.raises(AssertionError, match="AddressSanitizer: "):
        run(tmp_path, jobs_of([conv((5, 7), (3, 19), SAME)]), h.host())
