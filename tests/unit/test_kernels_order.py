# SPDX-License-Identifier: Apache-2.0
"""The order of the calls: a value is made before it is read, and lives no longer than it has to."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebuild.kernels import interpreter, planner
from edgebuild.kernels.calls import Lowered
from edgebuild.kernels.check import random_inputs
from edgebuild.kernels.fusion import fuse
from edgebuild.kernels.lowering import lower
from edgebuild.kernels.order import order
from edgebuild.model.graph import Graph
from tests.unit.test_kernels_passes import Net


def attention() -> Graph:
    """Weights that are wide, and values that are made before them and read after them."""
    net = Net(1, 8, 8, 8)
    x = net.op("exp", net.x)
    values = net.op("softmax", x, beta=0.5)
    weights = net.op("softmax", net.conv(net.conv(x, 64), 8), beta=1.0)
    found = net.op("add", net.op("add", net.conv(values, 8), weights), x)
    return net.graph(net.op("softmax", found, beta=1.0))


def arena(lowered: Lowered) -> int:
    return planner.plan(lowered).arena_bytes


def test_a_call_waits_for_its_reader() -> None:
    before = fuse(lower(attention()))
    after = order(before)
    assert arena(after) < arena(before)
    assert sorted(c.output for c in after.calls) == sorted(c.output for c in before.calls)
    outputs = [call.output for call in after.calls]
    values = before.calls[1].output
    reader = next(n for n, call in enumerate(after.calls) if values in call.inputs)
    assert outputs.index(values) == reader - 1 > 1


def test_an_order_that_gains_nothing_stays() -> None:
    net = Net(1, 8, 8, 8)
    y = net.conv(net.x, 8)
    lowered = fuse(lower(net.graph(net.op("softmax", net.op("add", net.conv(y, 8), y), beta=1.0))))
    assert order(lowered) is lowered


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.booleans()),
                min_size=1, max_size=12))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_network_computes_the_same_in_less(steps: list[tuple[int, int, bool]]) -> None:
    """Operators over whatever was made before, in any shape of life."""
    net = Net(1, 4, 4, 4)
    made = [net.x]
    for left, right, wide in steps:
        a, b = made[left % len(made)], made[right % len(made)]
        made.append(net.op("softmax", net.op("add", a, b), beta=1.0) if wide else net.conv(a, 4))
    graph = net.graph(made[-1])
    before = fuse(lower(graph))
    after = order(before)
    assert arena(after) <= arena(before)
    ready = {*graph.inputs, *(name for name, v in after.values.items() if v.data is not None)}
    for call in after.calls:
        assert {after.root(name) for name in call.inputs} <= {after.root(name) for name in ready}
        ready.add(call.output)
    inputs = random_inputs(graph, 1)
    found, wanted = (interpreter.run_lowered(one, inputs) for one in (after, before))
    for name in graph.outputs:
        np.testing.assert_array_equal(found[name], wanted[name])
