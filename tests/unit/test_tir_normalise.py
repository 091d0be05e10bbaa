# SPDX-License-Identifier: Apache-2.0
"""Softmax and layer normalisation over rows of awkward lengths and values."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tvm")

from edgebuild.kernels import softmax, specs, tir
from tests.unit import tir_helpers as h


@pytest.mark.parametrize("spread", [1.0, 60.0, 1000.0])
def test_a_wide_softmax_has_no_subnormals(tmp_path: Path, spread: float) -> None:
    many = [
        specs.Softmax(rows=3, columns=columns, dtype="float32") for columns in (79, 112, 250, 257)
    ]
    for target in h.runnable():
        compiled = h.Compiled(tmp_path / f"{target.model}-{target.vector_bits}", many, target)
        for number, spec in enumerate(many):
            x = np.random.default_rng(number).uniform(-spread, spread, (3, spec.columns))
            x = x.astype(np.float32)
            got = compiled.run(number, [x])
            h.compare(spec, got, [x], 1e-6)
            assert np.mean((got > 0) & (got < np.finfo(np.float32).tiny)) < 0.01


def test_softmax_keeps_infinities_and_not_a_number(tmp_path: Path) -> None:
    spec = specs.Softmax(rows=3, columns=40, dtype="float32")
    x = np.zeros((3, 40), np.float32)
    x[0, 5:] = -np.inf
    x[1, 7] = np.nan
    x[2, 9] = 200.0
    for target in h.runnable():
        compiled = h.Compiled(tmp_path / f"{target.model}-{target.vector_bits}", [spec], target)
        got = compiled.run(0, [x])
        assert got[0] == pytest.approx([0.2] * 5 + [0.0] * 35)
        assert np.isnan(got[1]).all()
        assert got[2].tolist() == [0.0] * 9 + [1.0] + [0.0] * 30


def test_a_negative_beta(tmp_path: Path) -> None:
    spec = specs.Softmax(rows=2, columns=37, dtype="float32", beta=-3.0)
    x = np.random.default_rng(0).uniform(-9, 9, (2, 37)).astype(np.float32)
    compiled = h.Compiled(tmp_path, [spec], h.runnable()[0])
    h.compare(spec, compiled.run(0, [x]), [x], 1e-5)


@pytest.mark.parametrize("columns", [15, 79, 112, 127])
def test_layer_normalisation_of_awkward_rows(tmp_path: Path, columns: int) -> None:
    program = h.Program(operands=(h.operand((2, columns), source="accumulator"),), steps=())
    h.check(tmp_path, [
        specs.LayerNorm(rows=2, columns=columns, epsilon=1e-5, addend=False, epilogue=program)
    ])  # fmt: skip


def bytes_softmax(rows: int, columns: int, scale: float) -> specs.Softmax:
    multiplier, left, smallest = softmax.parameters(1.0, scale)
    return specs.Softmax(rows=rows, columns=columns, dtype="int8", multiplier=multiplier,
                         left_shift=left, diff_min=smallest)  # fmt: skip


@pytest.mark.parametrize("free", [0, tir.UNBOUNDED])
def test_8_bit_softmax_in_place_by_several_cores(tmp_path: Path, free: int) -> None:
    """Rows that are equal all over too: of many columns nothing is left of a quotient."""
    many = [bytes_softmax(7, 31, 0.05), bytes_softmax(1, 16, 0.4), bytes_softmax(6, 4000, 0.01)]
    target = h.tiny_caches(h.runnable()[0], 1 << 20, 3)
    for over in (None, "input"):
        compiled = h.Compiled(tmp_path / str(over), many, target, over=over, free_bytes=free)
        for number, spec in enumerate(many):
            x = h.random_arguments(spec, number)[0]
            x[0] = 5
            for pieces in (1, 2):
                h.compare(spec, compiled.run(number, [x], pieces=pieces), [x], 0)


def test_8_bit_softmax_takes_scratch_where_there_is_memory() -> None:
    spec = bytes_softmax(8, 64, 0.1)
    sizes = [tir.kernel(spec, h.A72, "k", free_bytes=n).scratch_bytes for n in (0, 600, 1 << 20)]
    assert sizes == [256, 512, 1024]
    assert tir.kernel(spec, h.M4, "k").scratch_bytes == 0


def test_8_bit_softmax_of_nothing(tmp_path: Path) -> None:
    many = [bytes_softmax(0, 5, 0.1), bytes_softmax(3, 0, 0.1)]
    compiled = h.Compiled(tmp_path, many, h.runnable()[0])
    for number, spec in enumerate(many):
        assert compiled.run(number, [np.zeros((spec.rows, spec.columns), np.int8)]).size == 0
