# SPDX-License-Identifier: Apache-2.0
"""Every size from 1 to 70 as rows, depth and columns of a product, on every playable processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebuild.kernels.tir.winograd_rule import FOUR, TWO, Form
from tests.unit import tir_helpers as h
from tests.unit.test_tir_contraction import dense
from tests.unit.test_tir_matmul_int8 import product
from tests.unit.test_tir_winograd import check as close
from tests.unit.test_tir_winograd import force, squares

# Other tests take the same lines; counting them again would cost a fifth of the time.
pytestmark = [pytest.mark.slow, pytest.mark.no_cover]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("first", [1, 2, 3])
def test_all_sizes_from_1_to_70(tmp_path: Path, dtype: str, first: int) -> None:
    many = [
        dense(s, 71 - s, (s * 29) % 71 or 70, dtype, real=s % 2 == 0) for s in range(first, 71, 3)
    ]
    h.check(tmp_path, many)


@pytest.mark.parametrize("first", [1, 2, 3])
def test_all_sizes_of_two_inputs(tmp_path: Path, first: int) -> None:
    h.check(tmp_path, [
        product((), s, 71 - s, (s * 29) % 71 or 70, s % 4 > 1, s % 2 == 0)
        for s in range(first, 71, 3)
    ])  # fmt: skip


@pytest.mark.parametrize("form", [TWO, FOUR], ids=["two", "four"])
@pytest.mark.parametrize("first", [3, 4, 5])
def test_all_images_from_3_to_70(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form, first: int
) -> None:
    force(monkeypatch, form)
    many = [squares((s, 73 - s), ((s * 29) % 37, (s * 17) % 41 + 1), padding=s % 3)
            for s in range(first, 71, 3) if (s * 29) % 37]  # fmt: skip
    close(tmp_path, many, h.runnable())
