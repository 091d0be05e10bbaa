# SPDX-License-Identifier: Apache-2.0
"""Graph passes: what they save, and that they change no value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebuild.kernels import importer, interpreter, layout
from edgebuild.kernels.builder import GraphBuilder
from edgebuild.kernels.check import random_inputs
from edgebuild.kernels.fold import fold, prune
from edgebuild.kernels.fusion import refit
from edgebuild.kernels.lowering import lower
from edgebuild.kernels.optimise import optimise, rewrite
from edgebuild.model.graph import Graph
from tests.models_build import mobilenet_v2, to_tflite

R = np.random.default_rng(5)


class Net:
    """A graph in the making, from one float input."""

    def __init__(self, *shape: int, dtype: str = "float32") -> None:
        self.b = GraphBuilder()
        self.x = self.b.tensor("x", shape, dtype)

    def constant(self, *shape: int) -> str:
        return self.b.constant("c", R.standard_normal(shape).astype(np.float32))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.b.emit(kind, inputs, kind, f"{len(self.b.operators)} {kind}", **attributes)

    def conv(self, x: str, channels: int, **more: Any) -> str:
        depth = self.b.tensors[x].shape[-1]
        settings = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
        return self.op("conv2d", x, self.constant(channels, 3, 3, depth), self.constant(channels),
                       **(settings | more))  # fmt: skip

    def graph(self, *outputs: str) -> Graph:
        return self.b.finish("net", "test", "sha256:0", [self.x], outputs)


def kinds(graph: Graph, *, exact: bool = False) -> list[str]:
    """The optimised graph's kernels, after a check that its outputs are those of the plain one."""
    inputs = random_inputs(graph, 1)
    before = interpreter.run(graph, inputs)
    lowered = optimise(graph)
    after = interpreter.run_lowered(lowered, inputs)
    for name in graph.outputs:
        if exact:
            np.testing.assert_array_equal(after[name], before[name])
        else:
            np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-5)
    return [call.spec.kind for call in lowered.calls]


def test_elementwise_chains_go_into_the_kernel_before() -> None:
    net = Net(1, 6, 6, 4)
    y = net.conv(net.x, 8)
    y = net.op("hard_swish", y)
    y = net.op("mul", y, net.constant(8))
    y = net.op("add", y, net.op("conv2d", net.x, net.constant(8, 1, 1, 4), stride=(1, 1),
                               dilation=(1, 1), padding=(0, 0, 0, 0), groups=1))  # fmt: skip
    y = net.op("tanh", y)
    assert kinds(net.graph(y)) == ["conv2d", "conv2d"]


def test_a_value_read_twice_is_not_fused_away() -> None:
    net = Net(1, 6, 6, 4)
    y = net.conv(net.x, 4)
    z = net.op("relu", y)
    w = net.op("softmax", y, beta=1.0)
    assert kinds(net.graph(net.op("add", z, w))) == ["conv2d", "softmax", "elementwise"]


def test_an_output_inside_the_graph_survives() -> None:
    net = Net(1, 6, 6, 4)
    y = net.conv(net.x, 4)
    z = net.op("exp", y)
    assert kinds(net.graph(z, y)) == ["conv2d", "elementwise"]


def test_affine_steps_and_activations_go_into_weights() -> None:
    net = Net(1, 6, 6, 4)
    y = net.conv(net.x, 8)
    y = net.op("mul", y, net.constant(1, 1, 1, 8))
    y = net.op("add", y, net.constant(8))
    y = net.op("clip", y, lo=0.0, hi=6.0)
    graph = net.graph(y)
    assert [o.kind for o in rewrite(graph).operators] == ["conv2d"]
    assert rewrite(graph).operators[0].attributes["activation"] == "relu6"
    assert kinds(graph)


