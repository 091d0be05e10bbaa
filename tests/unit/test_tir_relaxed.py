# SPDX-License-Identifier: Apache-2.0
"""A profile with relaxed SIMD gets kernels that answer the same on every engine (decision 0211)."""

import dataclasses

import pytest

from edgebuild.kernels import disassembly, specs, tir
from edgebuild.kernels.tir import isa
from tests.unit import tir_helpers as helpers

RELAXED = dataclasses.replace(helpers.WASM, features=("+simd128", "+relaxed-simd"))


@pytest.mark.parametrize(
    ("dtype", "epilogue"),
    [("float32", helpers.clamped((4, 8))), ("int8", helpers.requantised((4, 8), known=1))],
)
def test_no_instruction_whose_answer_an_engine_may_choose(dtype, epilogue):
    spec = specs.Dense(m=4, k=37, n=8, dtype=dtype, epilogue=epilogue)
    kernel = tir.kernel(spec, RELAXED, "k0")
    compiled = tir.compile([phase.func for phase in kernel.phases], RELAXED)
    needed = {each.feature for each in disassembly.foreign(compiled, "wasm32", frozenset())}
    assert "simd128" in needed
    assert "relaxed_simd" not in needed
    assert not isa.of(RELAXED).fma
