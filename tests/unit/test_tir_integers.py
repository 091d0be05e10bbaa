# SPDX-License-Identifier: Apache-2.0
"""Epilogues with each of the promises that ``kernels/rounding.py`` makes of their constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebuild.kernels import rounding, specs, tir
from edgebuild.kernels.specs import Conv2d, Dense, Depthwise2d, Window
from edgebuild.kernels.tir import fixed
from tests.unit import tir_helpers as h

#: Channels with every tail of a vector of 16 in them.
SHAPE = (1, 5, 4, 16 + 8 + 4 + 2 + 1)


def conv(known: int, *, residual: bool = False, zero: int = 3) -> specs.Spec:
    epilogue = h.requantised(SHAPE, residual=residual, zero=zero, known=known)
    return Conv2d(input=(*SHAPE[:3], 24), output=SHAPE, window=Window(kernel=(1, 1)),
                  dtype="int8", input_zero=-5, epilogue=epilogue)  # fmt: skip


def depthwise(known: int) -> specs.Spec:
    return Depthwise2d(input=(1, 7, 6, SHAPE[3]), output=SHAPE, window=Window(kernel=(3, 3)),
                       dtype="int8", input_zero=9,
                       epilogue=h.requantised(SHAPE, known=known))  # fmt: skip


def dense(known: int) -> specs.Spec:
    return Dense(m=3, k=40, n=31, dtype="int8", input_zero=1,
                 epilogue=h.rescaled_really((3, 31), known=known))  # fmt: skip


def arguments(spec: Any, seed: int) -> list[h.Array]:
    """Constants that keep the promise."""
    rng, result, seen = np.random.default_rng(seed), [], 0
    for argument, value in zip(spec.arguments(), h.random_arguments(spec, seed), strict=False):
        made = value
        if argument.dtype == "float64":
            made = rng.uniform(2.0**-14, 2.0**-6, value.shape)
        if argument.role == "constant" and argument.dtype == "int32":
            if seen == 1:
                made = (rng.integers(1 << 29, 1 << 30, value.shape) * 2 + 1).astype(np.int32)
            if seen == 2:
                made = rng.integers(-13, -4, value.shape).astype(np.int32)
            seen += 1
        result.append(made)
    return result


@pytest.mark.parametrize("known", [rounding.NOTHING, rounding.RIGHT, rounding.LINE])
def test_every_promise_gives_the_same_bytes(tmp_path: Path, known: int) -> None:
    many = [conv(known), conv(known, residual=True), conv(known, zero=-128), depthwise(known),
            dense(known)]  # fmt: skip
    for target in h.runnable():
        compiled = h.Compiled(tmp_path / f"{target.model}-{target.vector_bits}", many, target)
        for number, spec in enumerate(many):
            values = arguments(spec, number)
            h.compare(spec, compiled.run(number, values), values, 0)


def test_a_broken_promise_is_noticed_when_constants_are_packed() -> None:
    spec = dense(rounding.LINE)
    wide = [t for t in h.runnable() if t.vector_bits == 512]
    if not wide:
        pytest.skip("this machine has no AVX-512")
    kernel = h.tir.kernel(spec, wide[0], "k")
    constants = [
        np.zeros(a.shape, a.dtype) for a in spec.arguments() if a.role == "constant"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="promised"):
        kernel.pack(constants)


def test_the_upper_half_and_two_halvings_are_the_reference() -> None:
    """What ``Fixed._upper`` computes, in NumPy, at the ends of the types and between."""
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.integers(-(1 << 31), 1 << 31, 4000), np.arange(-70, 70),
                        [-(1 << 31), (1 << 31) - 1]])  # fmt: skip
    for _ in range(200):
        m, shift = int(rng.integers(1 << 30, 1 << 31)), int(rng.integers(-31, 0))
        known = fixed.scale(np.array([m]), np.array([shift]))
        y = ((x * known.doubled + (1 << 31)) >> 32) + x
        assert (np.abs(y) < 1 << 31).all()
        y = (((y + (y >> 31)) >> known.before) + 1) >> 1
        assert np.array_equal(y, rounding.multiply(x, m, shift))


@pytest.mark.parametrize("size", [1, 3, 16, 64, 70, 129])
def test_tables_of_all_bytes(tmp_path: Path, size: int) -> None:
    """Every index, by loads or by a permutation of registers."""
    table = h.operand((256,), "int8", "constant")
    spec = h.elementwise((size, 4), [h.operand((size, 4), "int8"), table],
                         h.step("lookup", (0, 1), dtype="int8"))  # fmt: skip
    bytes_ = np.random.default_rng(1).permutation(256).astype(np.uint8).view(np.int8)
    x = np.resize(np.arange(-128, 128), (size, 4)).astype(np.int8)
    for target in h.runnable():
        compiled = h.Compiled(tmp_path, [spec], target)
        found = compiled.run(0, [x, bytes_])
        assert np.array_equal(found.reshape(size, 4), bytes_[x.astype(int) + 128])


def test_a_table_is_two_permutations_where_registers_can_be_permuted() -> None:
    table = h.operand((256,), "int8", "constant")
    spec = h.elementwise((128,), [h.operand((128,), "int8"), table],
                         h.step("lookup", (0, 1), dtype="int8"))  # fmt: skip
    assert "vpermi2var" in str(tir.kernel(spec, h.VNNI, "k"))
    assert "vpermi2var" not in str(tir.kernel(spec, h.V3, "k"))
