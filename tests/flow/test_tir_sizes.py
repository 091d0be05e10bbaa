# SPDX-License-Identifier: Apache-2.0
"""Every size from 1 to 70 as rows, depth and columns of a product, on every playable processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit import tir_helpers as h
from tests.unit.test_tir_contraction import dense


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("first", [1, 2, 3])
def test_all_sizes_from_1_to_70(tmp_path: Path, dtype: str, first: int) -> None:
    many = [
        dense(s, 71 - s, (s * 29) % 71 or 70, dtype, real=s % 2 == 0) for s in range(first, 71, 3)
    ]
    h.check(tmp_path, many)
