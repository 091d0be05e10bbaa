# SPDX-License-Identifier: Apache-2.0
"""LSTM, GRU and RNN against ONNX Runtime, and that many steps stay cheap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgebuild.config import profiles
from edgebuild.errors import EdgebuildError
from edgebuild.host import paths
from edgebuild.kernels import importer, interpreter, tvm_worker
from edgebuild.kernels.emission import ConstantPool
from edgebuild.kernels.optimise import optimise
from tests.unit.test_kernels_onnx import save

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
R = np.random.default_rng(2)


def floats(*shape: int) -> np.ndarray:
    return (R.standard_normal(shape) * 0.5).astype(np.float32)


def layer(
    kind: str, x: np.ndarray, hidden: int, *, ways: int = 1, states: bool = False,
    held: dict[str, np.ndarray] | None = None, names: list[str] | None = None, **attributes: Any,
) -> Any:  # fmt: skip
    """A model of one layer with all its outputs."""
    rows = GATES[kind] * hidden
    held = {"W": floats(ways, rows, x.shape[2]), "R": floats(ways, rows, hidden),
            "B": floats(ways, 2 * rows), **(held or {})}  # fmt: skip
    batch = x.shape[1]
    if states:
        held |= {"h": floats(ways, batch, hidden), "c": floats(ways, batch, hidden)}
    inputs = names or ["x", "W", "R", "B", "", *(["h"] if states else [])]
    inputs += ["c"] if states and kind == "LSTM" and not names else []
    outputs = ["Y", "Yh", "Yc"][: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, inputs, outputs, hidden_size=hidden, **attributes)
    graph = helper.make_graph(
        [node], "test", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(a, n) for n, a in held.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def same_as_runtime(tmp_path: Path, made: Any, x: np.ndarray) -> None:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(made.SerializeToString())
    expected = session.run(None, {"x": x})
    graph = importer.load(save(tmp_path, made))
    assert list(graph.outputs) == [output.name for output in made.graph.output]
    found = interpreter.run_lowered(optimise(graph), [x])
    for name, want in zip(graph.outputs, expected, strict=True):
        np.testing.assert_allclose(found[name], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(GATES))
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
def test_ways(tmp_path: Path, kind: str, direction: str, states: bool) -> None:
    x = floats(7, 2, 5)
    ways = 2 if direction == "bidirectional" else 1
    made = layer(kind, x, 6, ways=ways, states=states, direction=direction)
    same_as_runtime(tmp_path, made, x)


def test_the_product_before_the_reset(tmp_path: Path) -> None:
    x = floats(5, 1, 3)
    same_as_runtime(tmp_path, layer("GRU", x, 8, linear_before_reset=1), x)


def test_peepholes_and_lengths_that_are_the_input_s(tmp_path: Path) -> None:
    x = floats(4, 2, 3)
    held = {"l": np.array([4, 4], np.int32), "P": floats(1, 15)}
    names = ["x", "W", "R", "B", "l", "", "", "P"]
    same_as_runtime(tmp_path, layer("LSTM", x, 5, held=held, names=names), x)


@pytest.mark.parametrize(
    ("kind", "functions", "numbers"),
    [
        ("LSTM", ["HardSigmoid", "Relu", "Tanh"], {}),
        ("GRU", ["Sigmoid", "LeakyRelu"], {"activation_alpha": [0.3]}),
        ("RNN", ["Elu"], {"activation_alpha": [0.7]}),
    ],
)
def test_other_functions(tmp_path: Path, kind: str, functions: Any, numbers: Any) -> None:
    x = floats(4, 1, 3)
    same_as_runtime(tmp_path, layer(kind, x, 5, activations=functions, **numbers), x)


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        ({"clip": 3.0}, None),
        ({"input_forget": 1}, None),
        ({"activations": ["Affine", "Tanh", "Tanh"]}, None),
        ({}, ["x", "W", "R", "B", "l"]),
    ],
)
def test_what_is_refused(tmp_path: Path, attributes: Any, names: Any) -> None:
    x = floats(4, 2, 3)
    made = layer("LSTM", x, 5, held={"l": np.array([4, 2], np.int32)}, names=names, **attributes)
    with pytest.raises(EdgebuildError) as caught:
        importer.load(save(tmp_path, made))
    assert caught.value.kind.code == "E205"


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    x = floats(4, 2, 3)
    for held in ({"W": floats(1, 18, 3)}, {"B": floats(1, 8)}, {"W": floats(20, 3)}):
        with pytest.raises(EdgebuildError) as caught:
            importer.load(save(tmp_path, layer("LSTM", x, 5, held=held)))
        assert caught.value.kind.code == "E203"


def test_many_steps_share_their_kernels_and_weights(tmp_path: Path) -> None:
    x = floats(300, 1, 6)
    graph = importer.load(save(tmp_path, layer("LSTM", x, 32)))
    assert graph.notes == ("LSTM is computed step by step: 300 steps",)
    lowered = optimise(graph)
    cpu = profiles.load("rpi4", paths.data_dir() / "targets").cpu
    pool = ConstantPool()
    arrangement = tvm_worker.arrange(lowered, cpu)
    codes, functions = tvm_worker.generate(lowered, cpu, "net", pool, arrangement)
    assert len(codes) > 300 * 7
    assert len(functions) < 20
    weights = sum(t.data.nbytes for t in graph.tensors.values() if t.data is not None)
    assert pool.size < 1.2 * weights + 4096
