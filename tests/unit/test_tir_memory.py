# SPDX-License-Identifier: Apache-2.0
"""Kernels that write over an input, and kernels that have little scratch, give the same numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgebuild.kernels import specs, tir
from edgebuild.kernels.program import Program
from edgebuild.kernels.specs import Window
from tests.unit import tir_helpers as h

SAME = Window(kernel=(3, 3), padding=(1, 1))
ONE = Window(kernel=(1, 1))


def residual(shape: tuple[int, ...], dtype: str) -> Program:
    """An epilogue that ends in the sum with an input of the output's shape."""
    if dtype == "int8":
        return h.requantised(shape, residual=True)
    operands = (h.operand(shape, source="accumulator"), h.operand(shape))
    return Program(operands=operands, steps=(h.step("add", (0, 1)),))


def conv(
    size: tuple[int, int], channels: tuple[int, int], window: Window, dtype: str, *,
    added: bool = False,
) -> specs.Conv2d:  # fmt: skip
    output = (1, *size, channels[1])
    plain = h.requantised(output) if dtype == "int8" else h.plain(output)
    return specs.Conv2d(
        input=(1, *size, channels[0]), output=output, window=window, dtype=dtype,
        input_zero=5 if dtype == "int8" else 0,
        epilogue=residual(output, dtype) if added else plain,
    )  # fmt: skip


def depthwise(
    size: tuple[int, int], channels: int, window: Window, dtype: str
) -> specs.Depthwise2d:
    rows, columns = (-(-n // s) for n, s in zip(size, window.stride, strict=True))
    shape = (2, rows, columns, channels)
    return specs.Depthwise2d(
        input=(2, *size, channels), output=shape, window=window, dtype=dtype,
        input_zero=9 if dtype == "int8" else 0,
        epilogue=h.requantised(shape) if dtype == "int8" else h.plain(shape),
    )  # fmt: skip


def same_in_place(
    folder: Path, many: Sequence[specs.Spec], over: str, *, free_bytes: int = 0, cores: int = 3
) -> None:
    """In place and apart, whole and in pieces: the reference's numbers."""
    for target in h.runnable():
        small = h.tiny_caches(target, 1 << 20, cores)
        compiled = h.Compiled(
            folder / f"{target.model}-{target.vector_bits}", many, small,
            over=over, free_bytes=free_bytes,
        )  # fmt: skip
        for number, spec in enumerate(many):
            arguments = h.random_arguments(spec, number)
            for pieces in (1, 3):
                got = compiled.run(number, arguments, pieces=pieces)
                h.compare(spec, got, arguments, 1e-5)


def operand_of(spec: specs.Conv2d) -> str:
    return next(a.name for a in spec.arguments() if a.role == "input" and a.name != "input")


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("window", [SAME, ONE])
def test_a_convolution_writes_over_the_residual(tmp_path: Path, dtype: str, window: Window) -> None:
    many = [
        conv((9, 7), channels, window, dtype, added=True)
        for channels in ((16, 16), (5, 37), (24, 64))
    ]
    same_in_place(tmp_path, many, operand_of(many[0]))


def test_products_of_positions_write_over_their_input(tmp_path: Path) -> None:
    many: list[specs.Spec] = [conv((9, 7), (c, c), ONE, "int8") for c in (16, 37, 64)]
    many += [
        specs.Dense(m=m, k=40, n=40, dtype="int8", epilogue=h.requantised((m, 40)))
        for m in (1, 3, 67)
    ]
    for target in h.runnable():
        assert all(tir.rewrites(spec, target) for spec in many)
    same_in_place(tmp_path / "tight", many, "input")
    same_in_place(tmp_path / "free", many, "input", free_bytes=1 << 20)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_on_a_microcontroller_all_that_can_follows_its_input(tmp_path: Path, dtype: str) -> None:
    """Depthwise rows keep the rows above them; products keep a strip."""
    many: list[specs.Spec] = [
        depthwise(size, channels, window, dtype)
        for size, channels, window in (
            ((9, 7), 24, SAME), ((5, 11), 3, Window(kernel=(5, 3), padding=(2, 1))),
            ((7, 9), 37, Window(kernel=(3, 3), dilation=(2, 2), padding=(2, 2))),
            ((6, 5), 16, Window(kernel=(2, 2), padding=(0, 0))), ((4, 4), 8, ONE),
        )
    ]  # fmt: skip
    many += [conv((9, 7), (c, c), ONE, dtype) for c in (16, 37)]
    for target in h.runnable():
        if dtype == "int8" and any(f.endswith("vnni") for f in target.features):
            continue  # no microcontroller has the schedule for four-byte dot products
        small = h.tiny_caches(target, 0, 1)
        assert all(tir.rewrites(spec, small) for spec in many)
        assert not tir.rewrites(many[0], dataclasses.replace(small, cores=2))
        compiled = h.Compiled(
            tmp_path / f"{target.model}-{target.vector_bits}", many, small,
            over="input", free_bytes=0,
        )  # fmt: skip
        for number, spec in enumerate(many):
            arguments = h.random_arguments(spec, number)
            h.compare(spec, compiled.run(number, arguments, pieces=2), arguments, 1e-5)
            assert 0 < compiled.kernels[number].scratch_bytes <= 4096


def test_strides_and_large_windows_do_not_follow() -> None:
    target = h.tiny_caches(h.A72, 0, 1)
    wide = Window(kernel=(9, 9), padding=(4, 4))
    assert not tir.rewrites(depthwise((9, 7), 24, wide, "int8"), target)
    strided = Window(kernel=(3, 3), stride=(2, 2), padding=(1, 1))
    assert not tir.rewrites(depthwise((9, 7), 24, strided, "int8"), target)


def test_rows_are_normalised_in_place(tmp_path: Path) -> None:
    norm = specs.LayerNorm(rows=5, columns=70, epsilon=1e-5, addend=True, epilogue=h.plain((5, 70)))
    for over in ("input", "addend"):
        same_in_place(tmp_path / over, [norm], over)
    soft: list[specs.Spec] = [specs.Softmax(rows=5, columns=70, dtype="float32", beta=0.5)]
    same_in_place(tmp_path / "softmax", soft, "input")


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_less_memory_gives_less_scratch_and_the_same_bytes(tmp_path: Path, dtype: str) -> None:
    spec = conv((19, 23), (24, 40), Window(kernel=(3, 5), padding=(1, 2)), dtype)
    target = h.tiny_caches(h.runnable()[0], 1 << 22, 2)
    arguments, results, sizes = h.random_arguments(spec), [], []
    for free in (tir.UNBOUNDED, 30_000, 0):
        compiled = h.Compiled(tmp_path / str(free), [spec], target, free_bytes=free)
        results.append(compiled.run(0, arguments, pieces=2))
        sizes.append(compiled.kernels[0].scratch_bytes)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] <= 30_000
