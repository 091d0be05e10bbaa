# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers and loops of TensorFlow Lite against LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import interpreter, tflite_control, tflite_reader
from edgebuild.kernels.optimise import optimise
from tests.tools.one_operator import OneOperator

litert = pytest.importorskip("ai_edge_litert.interpreter")
R = np.random.default_rng(8)


def floats(*shape: int) -> np.ndarray:
    return (R.standard_normal(shape) * 0.4).astype(np.float32)


def same_as_litert(data: bytes, inputs: Sequence[np.ndarray]) -> Any:
    kind = litert.OpResolverType.BUILTIN_REF
    runner = litert.Interpreter(model_content=data, experimental_op_resolver_type=kind)
    runner.allocate_tensors()
    for detail, array in zip(runner.get_input_details(), inputs, strict=True):
        runner.set_tensor(detail["index"], array)
    runner.invoke()
    graph = tflite_reader.read(data, "m", "d")
    found = interpreter.run_lowered(optimise(graph), list(inputs))
    for name, detail in zip(graph.outputs, runner.get_output_details(), strict=True):
        want = runner.get_tensor(detail["index"])
        np.testing.assert_allclose(found[name], want, rtol=1e-5, atol=1e-6)
    return graph


class Model(OneOperator):
    """Float tensors and constants with names of their own."""

    def plain(self, *shape: int, dtype: str = "float32", variable: bool = False) -> int:
        return self.tensor(f"t{len(self._tensors)}", shape, dtype, variable=variable)

    def held(self, data: Any) -> int:
        array = np.asarray(data)
        return self.tensor(f"t{len(self._tensors)}", array.shape, array.dtype.name, data=array)

    def held_bytes(self, data: np.ndarray) -> int:
        """8-bit weights of dynamic range."""
        return self.tensor(f"t{len(self._tensors)}", data.shape, "int8", data=data, scale=[0.01],
                           zero_point=[0])  # fmt: skip


def lstm(
    shape: tuple[int, int, int], hidden: int, *, missing: Sequence[int] = (),
    peepholes: bool = False, small: bool = False, **options: Any,
) -> tuple[bytes, int]:  # fmt: skip
    """A file of one layer; inputs ``missing`` are absent."""
    w = Model()
    major = bool(options.get("TimeMajor", False))
    batch, features = shape[int(major)], shape[2]
    x = w.plain(*shape)

    def weights(*size: int) -> int:
        return w.held_bytes(R.integers(-99, 99, size).astype(np.int8)) if small else w.held(
            floats(*size)
        )  # fmt: skip

    inputs = [x, *(weights(hidden, features) for _ in range(4)),
              *(weights(hidden, hidden) for _ in range(4)),
              *(w.held(floats(hidden)) if peepholes else -1 for _ in range(3)),
              *(w.held(floats(hidden)) for _ in range(4)), -1, -1,
              w.plain(batch, hidden, variable=True), w.plain(batch, hidden, variable=True),
              -1, -1, -1, -1]  # fmt: skip
    for number in missing:
        inputs[number] = w.held(floats(hidden, hidden)) if inputs[number] == -1 else -1
    y = w.plain(*shape[:2], hidden)
    fields = {"FusedActivationFunction": 4, **options}
    w.any("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y],
          options="UnidirectionalSequenceLSTMOptions", **fields)  # fmt: skip
    return w.finish([x], [y]), x


@pytest.mark.parametrize("major", [False, True])
@pytest.mark.parametrize("peepholes", [False, True])
def test_a_layer(major: bool, peepholes: bool) -> None:
    data, _ = lstm((3, 5, 4), 6, peepholes=peepholes, TimeMajor=major, CellClip=0.3)
    graph = same_as_litert(data, [floats(3, 5, 4)])
    steps = 3 if major else 5
    assert f"computed step by step: {steps} steps, each run from zero" in graph.notes[0]


