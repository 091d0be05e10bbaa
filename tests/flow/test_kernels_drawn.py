# SPDX-License-Identifier: Apache-2.0
"""Graphs drawn at random against ONNX Runtime: as they are read, and as bundles."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import pytest

from edgebuild.config import profiles
from edgebuild.host import paths
from edgebuild.kernels import bundle, check, importer, interpreter
from edgebuild.kernels.optimise import optimise
from tests.models_graphs import draw

pytestmark = pytest.mark.slow


def close(found: np.ndarray, want: np.ndarray) -> bool:
    """Within 2e-4 of the largest number; what is not finite is the same."""
    assert found.shape == want.shape
    most = float(np.abs(want[np.isfinite(want)]).max(initial=1e-3))
    return bool(np.allclose(found, want, rtol=0, atol=2e-4 * most, equal_nan=True))


def compare(tmp_path: Path, seed: int, *, built: bool) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = draw(seed)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model.SerializeToString(), options)
    shape = session.get_inputs()[0].shape
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    expected = session.run(None, {"x": x})
    path = tmp_path / f"drawn{seed}.onnx"
    path.write_bytes(model.SerializeToString())
    graph = importer.load(path)
    values = interpreter.run_lowered(optimise(graph), [x])
    for name, want in zip(graph.outputs, expected, strict=True):
        assert close(values[name], want), f"{name} of graph {seed}"
    if not built:
        return
    cpu = profiles.load("x86_64", paths.data_dir() / "targets").cpu
    bundle.compile(path, cpu, tmp_path / "out", name=path.stem)
    card = json.loads((tmp_path / "out" / f"{path.stem}.json").read_bytes())
    program = check.build(tmp_path / "out", card, cpu, tmp_path)
    for entry, mine, want in zip(
        card["outputs"], check.run(program, card, [x], ()), expected, strict=True
    ):
        assert close(mine, want), f"{entry['name']} of graph {seed}, built"


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_what_is_read(tmp_path: Path, first: int) -> None:
    with np.errstate(all="ignore"):
        for seed in range(first, first + 50):
            compare(tmp_path, seed, built=False)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 kernels")
@pytest.mark.parametrize("seed", range(1000, 1024))
def test_what_is_built(tmp_path: Path, seed: int) -> None:
    with np.errstate(all="ignore"):
        compare(tmp_path, seed, built=True)
