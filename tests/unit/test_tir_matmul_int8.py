# SPDX-License-Identifier: Apache-2.0
"""Products of two 8-bit inputs: all layouts, odd sizes, zero points and ways of splitting."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest

pytest.importorskip("tvm")

from edgebuild.kernels import specs, tir
from edgebuild.model.profile import Cpu
from tests.unit import tir_helpers as h
from tests.unit.test_tir_contraction import matmul, strides

TURNS = list(itertools.product((False, True), (False, True)))


def product(
    batch: tuple[int, ...], m: int, k: int, n: int, left: bool = False, right: bool = False,
    zeros: tuple[int, int] = (3, -4),
) -> specs.Matmul:  # fmt: skip
    found = matmul(batch, m, k, n, (left, right, False), "int8")
    return dataclasses.replace(found, left_zero=zeros[0], right_zero=zeros[1])


def heads(count: int, m: int, k: int, n: int, zeros: tuple[int, int]) -> specs.Matmul:
    """Attention's weights: keys and queries have the heads within a row."""
    shape = (1, count, m, n)
    return specs.Matmul(
        batch=(1, count), m=m, k=k, n=n, dtype="int8", left_zero=zeros[0], right_zero=zeros[1],
        left_size=count * m * k, right_size=count * k * n, output_size=count * m * n,
        left_strides=(0, k, count * k, 1), right_strides=(0, k, 1, count * k),
        output_strides=strides((1, count), m, n, False), epilogue=h.requantised(shape),
    )  # fmt: skip


def few() -> list[specs.Matmul]:
    """Whole vectors and not, more columns than a vector has and fewer, all terms and none."""
    return [
        product((2,), 5, 7, 19, False, True),
        product((), 9, 70, 70),
        product((2, 2), 6, 16, 5, True, False, (-128, 5)),
        product((), 4, 1, 1, zeros=(0, 0)),
        heads(3, 20, 64, 32, (-9, 3)),
    ]


def many() -> list[specs.Matmul]:
    sizes = [((2,), 12, 33, 64), ((), 6, 16, 15), ((3,), 17, 3, 40)]
    found = few() + [product(*size, *turn) for size in sizes for turn in TURNS]
    found += [product((), 7, 37, 21, False, True, z) for z in ((-128, 0), (0, 9), (127, -128))]
    # every batch has the same right side; neighbours of neither side are neighbours in memory
    both = product((3,), 8, 20, 24)
    found.append(dataclasses.replace(both, right_strides=(0, 24, 1)))
    spread = product((), 6, 10, 18)
    found.append(dataclasses.replace(
        spread, right_size=10 * 18 * 2, right_strides=(36, 2), left_size=6 * 30,
        left_strides=(30, 3)))  # fmt: skip
    return found


def test_all_layouts_and_zero_points(tmp_path: Path) -> None:
    h.check(tmp_path, many())


@pytest.mark.parametrize("free", [0, 1 << 40])
def test_any_split_gives_the_same(tmp_path: Path, free: int) -> None:
    """Packed whole where there is memory, else by each core, with a packed side of its own."""
    target = h.tiny_caches(h.runnable()[0], 1 << 20, 4)
    compiled = h.Compiled(tmp_path, few(), target, free_bytes=free)
    for number, spec in enumerate(compiled.specs):
        arguments = h.random_arguments(spec, number)
        for pieces in (1, 3):
            h.compare(spec, compiled.run(number, arguments, pieces=pieces), arguments, 0)


def test_scratch_is_one_batch_where_memory_is_short() -> None:
    spec = product((8,), 16, 64, 64)
    for target in (h.VNNI, h.V3, h.A72, h.A76, h.N2, h.M4, h.WASM, h.RV64):
        cores = h.tiny_caches(target, 1 << 20, 2)
        whole = tir.kernel(spec, cores, "k").scratch_bytes
        least = tir.kernel(spec, cores, "k", free_bytes=0).scratch_bytes
        alone = tir.kernel(spec, h.tiny_caches(target, 1 << 20, 1), "k").scratch_bytes
        assert alone < least < whole
        assert alone <= 64 * (64 + 8) + 16 * 64 * 2 + 512


M55 = h.cpu("armv8.1-m", "cortex-m55", 128)


@pytest.mark.parametrize("target", [h.VNNI, h.V3, h.A72, h.A76, h.N2, h.M4, M55, h.WASM, h.RV64])
def test_every_form_compiles_to_the_same_object(target: Cpu) -> None:
    spec = product((2,), 9, 21, 19, False, True)
    objects = []
    for _ in range(2):
        kernel = tir.kernel(spec, target, "same")
        objects.append(tir.compile([p.func for p in kernel.phases], target))
    assert objects[0] == objects[1]