def test_explicit_padding_is_folded_only_where_it_is_zero() -> None:
    for value, expected in ((0.0, ["conv2d"]), (1.0, ["pad", "conv2d"])):
        net = Net(1, 6, 6, 4)
        y = net.op("pad", net.x, before=(0, 1, 2, 0), after=(0, 0, 1, 0), value=value)
        assert kinds(net.graph(net.conv(y, 8))) == expected


def test_identities_and_twins_disappear() -> None:
    net = Net(2, 3, 4)
    y = net.op("reshape", net.x, shape=(2, 3, 4))
    y = net.op("slice", y, begin=(0, 0, 0), size=(2, 3, 4), stride=(1, 1, 1))
    y = net.op("broadcast", y, shape=(2, 3, 4))
    y = net.op("pad", y, before=(0, 0, 0), after=(0, 0, 0), value=0.0)
    y = net.op("concat", y, axis=0)
    a, b = net.op("exp", y), net.op("exp", y)
    assert kinds(net.graph(net.op("add", a, b))) == ["elementwise"]


def test_constants_fold_and_dead_operators_are_pruned() -> None:
    net = Net(4)
    c = net.op("exp", net.op("transpose", net.constant(4, 1), perm=(1, 0)))
    net.op("tanh", net.x)
    graph = net.graph(net.op("add", net.x, c))
    assert [o.kind for o in prune(fold(graph)).operators] == ["add"]
    assert kinds(graph)


def test_too_costly_constants_are_left_to_run_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebuild.kernels.fold.LIMIT_WORK", 10)
    net = Net(4)
    c = net.op("dense", net.constant(4, 4), net.constant(4, 4))
    graph = net.graph(net.op("add", net.x, c))
    assert [o.kind for o in fold(graph).operators] == ["dense", "add"]


def test_views_cost_nothing_even_as_an_output() -> None:
    net = Net(2, 3, 4)
    y = net.op("reshape", net.op("exp", net.op("reshape", net.x, shape=(6, 4))), shape=(24,))
    assert kinds(net.graph(y)) == ["elementwise"]
    net = Net(2, 3, 4)
    assert kinds(net.graph(net.op("reshape", net.x, shape=(24,)))) == ["copy"]


def test_elementwise_after_a_reshape_is_still_fused() -> None:
    net = Net(2, 3, 8)
    y = net.op("dense", net.x, net.constant(16, 8))
    y = net.op("reshape", y, shape=(2, 3, 4, 4))
    y = net.op("mul", y, net.constant(4, 4))
    assert kinds(net.graph(y)) == ["dense"]
    net = Net(2, 3, 8)
    y = net.op("reshape", net.op("dense", net.x, net.constant(16, 8)), shape=(6, 4, 4))
    y = net.op("mul", y, net.constant(4, 1))  # varies along half of the channels
    assert kinds(net.graph(y)) == ["dense", "elementwise"]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_refitted_operand_broadcasts_to_the_same_values(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4)))
    operand = tuple(n if data.draw(st.booleans()) else 1 for n in shape)
    cut = data.draw(st.integers(0, len(shape)))
    target = (int(np.prod(shape[:cut])), int(np.prod(shape[cut:])))
    fitted = refit(operand, shape, target)
    if fitted is None:
        return
    values = np.arange(np.prod(operand)).reshape(operand)
    np.testing.assert_array_equal(
        np.broadcast_to(values, shape).reshape(target),
        np.broadcast_to(values.reshape(fitted), target),
    )


def test_transposes_around_matrix_products_become_strides() -> None:
    net = Net(1, 6, 32)
    halves = [net.op("dense", net.x, net.constant(32, 32)) for _ in range(3)]
    q, k, v = (net.op("reshape", h, shape=(1, 6, 4, 8)) for h in halves)
    q, v = (net.op("transpose", h, perm=(0, 2, 1, 3)) for h in (q, v))
    k = net.op("transpose", k, perm=(0, 2, 3, 1))
    scores = net.op("matmul", q, k, transpose_left=False, transpose_right=False)
    scores = net.op("mul", scores, net.constant(1))
    scores = net.op("softmax", scores, beta=1.0)
    mixed = net.op("matmul", scores, v, transpose_left=False, transpose_right=False)
    y = net.op("reshape", net.op("transpose", mixed, perm=(0, 2, 1, 3)), shape=(1, 6, 32))
    assert kinds(net.graph(y)) == ["dense", "dense", "dense", "matmul", "softmax", "matmul"]


