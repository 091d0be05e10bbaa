# SPDX-License-Identifier: Apache-2.0
"""Softmax and layer normalisation over rows of awkward lengths and values."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tvm")

from edgebuild.kernels import specs
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