def test_weights_of_eight_bits_are_there_once() -> None:
    graph = tflite_reader.read(lstm((1, 4, 3), 5, small=True)[0], "m", "d")
    assert any("8-bit weights" in note for note in graph.notes)
    assert interpreter.outputs(graph, [floats(1, 4, 3)])[0].shape == (1, 4, 5)


@pytest.mark.parametrize("missing", [[1, 5], [16]])
def test_layers_that_are_refused(missing: list[int]) -> None:
    with pytest.raises(EdgebuildError) as caught:
        tflite_reader.read(lstm((1, 4, 3), 5, missing=missing)[0], "m", "d")
    assert caught.value.kind.code == "E205"


def test_bytes_are_refused() -> None:
    w = Model()
    x = w.tensor("x", (1, 4, 3), "int8", scale=[0.1], zero_point=[0])
    y = w.tensor("y", (1, 4, 5), "int8", scale=[0.1], zero_point=[0])
    w.any("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, *[-1] * 23], [y])
    with pytest.raises(EdgebuildError) as caught:
        tflite_reader.read(w.finish([x], [y]), "m", "d")
    assert caught.value.kind.code == "E206"


@pytest.mark.parametrize("major", [False, True])
def test_a_plain_layer(major: bool) -> None:
    w = Model()
    x = w.plain(2, 5, 3)
    batch = 5 if major else 2
    inputs = [x, w.held(floats(4, 3)), w.held(floats(4, 4)), w.held(floats(4)),
              w.plain(batch, 4, variable=True)]  # fmt: skip
    y = w.plain(2, 5, 4)
    w.any("UNIDIRECTIONAL_SEQUENCE_RNN", inputs, [y], options="SequenceRNNOptions",
          TimeMajor=major, FusedActivationFunction=1)  # fmt: skip
    same_as_litert(w.finish([x], [y]), [floats(2, 5, 3)])


def loop(rounds: int, *, backwards: bool = False, dynamic: bool = False) -> bytes:
    """As Keras writes a recurrent layer: a counter, a state, and a sequence that is picked from."""
    w, int32 = Model(), np.int32
    i, h, s = w.plain(dtype="int32"), w.plain(1, 4), w.plain(6, 1, 3)
    truth = w.plain(dtype="bool")
    if dynamic:
        w.any("LESS", [i, i], [truth], options="LessOptions")
    else:
        w.any("LESS", [i, w.held(np.array(rounds, int32))], [truth], options="LessOptions")
    w.close([i, h, s], [truth])
    i, h, s = w.plain(dtype="int32"), w.plain(1, 4), w.plain(6, 1, 3)
    more, row, said, kept = w.plain(dtype="int32"), w.plain(1, 3), w.plain(1, 4), w.plain(1, 4)
    w.any("ADD", [i, w.held(np.array(1, int32))], [more], options="AddOptions")
    w.any("GATHER", [s, i], [row], options="GatherOptions", Axis=0)
    w.any("FULLY_CONNECTED", [row, w.held(floats(4, 3)), -1], [said],
          options="FullyConnectedOptions")  # fmt: skip
    w.any("ADD", [said, h], [kept], options="AddOptions", FusedActivationFunction=1)
    w.close([i, h, s], [more, kept, s])
    x, start = w.plain(6, 1, 3), w.plain(dtype="int32")
    zero = start if dynamic else w.held(np.array(0, int32))
    first, given = w.held(floats(1, 4)), x
    if backwards:
        given = w.plain(6, 1, 3)
        w.any("REVERSE_V2", [x, w.held(np.array([0], int32))], [given], options="ReverseV2Options")
    outs = [w.plain(dtype="int32"), w.plain(1, 4), w.plain(6, 1, 3)]
    w.any("WHILE", [zero, first, given], outs, options="WhileOptions", CondSubgraphIndex=1,
          BodySubgraphIndex=2)  # fmt: skip
    y = w.plain(1, 4)
    w.any("RELU", [outs[1]], [y])
    return w.finish([x, start] if dynamic else [x], [y])


@pytest.mark.parametrize("backwards", [False, True])
def test_a_loop_is_written_out(backwards: bool) -> None:
    graph = same_as_litert(loop(6, backwards=backwards), [floats(6, 1, 3)])
    assert graph.notes == ("a loop is written out: 6 rounds",)
    dense = [o for o in graph.operators if o.kind == "dense"]
    assert len(dense) == 6
    assert len({o.inputs[1] for o in dense}) == 1, "weights are there once"


def test_a_loop_of_no_rounds() -> None:
    same_as_litert(loop(0), [floats(6, 1, 3)])


def test_loops_that_nobody_can_write_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EdgebuildError, match="only the running model knows") as caught:
        tflite_reader.read(loop(0, dynamic=True), "m", "d")
    assert caught.value.kind.code == "E205"
    monkeypatch.setattr(tflite_control, "LIMIT_STEPS", 200)
    with pytest.raises(EdgebuildError) as caught:
        tflite_reader.read(loop(1 << 20), "m", "d")
    assert caught.value.kind.code == "E204"


