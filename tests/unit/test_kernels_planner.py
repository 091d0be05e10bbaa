# SPDX-License-Identifier: Apache-2.0
"""The memory plan: nothing that lives together overlaps, and nothing is wasted needlessly."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import arena
from edgebuild.kernels import importer, planner, specs
from edgebuild.kernels.optimise import optimise
from edgebuild.kernels.placement import (
    ALIGNMENT,
    Block,
    Placed,
    extent,
    largest_gaps,
    live_bytes,
    place,
    place_in,
)
from edgebuild.model.graph import Graph
from tests.models_build import mobilenet_v1, mobilenet_v2, to_tflite, transformer
from tests.unit.test_kernels_passes import Net

MODELS = Path(os.environ["EDGEBUILD_TEST_MODELS"])

blocks = st.lists(
    st.tuples(st.integers(1, 5000), st.integers(0, 12), st.integers(0, 12)), max_size=30
).map(
    lambda rows: [
        Block(names=(f"v{n}",), size_bytes=size, first=min(a, b), last=max(a, b))
        for n, (size, a, b) in enumerate(rows)
    ]
)


def overlap(a: Placed, b: Placed) -> bool:
    together = a.block.first <= b.block.last and b.block.first <= a.block.last
    apart = a.offset + a.block.size_bytes <= b.offset or b.offset + b.block.size_bytes <= a.offset
    return together and not apart


@given(blocks)
@settings(max_examples=300, deadline=None)
def test_blocks_that_live_together_never_overlap(given_blocks: list[Block]) -> None:
    placed = place(given_blocks)
    assert {p.block.names for p in placed} == {b.names for b in given_blocks}
    assert all(p.offset % ALIGNMENT == 0 for p in placed)
    for number, one in enumerate(placed):
        assert not any(overlap(one, other) for other in placed[:number])


@given(blocks)
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_blocks_does_not_matter(given_blocks: list[Block]) -> None:
    a, b = place(given_blocks), place(given_blocks[::-1])
    assert {p.block.names: p.offset for p in a} == {p.block.names: p.offset for p in b}


@given(blocks)
@settings(max_examples=200, deadline=None)
def test_the_arena_is_at_least_the_peak_and_at_most_the_sum(given_blocks: list[Block]) -> None:
    peak = max(live_bytes(given_blocks, call) for call in range(13))
    total = sum(-(-b.size_bytes // ALIGNMENT) * ALIGNMENT for b in given_blocks)
    assert peak <= extent(place(given_blocks)) <= total


@given(blocks, st.integers(0, 12))
@settings(max_examples=200, deadline=None)
def test_a_block_of_the_largest_gap_fits_beside_the_others(
    given_blocks: list[Block], call: int
) -> None:
    placed = place(given_blocks)
    gap = largest_gaps(placed, 13, extent(placed))[call]
    assert gap <= extent(placed) - live_bytes(given_blocks, call)
    for size in (gap, gap + ALIGNMENT):
        scratch = Block(names=("scratch",), size_bytes=size, first=call, last=call)
        beside = place_in([scratch] if size else [], placed)
        assert not any(overlap(beside[-1], other) for other in beside[:-1])
        assert (extent(beside) == extent(placed)) is (size == gap)


def test_elementwise_calls_work_in_place() -> None:
    net = Net(1, 8, 8, 4)
    y = net.conv(net.x, 4)
    a = net.op("softmax", y, beta=1.0)
    b = net.op("add", net.op("exp", y), a)
    graph = net.graph(net.op("softmax", b, beta=1.0))
    found = planner.plan(optimise(graph))
    shared = [p.block.names for p in found.placed if len(p.block.names) > 1]
    assert len(shared) == 1


def test_an_input_or_a_constant_is_never_overwritten() -> None:
    net = Net(4, 16)
    graph = net.graph(net.op("softmax", net.op("exp", net.x), beta=1.0))
    found = planner.plan(optimise(graph))
    assert all(len(p.block.names) == 1 for p in found.placed)


def residual_network() -> Graph:
    """x -> a -> b, c = conv(b) + a, twice: a residual network's shape of life."""
    net = Net(1, 8, 8, 16)
    y = net.conv(net.x, 16)
    for _ in range(2):
        y = net.op("add", net.conv(net.conv(y, 16), 16), y)
    return net.graph(net.op("softmax", y, beta=1.0))


def test_a_sum_with_a_residual_is_written_over_it() -> None:
    lowered = optimise(residual_network())
    found = planner.arrange(lowered)
    fused = [n for n, call in enumerate(lowered.calls) if len(call.inputs) == 2]
    assert len(fused) == 2
    for number in fused:
        spec = lowered.calls[number].spec
        inputs = [a.name for a in spec.arguments() if a.role == "input"]
        assert found.over[number] == inputs[1] != "input"
    # the input of the second sum is not the one that its output takes over
    blocks = [p.block for p in found.placed]
    assert max(live_bytes(blocks, n) for n, _ in enumerate(lowered.calls)) == 2 * 4 * 1024


