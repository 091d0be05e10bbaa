# SPDX-License-Identifier: Apache-2.0
"""Weights of 8 and 16 bits under float operators: all sizes, on processors that are emulated."""

from __future__ import annotations

import dataclasses
import platform
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgebuild.host import tools
from edgebuild.host.store import Store
from edgebuild.kernels import specs
from edgebuild.kernels.tir.winograd_rule import FOUR, TWO, Form
from edgebuild.model.lock import Lock
from tests.flow import emulated
from tests.flow.test_kernels_narrow import checked
from tests.unit import test_tir_stored as stored
from tests.unit import tir_helpers as h
from tests.unit.test_tir_contraction import _WINDOWS, conv
from tests.unit.test_tir_winograd import force, squares

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the lock has tools for amd64"),
]

#: QEMU's core, and ours.
CORES = {
    "a53": ("qemu-aarch64", "cortex-a53", stored.ISAS["a53"][0]),
    "a72": ("qemu-aarch64", "cortex-a72", h.A72),
    "a76": ("qemu-aarch64", "neoverse-n1", h.A76),
    "n2": ("qemu-aarch64", "neoverse-n2", h.N2),
    "v1": ("qemu-aarch64", "neoverse-v1", h.cpu("aarch64", "neoverse-v1", 256)),
    "rv64gc": ("qemu-riscv64", "rv64", h.RV64),
    "rv64gcv": ("qemu-riscv64", "rv64,v=true,vlen=128", stored.ISAS["rv64gcv"][0]),
}


def many(kind: str) -> list[specs.Spec]:
    """Every size from 1 to 70 as rows, depth and columns; windows; some channel by channel."""
    found: list[specs.Spec] = []
    for s in range(1, 71, 2):
        spec = stored.dense(s, 71 - s, (s * 29) % 71 or 70, kind, per_channel=s % 4 == 1)
        found += [spec, stored.dense(1, s, 71 - s, kind)]
    found += [
        stored.smaller(conv(*each[:3], dtype="float32", groups=each[3]), kind) for each in _WINDOWS
    ]
    shape = (1, 6, 5, 19)
    found.append(specs.Depthwise2d(
        input=shape, output=shape, window=specs.Window(kernel=(3, 3), padding=(1, 1)),
        dtype="float32", stored=kind, epilogue=stored.scaled(shape),
    ))  # fmt: skip
    return found


@pytest.mark.parametrize("kind", ["int8", "float16"])
@pytest.mark.parametrize("name", CORES)
def test_all_sizes(name: str, kind: str, store: Store, lock: Lock, tmp_path: Path) -> None:
    tool, core, target = CORES[name]
    emulator = [*tools.tool(store, lock, tool), "-cpu", core]
    tolerance = 1e-5 if kind == "int8" else 3e-5  # half floats of both signs: small results
    given = many(kind)
    if kind == "int8" and name in ("a53", "a72"):  # two products then fit 16 bits
        given += [dataclasses.replace(s, symmetric=True) for s in given
                  if isinstance(s, specs.Dense)]  # fmt: skip
    emulated.check(tmp_path, given, target, emulator, tolerance=tolerance)


@pytest.mark.parametrize("kind", ["int8", "float16"])
def test_all_sizes_here(kind: str, tmp_path: Path) -> None:
    h.check(tmp_path, many(kind), tolerance=1e-5 if kind == "int8" else 3e-5)


def network(kind: str) -> onnx.ModelProto:
    """A convolution, one channel by channel, and two dense layers with small weights."""
    rng = np.random.default_rng(9)
    nodes, constants = [], []

    def weights(name: str, shape: tuple[int, ...], axis: int) -> str:
        if kind == "float16":
            data = (rng.standard_normal(shape) * 0.1).astype(np.float16)
            constants.append(numpy_helper.from_array(data, f"{name}_h"))
            nodes.append(helper.make_node("Cast", [f"{name}_h"], [name], to=TensorProto.FLOAT))
            return name
        scale = rng.uniform(0.001, 0.003, shape[axis]).astype(np.float32)
        for end, data in (
            ("q", rng.integers(-127, 128, shape).astype(np.int8)), ("s", scale),
            ("z", np.zeros(shape[axis], np.int8)),
        ):  # fmt: skip
            constants.append(numpy_helper.from_array(data, f"{name}_{end}"))
        ends = [f"{name}_{end}" for end in "qsz"]
        nodes.append(helper.make_node("DequantizeLinear", ends, [name], axis=axis))
        return name

    nodes.append(helper.make_node("Conv", ["x", weights("a", (16, 3, 3, 3), 0)], ["c"],
                                  pads=[1, 1, 1, 1]))  # fmt: skip
    nodes.append(helper.make_node("Relu", ["c"], ["r"]))
    nodes.append(helper.make_node("Conv", ["r", weights("b", (16, 1, 3, 3), 0)], ["d"],
                                  group=16, strides=[2, 2]))  # fmt: skip
    nodes.append(helper.make_node("Flatten", ["d"], ["f"]))
    nodes.append(helper.make_node("MatMul", ["f", weights("w", (144, 37), 1)], ["m"]))
    nodes.append(helper.make_node("Relu", ["m"], ["n"]))
    nodes.append(helper.make_node("Gemm", ["n", weights("v", (10, 37), 0)], ["y"], transB=1))
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])], constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("kind", ["int8", "float16"])
@pytest.mark.parametrize("name", ["cortex-m4", "cortex-m7", "cortex-m55", "wasm32"])
def test_whole_models_on_32_bits(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    onnx.save(network(kind), path)
    checked(path, name, tmp_path / "out")


@pytest.mark.parametrize("form", [TWO, FOUR], ids=["two", "four"])
@pytest.mark.parametrize("name", ["a72", "v1", "rv64gcv"])
def test_winograd(
    name: str, form: Form, store: Store, lock: Lock, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    force(monkeypatch, form)
    tool, core, target = CORES[name]
    given = [
        dataclasses.replace(squares((s, 40 - s), (s % 11 + 1, 70 - s)), stored=kind)
        for s in range(3, 38, 8) for kind in ("int8", "float16")
    ]  # fmt: skip
    emulator = [*tools.tool(store, lock, tool), "-cpu", core]
    emulated.check(tmp_path, given, target, emulator, tolerance=2e-5)
