# SPDX-License-Identifier: Apache-2.0
"""No model needs a larger arena than LiteRT makes for it, the kernels' scratch included."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import arena
from tests import models_build

pytest.importorskip("ai_edge_litert")

FILES = sorted((Path(__file__).parents[1] / "models").glob("*.tflite"))
TARGETS = ("x86_64", "rpi4", "riscv64")

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_models_of_the_tree(path: Path, target: str) -> None:
    assert 0 < arena.ours(path, target)["arena"] <= arena.litert(path)["reference"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("make", ["mobilenet_v1", "mobilenet_v2"])
def test_mobilenets(tmp_path: Path, make: str, target: str) -> None:
    for path in models_build.write(getattr(models_build, make)(96), tmp_path):
        if path.suffix == ".tflite":
            found = arena.ours(path, target)["arena"]
            # LiteRT's has the input in it, ours has not: there is room beyond it
            assert found <= arena.litert(path)["reference"]


def test_the_table_says_where_the_memory_goes() -> None:
    path = next(path for path in FILES if path.stem == "kws_ref_model")
    (row,) = arena.measure([path], ["rpi4"])
    assert row["values"] + row["scratch"] == row["arena"]
    assert row["caller"] == 490 + 12
    assert row["greedy"] <= row["litert"]["reference"]
    assert arena.line(row).count("|") == arena.HEAD.count("|")