def test_what_is_free_beside_a_call_is_what_the_arena_has_left() -> None:
    net = Net(1, 8, 8, 4)
    y = net.conv(net.conv(net.conv(net.x, 32), 8), 4)
    lowered = optimise(net.graph(net.op("softmax", y, beta=1.0)))
    found = planner.arrange(lowered)
    scratch = list(found.free_bytes)
    assert min(scratch) == 0 < max(scratch)
    assert planner.plan(lowered, scratch, found).arena_bytes == planner.plan(lowered).arena_bytes


def test_what_sharing_saves_is_free_for_scratch() -> None:
    lowered = optimise(residual_network())
    found = planner.arrange(lowered)
    fused = [n for n, call in enumerate(lowered.calls) if len(call.inputs) == 2]
    assert all(found.free_bytes[n] >= 4096 for n in fused)


def test_an_attention_works_in_place_where_its_rows_are_in_order(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(transformer())
    lowered = optimise(importer.load(path))
    over = dict.fromkeys(
        (call.spec.kind, name)
        for call, name in zip(lowered.calls, planner.arrange(lowered).over, strict=True)
    )
    assert {("softmax", "input"), ("layer_norm", "input"), ("dense", "p1")} <= over.keys()
    # products of heads are written between those of others, gathers read from anywhere
    assert {name for kind, name in over if kind in ("matmul", "gather")} == {None}


def test_only_kernels_that_copy_their_input_write_over_it() -> None:
    net = Net(1, 8, 8, 16)
    y = net.op("conv2d", net.conv(net.x, 16), net.constant(16, 1, 1, 16), net.constant(16),
               stride=(1, 1), dilation=(1, 1), padding=(0, 0, 0, 0), groups=1)  # fmt: skip
    lowered = optimise(net.graph(net.op("softmax", y, beta=1.0)))
    assert "input" not in planner.arrange(lowered).over[:2]
    over = planner.arrange(lowered, lambda spec: isinstance(spec, specs.Conv2d)).over
    assert over[:2] == (None, "input")


def test_a_value_that_is_read_again_is_not_overwritten() -> None:
    net = Net(1, 8, 8, 16)
    a = net.conv(net.x, 16)
    b = net.op("add", net.conv(a, 16), a)
    lowered = optimise(net.graph(net.op("softmax", net.op("add", net.conv(b, 16), a), beta=1.0)))
    first = next(n for n, call in enumerate(lowered.calls) if len(call.inputs) == 2)
    assert planner.arrange(lowered).over[first] is None


def test_scratch_lives_during_its_call_alone() -> None:
    net = Net(1, 8, 8, 4)
    y = net.op("softmax", net.conv(net.conv(net.x, 4), 4), beta=1.0)
    lowered = optimise(net.graph(y))
    found = planner.plan(lowered, [1000, 0, 500])
    assert found.scratch[1] == -1
    assert found.scratch[0] >= 0
    rows = {row["tensor"]: row for row in found.table()}
    assert rows["scratch 0"]["first"] == rows["scratch 0"]["last"] == 0
    assert rows["scratch 2"]["bytes"] == 500


@pytest.mark.parametrize("file", ["ad01_int8", "kws_ref_model", "pretrainedResnet",
                                  "pretrainedResnet_quant"])  # fmt: skip
def test_values_take_no_more_than_tflite_plans(file: str) -> None:
    path = MODELS / f"{file}.tflite"
    if not path.exists():
        pytest.skip(f"{file} is not in EDGEBUILD_TEST_MODELS")
    graph = importer.load(path)
    assert planner.plan(optimise(graph)).arena_bytes <= arena.greedy(path)


@pytest.mark.parametrize("make", [mobilenet_v1, mobilenet_v2])
@pytest.mark.parametrize("int8", [False, True])
def test_networks_take_no_more_than_tflite_plans(tmp_path: Path, make: object, int8: bool) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite(make(96, 0.5, classes=10), int8=int8))  # type: ignore[operator]
    graph = importer.load(path)
    assert planner.plan(optimise(graph)).arena_bytes <= arena.greedy(path)


def test_float_buffers_of_the_caller_have_a_place_and_bytes_have_none(tmp_path: Path) -> None:
    for int8 in (False, True):
        path = tmp_path / "net.tflite"
        path.write_bytes(to_tflite(mobilenet_v1(32, 0.25, classes=4), int8=int8))
        graph = importer.load(path)
        offsets = planner.plan(optimise(graph)).offsets
        assert (graph.inputs[0] in offsets) is not int8
        assert (graph.outputs[0] in offsets) is not int8


def test_the_plan_is_the_same_every_time() -> None:
    path = MODELS / "pretrainedResnet_quant.tflite"
    if not path.exists():
        pytest.skip("the model is not in EDGEBUILD_TEST_MODELS")
    tables = [planner.plan(optimise(importer.load(path))).table() for _ in range(2)]
    assert tables[0] == tables[1]
    assert np.all([row["bytes"] > 0 for row in tables[0]])