def branch(truth: bool | None) -> bytes:
    w = Model()
    for kind in ("RELU", "TANH"):
        given, made = w.plain(2, 3), w.plain(2, 3)
        w.any(kind, [given], [made])
        w.close([given], [made])
    x, y = w.plain(2, 3), w.plain(2, 3)
    which = w.plain(dtype="bool") if truth is None else w.held(np.array(truth))
    w.any("IF", [which, x], [y], options="IfOptions", ThenSubgraphIndex=1, ElseSubgraphIndex=2)
    return w.finish([x] if truth is not None else [x, which], [y])


@pytest.mark.parametrize("truth", [False, True])
def test_a_branch_that_is_known(truth: bool) -> None:
    graph = same_as_litert(branch(truth), [floats(2, 3)])
    assert [o.kind for o in graph.operators] == ["relu" if truth else "tanh"]


def test_a_branch_that_is_not_known() -> None:
    with pytest.raises(EdgebuildError) as caught:
        tflite_reader.read(branch(None), "m", "d")
    assert caught.value.kind.code == "E205"


@pytest.mark.parametrize("what", ["itself", "nobody", "few", "outputs"])
def test_calls_of_no_sense(what: str) -> None:
    w = Model()
    given, made = w.plain(2, 3), w.plain(2, 3)
    if what == "itself":
        w.any("IF", [w.held(np.array(True)), given], [made], options="IfOptions",
              ThenSubgraphIndex=1, ElseSubgraphIndex=1)  # fmt: skip
    else:
        w.any("RELU", [given], [made])
    w.close([given], [made])
    x, y, z = w.plain(2, 3), w.plain(2, 3), w.plain(2, 3)
    inputs = [w.held(np.array(True)), *([] if what == "few" else [x])]
    w.any("IF", inputs, [y, z] if what == "outputs" else [y], options="IfOptions",
          ThenSubgraphIndex=9 if what == "nobody" else 1, ElseSubgraphIndex=1)  # fmt: skip
    with pytest.raises(EdgebuildError) as caught:
        tflite_reader.read(w.finish([x], [y]), "m", "d")
    assert caught.value.kind.code == "E203"


def test_other_signatures_are_refused() -> None:
    w = Model()
    x, y = w.plain(2, 3), w.plain(2, 3)
    w.any("RELU", [x], [y])
    w.close([x], [y])
    x, y = w.plain(2, 3), w.plain(2, 3)
    w.any("RELU", [x], [y])
    with pytest.raises(EdgebuildError, match="2 subgraphs, and 1 are called") as caught:
        tflite_reader.read(w.finish([x], [y]), "m", "d")
    assert caught.value.kind.code == "E205"