def test_layer_normalisation_is_recognised() -> None:
    net = Net(2, 5, 16)
    mean = net.op("mean", net.x, axes=(2,), keep_dims=True)
    centred = net.op("sub", net.x, mean)
    two = net.b.constant("two", np.float32(2.0).reshape(()))
    tiny = net.b.constant("tiny", np.float32(1e-5).reshape(()))
    variance = net.op("mean", net.op("pow", centred, two), axes=(2,), keep_dims=True)
    y = net.op("div", centred, net.op("sqrt", net.op("add", variance, tiny)))
    y = net.op("add", net.op("mul", y, net.constant(16)), net.constant(16))
    assert kinds(net.graph(y)) == ["layer_norm"]


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("relu", {}),
        ("pad", {"before": (0, 1, 0, 2), "after": (0, 0, 1, 0), "value": 0.5}),
        ("slice", {"begin": (0, 1, 0, 1), "size": (1, 2, 3, 2), "stride": (1, 1, 1, 2)}),
        ("mean", {"axes": (1, 3), "keep_dims": True}),
        ("mean", {"axes": (2, 3), "keep_dims": False}),
        ("reduce_max", {"axes": (0, 2), "keep_dims": False}),
        ("softmax", {"beta": 1.0}),
    ],
)
def test_transposes_sink_through(kind: str, attributes: dict[str, Any]) -> None:
    net = Net(1, 4, 4, 5)
    y = net.op(kind, net.op("transpose", net.x, perm=(0, 3, 1, 2)), **attributes)
    assert kinds(net.graph(y))


def test_transposes_sink_through_sums_and_joins_until_they_meet() -> None:
    net = Net(1, 4, 4, 6)
    a = net.op("transpose", net.op("exp", net.x), perm=(0, 3, 1, 2))
    b = net.op("transpose", net.op("tanh", net.x), perm=(0, 3, 1, 2))
    y = net.op("add", a, b)
    y = net.op("mul", y, net.constant(6, 1, 1))
    y = net.op("concat", y, a, axis=1)
    y = net.op("transpose", y, perm=(0, 2, 3, 1))
    found = layout.propagate(net.graph(y))
    assert "transpose" not in {o.kind for o in found.operators}
    assert kinds(net.graph(y))


def test_transposes_of_unequal_branches_are_made() -> None:
    net = Net(1, 4, 4, 4)
    a = net.op("transpose", net.x, perm=(0, 3, 1, 2))
    assert kinds(net.graph(net.op("add", a, net.x)))
    assert kinds(net.graph(net.op("concat", a, net.x, axis=1)))
    assert kinds(net.graph(net.op("add", a, net.constant(2, 4, 4, 4))))


@pytest.mark.parametrize("int8", [False, True])
def test_whole_networks_keep_their_values(tmp_path: Path, int8: bool) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite(mobilenet_v2(32, 0.25, classes=10), int8=int8))
    graph = importer.load(path)
    fused = kinds(graph, exact=int8)
    assert len(fused) < len(lower(graph).calls)
    assert "elementwise" not in fused  # residual additions are epilogues


def test_empty_values_need_no_kernels() -> None:
    net = Net(0, 4)
    graph = net.graph(net.op("exp", net.x))
    assert optimise(graph).calls == ()
    assert interpreter.outputs(graph, [np.zeros((0, 4), np.float32)])[0].shape == (0, 4)


def test_scalars_have_rank_zero() -> None:
    net = Net()
    assert kinds(net.graph(net.op("exp", net.x))) == ["elementwise"]
