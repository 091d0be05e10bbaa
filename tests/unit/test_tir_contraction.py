# SPDX-License-Identifier: Apache-2.0
"""Convolutions, dense layers and matrix products against the reference, whatever their sizes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.kernels import specs, tir
from edgebuild.kernels.program import Operand, Program, Source, Step
from edgebuild.kernels.specs import Window
from edgebuild.kernels.tir import contraction, emit, frame, isa, products, tile_shape
from edgebuild.kernels.tir.emit import Index
from edgebuild.model.profile import Cpu
from tests.unit import tir_helpers as h


def conv(
    size: tuple[int, int], channels: tuple[int, int], window: Window, *, dtype: str = "int8",
    images: int = 1, groups: int = 1, residual: bool = False, zero: int = -5,
) -> specs.Conv2d:  # fmt: skip
    out = [
        (n + 2 * p - (k - 1) * d - 1) // s + 1
        for n, p, k, d, s in zip(size, window.padding, window.kernel, window.dilation,
                                 window.stride, strict=True)
    ]  # fmt: skip
    shape = (images, out[0], out[1], channels[1])
    epilogue = h.requantised(shape, residual=residual) if dtype == "int8" else h.clamped(shape)
    return specs.Conv2d(
        input=(images, *size, channels[0]), output=shape, window=window, groups=groups,
        dtype=dtype, input_zero=zero if dtype == "int8" else 0, epilogue=epilogue,
    )  # fmt: skip


def dense(m: int, k: int, n: int, dtype: str = "int8", *, real: bool = False) -> specs.Dense:
    whole = h.rescaled_really if real else h.requantised
    epilogue = whole((m, n)) if dtype == "int8" else h.clamped((m, n))
    return specs.Dense(m=m, k=k, n=n, dtype=dtype, input_zero=7 if dtype == "int8" else 0,
                       epilogue=epilogue)  # fmt: skip


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_odd_sizes(tmp_path: Path, dtype: str) -> None:
    """A sample of tests/flow/test_tir_sizes.py, which has all sizes from 1 to 70."""
    many = [
        dense(m, k, n, dtype, real=n % 2 == 0)
        for m, k, n in ((1, 1, 1), (1, 67, 33), (2, 5, 70), (7, 64, 17), (13, 31, 3), (70, 3, 48))
    ]
    h.check(tmp_path, many)


_WINDOWS = [
    ((7, 9), (3, 10), Window(kernel=(3, 3), padding=(1, 1)), 1),
    ((9, 8), (5, 33), Window(kernel=(3, 2), stride=(2, 2), padding=(1, 0)), 1),
    ((6, 6), (16, 64), Window(kernel=(1, 1)), 1),
    ((9, 9), (8, 12), Window(kernel=(3, 3), padding=(1, 1)), 2),
    ((9, 9), (6, 7), Window(kernel=(3, 3), dilation=(2, 2), padding=(2, 2)), 1),
    ((8, 8), (4, 20), Window(kernel=(1, 1), stride=(2, 2)), 1),
    ((5, 4), (2, 18), Window(kernel=(5, 4)), 1),
    ((12, 3), (1, 16), Window(kernel=(10, 4), stride=(2, 2), padding=(4, 1)), 1),
]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("images", [1, 2])
def test_convolutions(tmp_path: Path, dtype: str, images: int) -> None:
    many = [
        conv(size, channels, window, dtype=dtype, images=images, groups=groups)
        for size, channels, window, groups in _WINDOWS
    ]
    h.check(tmp_path, many)


def test_a_residual_sum_is_part_of_the_convolution(tmp_path: Path) -> None:
    window = Window(kernel=(3, 3), padding=(1, 1))
    many = [conv((6, 5), (c, c), window, residual=True) for c in (4, 16, 21, 64)]
    h.check(tmp_path, many)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_padding_before_windows_that_end_within_the_image(tmp_path: Path, dtype: str) -> None:
    """They reach as far as the image is wide, yet begin before it and leave its end out."""
    many = []
    for axis in (0, 1):
        flip = slice(None, None, 1 if axis else -1)
        made = conv((1, 7)[flip], (21, 13), Window(kernel=(1, 4)[flip], stride=(1, 3)[flip]),
                    dtype=dtype, images=3)  # fmt: skip
        window = dataclasses.replace(made.window, padding=(0, 1)[flip])
        many.append(dataclasses.replace(made, window=window))
    h.check(tmp_path, many)


@pytest.mark.parametrize("source", ["constant", "input"])
def test_one_number_for_each_row(tmp_path: Path, source: Source) -> None:
    many: list[specs.Spec] = []
    for m, k, n in ((4, 1, 15), (9, 8, 33), (84, 2, 5), (3, 40, 1)):
        operands = (
            Operand(source="accumulator", shape=(m, n), dtype="float32"),
            Operand(source=source, shape=(m, 1), dtype="float32"),
        )
        add = Step(function="add", arguments=(0, 1), dtype="float32")
        program = Program(operands=operands, steps=(add,))
        many.append(specs.Dense(m=m, k=k, n=n, dtype="float32", epilogue=program))
    h.check(tmp_path, many)


def test_saturating_extremes_are_exact(tmp_path: Path) -> None:
    spec = dense(3, 70, 33)
    target = h.runnable()[0]
    compiled = h.Compiled(tmp_path, [spec], target)
    shapes = [a.shape for a in spec.arguments()]
    for x, w in ((-128, -128), (127, -128), (-128, 127), (127, 127)):
        arguments = [
            np.full(shapes[0], x, np.int8), np.full(shapes[1], w, np.int8),
            np.full(33, 1 << 20, np.int32), np.full(33, (1 << 31) - 1, np.int32),
            np.linspace(-20, 0, 33).astype(np.int32),
        ]  # fmt: skip
        h.compare(spec, compiled.run(0, arguments), arguments, 0)


def test_every_shift_is_exact(tmp_path: Path) -> None:
    """Ties, both signs and all exponents of the rounding division."""
    spec = dense(40, 1, 34)
    compiled = h.Compiled(tmp_path, [spec], h.runnable()[0])
    rng = np.random.default_rng(1)
    for multiplier in (1 << 30, (1 << 31) - 1, 1 << 30 | 1 << 29):
        arguments = [
            rng.integers(-128, 128, (40, 1)).astype(np.int8),
            rng.integers(-128, 128, (34, 1)).astype(np.int8),
            rng.integers(-300, 300, 34).astype(np.int32) * 64,
            np.full(34, multiplier, np.int32), np.arange(-31, 3).astype(np.int32),
        ]  # fmt: skip
        h.compare(spec, compiled.run(0, arguments), arguments, 0)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_any_split_of_the_tasks_gives_the_same_bytes(tmp_path: Path, dtype: str) -> None:
    window = Window(kernel=(3, 3), padding=(1, 1))
    many: list[specs.Spec] = [
        conv((9, 7), (5, 37), window, dtype=dtype),
        dense(67, 31, 70, dtype),
    ]
    compiled = h.Compiled(tmp_path, many, h.runnable()[0])
    for number, spec in enumerate(many):
        arguments = h.random_arguments(spec)
        whole = compiled.run(number, arguments)
        assert max(p.tasks for p in compiled.kernels[number].phases) > 1
        for pieces in (2, 3, 7):
            assert np.array_equal(whole, compiled.run(number, arguments, pieces=pieces))


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_buffers_need_no_alignment(tmp_path: Path, dtype: str) -> None:
    spec = conv((6, 6), (16, 20), Window(kernel=(3, 3), padding=(1, 1)), dtype=dtype)
    compiled = h.Compiled(tmp_path, [spec], h.runnable()[0])
    arguments = h.random_arguments(spec)
    h.compare(spec, compiled.run(0, arguments, shift=1), arguments, 1e-5)


@pytest.mark.parametrize(("l2_bytes", "cores"), [(1024, 1), (8000, 3)])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_large_inputs_are_prepared_in_strips(
    tmp_path: Path, dtype: str, l2_bytes: int, cores: int
) -> None:
    window = Window(kernel=(3, 3), padding=(1, 1))
    many: list[specs.Spec] = [
        conv((9, 7), (5, 37), window, dtype=dtype, images=2),
        conv((11, 8), (4, 6), Window(kernel=(5, 3), stride=(2, 2), padding=(2, 1)), dtype=dtype),
        conv((9, 9), (8, 12), window, dtype=dtype, groups=2),
        conv((1, 150), (40, 24), Window(kernel=(1, 3)), dtype=dtype),  # a signal
        dense(67, 33, 70, dtype),
    ]
    target = h.tiny_caches(h.runnable()[0], l2_bytes, cores)
    compiled = h.Compiled(tmp_path, many, target)
    for number, spec in enumerate(many):
        arguments = h.random_arguments(spec, number)
        h.compare(spec, compiled.run(number, arguments, pieces=2), arguments, 1e-5)
        whole = tir.kernel(spec, h.runnable()[0], "whole")
        # each core has a strip of its own
        assert compiled.kernels[number].scratch_bytes <= cores * max(64, whole.scratch_bytes)


def strides(batch: tuple[int, ...], rows: int, columns: int, turned: bool) -> tuple[int, ...]:
    inner = (1, rows) if turned else (columns, 1)
    outer, size = list[int](), rows * columns
    for n in reversed(batch):
        outer.insert(0, size)
        size *= n
    return (*outer, *inner)


def matmul(
    batch: tuple[int, ...], m: int, k: int, n: int, turned: tuple[bool, bool, bool],
    dtype: str = "float32",
) -> specs.Matmul:  # fmt: skip
    count = int(np.prod(batch))
    shape = (*batch, m, n)
    return specs.Matmul(
        batch=batch, m=m, k=k, n=n, dtype=dtype,
        left_size=count * m * k, right_size=count * k * n, output_size=count * m * n,
        left_zero=3 if dtype == "int8" else 0, right_zero=-4 if dtype == "int8" else 0,
        left_strides=strides(batch, m, k, turned[0]),
        right_strides=strides(batch, k, n, turned[1]),
        output_strides=strides(batch, m, n, turned[2]),
        epilogue=h.requantised(shape) if dtype == "int8" else h.plain(shape),
    )  # fmt: skip


def test_products_of_two_inputs(tmp_path: Path) -> None:
    sizes = [((2,), 5, 7, 19), ((2, 3), 12, 33, 64), ((), 9, 70, 70), ((2,), 1, 5, 9),
             ((1,), 40, 48, 33), ((), 6, 16, 15)]  # fmt: skip
    turns = [(False, False, False), (False, True, False), (True, True, True)]
    many = [matmul(*size, turned) for size in sizes for turned in turns]
    many += [matmul((2,), 5, 7, 19, turned, "int8") for turned in turns]
    h.check(tmp_path, many)


def test_a_layer_without_outputs_or_inputs(tmp_path: Path) -> None:
    target = h.runnable()[0]
    many: list[specs.Spec] = [dense(0, 5, 7), dense(3, 0, 7, "float32")]
    compiled = h.Compiled(tmp_path, many, target)
    for number, spec in enumerate(many):
        arguments = h.random_arguments(spec)
        h.compare(spec, compiled.run(number, arguments), arguments, 0)


@pytest.mark.parametrize("target", [h.VNNI, h.V3, h.V2, h.A72, h.A76, h.N2, h.RV64])
def test_the_same_spec_gives_the_same_object(target: Cpu) -> None:
    spec = conv((6, 6), (16, 20), Window(kernel=(3, 3), padding=(1, 1)))
    objects = []
    for _ in range(2):
        kernel = tir.kernel(spec, target, "same")
        objects.append(tir.compile([p.func for p in kernel.phases], target))
    assert objects[0] == objects[1]


def test_tiles_fit_the_registers() -> None:
    for target in (h.VNNI, h.V3, h.A72, h.A76, h.RV64):
        core = isa.of(target)
        for dtype in ("int8", "float32"):
            how = products.form(core, dtype)
            for channels in (1, 16, 40, 64, 100, 512):
                for positions in (1, 5, 25, 1000):
                    cut = tile_shape.split(core, how, channels, positions)
                    rows = tile_shape.rows_of(core, how, cut.vectors, positions)
                    each = 1 if how.paired else max(1, how.lanes // core.lanes)
                    assert cut.blocks * cut.width >= channels
                    assert 1 <= rows <= positions
                    assert rows == 1 or rows * cut.vectors * each < core.registers


def test_tiles_are_as_square_as_the_registers_allow() -> None:
    """Decision 0207: measured, not only counted."""

    def tile(target: Cpu, dtype: str, channels: int) -> tuple[int, int]:
        core = isa.of(target)
        how = products.form(core, dtype)
        vectors = tile_shape.split(core, how, channels, 1000).vectors
        return vectors, tile_shape.rows_of(core, how, vectors, 1000)

    assert tile(h.VNNI, "float32", 64) == (4, 6)
    assert tile(h.VNNI, "float32", 32) == (2, 14)
    assert tile(h.VNNI, "int8", 96) == (3, 8)
    assert tile(h.V3, "float32", 64) == (2, 6)
    assert tile(h.V3, "int8", 64) == (2, 5)
    assert tile(h.V2, "float32", 64) == (4, 2)  # SSE copies each factor


@pytest.mark.parametrize(
    ("stride", "count", "vectors", "steps"),
    [(64, 6, 4, 4), (6, 6, 4, 3), (4, 6, 4, 1), (4, 14, 1, 4)],
)
def test_steps_end_before_the_first_repeat(
    stride: int, count: int, vectors: int, steps: int
) -> None:
    """Only where sums fill the registers: the last tile has room for what is kept."""
    kernel = frame.Build(dense(count, 64, 64), isa.of(h.VNNI), "k", None, tir.UNBOUNDED)
    how = products.form(kernel.isa, "int8")
    walk = contraction.Walk(outer=((1, 0),), run=64, group=how.group)
    cut = tile_shape.Split(channels=64, lanes=16, vectors=vectors)
    rows = contraction.Rows(first=0, stride=stride, count=count)
    sums = contraction.Sums(kernel.frame(1), how, walk, cut, _NoWeights())
    assert sums.steps_written_out(rows, vectors) == steps


class _NoWeights:
    """A right side that is never read."""

    dtype, kind, start_at, memory = "int8", "int32", None, None

    def at(self, group: Index, block: Index) -> Index:
        raise AssertionError((group, block))

    def position(self, vectors: int) -> int:
        raise AssertionError(vectors)


def test_groups_of_any_number_of_channels(tmp_path: Path) -> None:
    """Groups begin at odd channels, where constants in even and odd halves have no vector."""
    window = Window(kernel=(1, 1))
    many = [conv((3, 3), (4, 2 * per), window, dtype="int8", groups=2) for per in (1, 3, 6, 7, 13)]
    h.check(tmp_path, many)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_tails_of_any_size(tmp_path: Path, dtype: str) -> None:
    """The last channels, fewer than a vector, with another input in the epilogue."""
    window = Window(kernel=(1, 1))
    many = [
        conv((2, 3), (5, channels), window, dtype=dtype, residual=dtype == "int8")
        for channels in range(1, 36)
    ]
    h.check(tmp_path, many)


@given(st.integers(1, 16), st.sampled_from([1, 2, 4, 8, 16]))
def test_a_tail_is_covered_once(count: int, native: int) -> None:
    parts = frame.covers(count, 16, native)
    assert [i for first, _, exist in parts for i in range(first, first + exist)] == [*range(count)]
    assert all(exist <= lanes <= 16 for _, lanes, exist in parts)
    registers = sum(max(1, lanes // native) for _, lanes, _ in parts)
    assert registers <= sum(max(1, piece // native) for piece in frame.pieces(count, 32))


def test_dot_products_of_two_signed_operands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few machines have the instruction: what it does is spelled out, the rest is as there."""
    named = products.llvm

    def spelled(dtype: str, lanes: int, name: str, *arguments: emit.Expr) -> emit.Expr:
        if name != "llvm.x86.avx2.vpdpbssd.256":
            return named(dtype, lanes, name, *arguments)
        total, a, b = arguments
        each = emit.cast(a, "int32") * emit.cast(b, "int32")
        for first in range(4):
            total = total + emit.shuffle([each], list(range(first, 4 * lanes, 4)))
        return total

    many = [dense(9, 64, 40), dense(1, 37, 9), *(conv(*w[:3], groups=w[3]) for w in _WINDOWS)]
    there = h.cpu("x86_64", "sierraforest", 256)
    kernel = tir.kernel(many[0], there, "k")
    assert kernel.scratch_bytes == 0
    module = tir.module_of([p.func for p in kernel.phases], there)
    assert "vpdpbssd" in module.inspect_source("asm")
    target = h.V3 if h.host().arch == "x86_64" else h.host()
    core = dataclasses.replace(isa.of(target), products="vnni", signed_dots=True, vector_bits=256)
    monkeypatch.setattr(tir.isa, "of", lambda _: core)
    monkeypatch.setattr(products, "llvm", spelled)
    compiled = h.Compiled(tmp_path, many, target)
    for number, spec in enumerate(many):
        arguments = h.random_arguments(spec, number)
        h.compare(spec, compiled.run(number, arguments), arguments, 0)
