# SPDX-License-Identifier: Apache-2.0
"""The child processes' code, run in this one; and one bundle from end to end."""

from __future__ import annotations

import io
import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import bundle, check, elf, tvm_oracle, tvm_worker
from tests.tools.one_operator import Case
from tests.unit.test_kernels_driver import CPU

pytest.importorskip("tvm", reason="TVM is not installed")


class Input:
    """Standard input with bytes in it."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def dense(path: Path, *, dtype: str = "int8") -> Path:
    """A dense layer and a softmax; its output is a classifier's."""
    case = Case()
    random = np.random.default_rng(1)
    if dtype == "int8":
        x = case.int8((1, 20), 0.1, 4)
        w = case.constant(random.integers(-127, 128, (6, 20)).astype(np.int8), scale=[0.01],
                          zero_point=[0])  # fmt: skip
        middle = case.writer.tensor("m", (1, 6), "int8", scale=[0.2], zero_point=[1])
        y = case.out((1, 6), 1 / 256, -128)
    else:
        x = case.plain((1, 20))
        w = case.constant(random.standard_normal((6, 20)).astype(np.float32))
        middle = case.writer.tensor("m", (1, 6), "float32")
        y = case.out((1, 6), None, dtype="float32")
    case.writer.any("FULLY_CONNECTED", [x, w], [middle], version=4,
                    options="FullyConnectedOptions")  # fmt: skip
    path.write_bytes(case.file("SOFTMAX", [middle], y, version=2, options="SoftmaxOptions",
                               Beta=1.0))  # fmt: skip
    return path


def run_worker(action: str, model: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Input(tvm_worker.encode_cpu(CPU)))
    monkeypatch.setattr(tvm_worker, "_bound_memory", lambda _model: None)  # for this process
    assert tvm_worker.main([action, str(model), str(out), "net"]) == 0


def test_the_worker_plans_and_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = dense(tmp_path / "m.tflite")
    run_worker("plan", model, tmp_path, monkeypatch)
    planned = (tmp_path / "net.card.json").read_bytes()
    assert not (tmp_path / "net.kernels.o").exists()
    run_worker("compile", model, tmp_path, monkeypatch)
    assert (tmp_path / "net.card.json").read_bytes() == planned
    assert json.loads(planned)["task"] == "classify"
    assert elf.code_bytes((tmp_path / "net.kernels.o").read_bytes()) > 100
    assert "edge_net_run" in (tmp_path / "net.driver.c").read_text()
    assert len((tmp_path / "net.constants").read_bytes()) == json.loads(planned)["weights_bytes"]


def test_a_worker_that_wants_all_memory_ends_alone(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys\n"
        "from edgebuild.kernels import tvm_worker\n"
        "tvm_worker._bound_memory(pathlib.Path('missing'))\n"
        "try:\n    bytearray(5 << 30)\nexcept MemoryError:\n    sys.exit(7)\n"
    )
    _, environment = bundle.child("")
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == 7


def test_the_worker_reports_the_models_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes(b"\0\0\0\0TFL3")
    run_worker("compile", model, tmp_path, monkeypatch)
    with pytest.raises(EdgebuildError) as caught:
        bundle.raise_error(tmp_path / "error.json")
    assert caught.value.kind.code == "E203"


def test_the_oracle_answers_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = dense(tmp_path / "m.tflite", dtype="float32")
    x = np.linspace(-1, 1, 20, dtype=np.float32).reshape(1, 20)
    packed = io.BytesIO()
    np.savez(packed, **{"0000": x})
    monkeypatch.setattr("sys.stdin", Input(packed.getvalue()))
    assert tvm_oracle.main([str(model), str(tmp_path)]) == 0
    with np.load(tmp_path / "outputs.npz") as archive:
        np.testing.assert_allclose(archive["0000"].sum(), 1.0, rtol=1e-5)
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    monkeypatch.setattr("sys.stdin", Input(packed.getvalue()))
    assert tvm_oracle.main([str(tmp_path / "broken.onnx"), str(tmp_path)]) == 0
    assert (tmp_path / "refused.txt").read_text()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 kernels")
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_bundle_from_end_to_end(tmp_path: Path, dtype: str) -> None:
    model = dense(tmp_path / "m.tflite", dtype=dtype)
    bundle.compile(model, CPU, tmp_path / "out", name="net")
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made >= {"net.o", "net.h", "net.json"}
    report = check.check(model, tmp_path / "out", CPU, seed=5)
    assert report["passed"], report
    assert report["reference"] == ("exact" if dtype == "int8" else "tvm")
