# SPDX-License-Identifier: Apache-2.0
"""Generated C, the model card, and what ``inspect`` prints; no compiler is needed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import compiler
from edgebuild.kernels import bundle, card, cputarget, driver, importer, inspect, planner
from edgebuild.kernels import check as kernel_check
from edgebuild.kernels.emission import CallCode, ConstantPool, Phase
from edgebuild.kernels.optimise import optimise
from edgebuild.kernels.tvm_worker import arrange, decode_cpu, encode_cpu, generate
from edgebuild.model.graph import Graph
from edgebuild.model.profile import Cache, Cpu
from tests.models_build import mobilenet_v2, to_onnx, to_tflite
from tests.unit.test_kernels_passes import Net

MODELS = Path(os.environ["EDGEBUILD_TEST_MODELS"])
CPU = Cpu(
    arch="x86_64", model="x86-64-v3", cores=1, clock_mhz=2000, vector_bits=256,
    cache=Cache(l1d_bytes=32768, l2_bytes=1 << 20), macs_per_cycle_f32=16, macs_per_cycle_int8=32,
)  # fmt: skip


def source(graph: Graph, cpu: Cpu = CPU) -> driver.Source:
    """As the worker makes it, with one phase per call and no real kernels."""
    lowered = optimise(graph)
    codes = tuple(
        CallCode(phases=(Phase(symbol=f"edge_net_k{n}", tasks=64),), constants_offset=-1,
                 constants_bytes=0, scratch_bytes=128 if n == 0 else 0)
        for n, _ in enumerate(lowered.calls)
    )  # fmt: skip
    plan = planner.plan(lowered, [code.scratch_bytes for code in codes])
    return driver.Source(name="net", lowered=lowered, codes=codes, plan=plan, pool_offsets={},
                         cpu=cpu)  # fmt: skip


def small() -> Graph:
    net = Net(1, 8, 8, 4)
    return net.graph(net.op("softmax", net.op("relu", net.conv(net.x, 4)), beta=1.0))


def test_the_header_says_everything_as_constants() -> None:
    text = driver.header(source(small()))
    for line in (
        "#define EDGE_NET_INPUT_0_SHAPE {1, 8, 8, 4}",
        "#define EDGE_NET_INPUT_0_TYPE float",
        "#define EDGE_NET_INPUT_0_BYTES 1024",
        "#define EDGE_NET_OUTPUTS 1",
        "int32_t edge_net_run(const void *const *inputs, void *const *outputs, void *arena);",
        "extern const char edge_net_card[];",
    ):
        assert line in text
    for name, (number, _) in driver.ERRORS.items():
        assert f"#define {name} ({number})" in text


def test_the_header_gives_quantisation(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite(mobilenet_v2(32, 0.25, classes=4), int8=True))
    graph = importer.load(path)
    text = driver.header(source(graph))
    found = graph.tensors[graph.inputs[0]].quantisation
    assert found is not None
    assert f"#define EDGE_NET_INPUT_0_ZERO_POINT ({found.zero_point[0]})" in text
    scale = next(x for x in text.splitlines() if "INPUT_0_SCALE" in x).split()[-1]
    assert float.fromhex(scale.removesuffix("f")) == found.scale[0]


def test_kernels_for_one_length_of_vectors_ask_for_it() -> None:
    known = dataclasses.replace(source(small()), vector_bytes=32)
    assert "#define EDGE_ERROR_VECTOR_LENGTH (-4)" in driver.header(known)
    text = driver.driver(known)
    body = text[text.index("int32_t edge_net_run(") :]
    assert body.index("return -2") < body.index("vector_bytes() != 32) return -4")
    assert body.index("return -4") < body.index("edge_net_k0(")
    assert "vector" not in driver.driver(source(small())).lower()
    assert "VECTOR" not in driver.header(source(small()))


def test_the_driver_calls_kernels_in_order_and_checks_first() -> None:
    text = driver.driver(source(small()))
    body = text[text.index("int32_t edge_net_run(") :]
    assert body.index("return -1") < body.index("return -2") < body.index("edge_net_k0(")
    assert body.index("edge_net_k0(") < body.index("edge_net_k1(")
    assert "EDGE_PROFILE_MARK(-1)" in body
    assert "EDGE_PROFILE_MARK(1)" in body
    assert "edge_parallel" not in text
    assert "malloc" not in text


def test_what_has_a_grain_is_shared() -> None:
    whole = source(small())
    first, *rest = whole.codes
    phases = tuple(replace(phase, grain=8) for phase in first.phases)
    shared = replace(whole, codes=(replace(first, phases=phases), *rest))
    assert "in_parallel(part_edge_net_k0" in driver.driver(shared)
    assert "in_parallel(part_edge_net_k1" not in driver.driver(shared)
    assert "in_parallel(part_" not in driver.driver(whole)


def generated(graph: Graph, cores: int) -> tuple[list[CallCode], list[str]]:
    """The codes of ``graph``, and the kernels' functions as text."""
    lowered, cpu = optimise(graph), replace(CPU, cores=cores)
    arrangement = arrange(lowered, cpu)
    codes, functions = generate(lowered, cpu, "net", ConstantPool(), arrangement)
    return codes, [str(f) for f in functions]


def test_many_cores_split_large_kernels_only() -> None:
    net = Net(1, 64, 64, 32)
    large = net.graph(net.op("softmax", net.conv(net.x, 64), beta=1.0))
    assert generated(large, 4)[0][0].phases[0].grain > 0
    codes, functions = generated(small(), 4)
    assert {p.grain for code in codes for p in code.phases} == {0}
    assert (codes, functions) == generated(small(), 1)


def test_what_is_not_split_is_written_for_one_core() -> None:
    """One layer of many is worth sharing: the others have all scratch for themselves."""
    net = Net(1, 8, 8, 16)
    x = net.conv(net.conv(net.x, 16, kernel=3), 16, kernel=3)
    codes = generated(net.graph(x), 4)
    assert codes == generated(net.graph(x), 1)
    assert codes[0][0].scratch_bytes > 0


def test_constants_are_kept_once() -> None:
    pool = ConstantPool()
    assert pool.add(b"") == -1
    assert (pool.add(b"abc"), pool.add(b"x" * 65), pool.add(b"abc")) == (0, 64, 0)
    assert pool.size == len(pool.bytes()) == 64 + 128


def test_the_card(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite(mobilenet_v2(32, 0.25, classes=10), int8=True))
    graph = importer.load(path)
    made = card.card(source(graph), 1000, 0)
    assert made["task"] == "classify"
    assert made["inputs"][0]["content"] == "image"
    assert made["inputs"][0]["dtype"] == "int8"
    assert made["digest"] == graph.digest
    assert made["macs"] == sum(row["macs"] for row in made["operators"])
    assert made["memory_plan"][0].keys() == {"tensor", "offset", "bytes", "first", "last"}
    again = json.loads(card.encode(made))
    assert json.loads(card.compact(made)) == {
        k: v for k, v in again.items() if k not in ("operators", "memory_plan")
    }


def test_only_a_row_of_probabilities_is_a_classifier() -> None:
    net = Net(4, 10)
    assert card.task(net.graph(net.op("softmax", net.x, beta=1.0))) == "infer"
    net = Net(1, 10)
    assert card.task(net.graph(net.op("tanh", net.x))) == "infer"
    y = net.op("softmax", net.x, beta=1.0)
    assert card.task(net.graph(net.op("reshape", y, shape=(10,)))) == "classify"
    assert card.task(net.graph(y, net.op("tanh", net.x))) == "infer"


def test_describe_counts(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(to_onnx(mobilenet_v2(32, 0.25, classes=10), int8=False))
    graph = importer.load(path)
    found = inspect.describe(graph)
    facts = inspect.facts(graph, CPU)
    json.dumps([found, facts])
    assert found["macs"] == facts["macs"] > 0
    assert found["parameters"] == facts["parameters"]
    assert found["kinds"]["conv2d"] > 10
    assert not found["quantised"]
    assert facts["cpu"] == {"arch": "x86_64", "model": "x86-64-v3", "features": ()}
    text = inspect.table(graph)
    assert "multiply-adds" in text
    assert "conv2d" in text
    after = inspect.optimised_table(graph)
    assert "kernel calls" in after
    before_and_after = inspect.optimised(graph)
    assert len(before_and_after["after"]) < len(before_and_after["before"])
    assert before_and_after["arena_bytes_after"] <= before_and_after["arena_bytes_before"]


def test_table_of_an_8_bit_model_shows_scales() -> None:
    path = MODELS / "kws_ref_model.tflite"
    if not path.exists():
        pytest.skip("the model is not in EDGEBUILD_TEST_MODELS")
    graph = importer.load(path)
    assert "scale 0.584703, zero point 83" in inspect.table(graph)
    assert "note: the batch size is fixed to 1" in inspect.table(graph)
    assert inspect.describe(graph)["quantised"]


def test_e212_unknown_processor(tmp_path: Path) -> None:
    cpu = replace(CPU, arch="vax")
    with pytest.raises(EdgebuildError) as caught:
        cputarget.triple(cpu)
    assert caught.value.kind.code == "E212"
    with pytest.raises(EdgebuildError) as caught:
        bundle.compile(tmp_path / "m.tflite", cpu, tmp_path, name="m")
    assert caught.value.kind.code == "E212"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "x86-64-v33"}, "x86-64-v3"),
        ({"features": ("+avx512foundation",)}, "LLVM's"),
        ({"features": ("avx2",)}, "LLVM's"),
    ],
)
def test_e212_what_llvm_would_pass_over_in_silence(change: dict[str, Any], told: str) -> None:
    from edgebuild.kernels.tir import isa

    isa.check(replace(CPU, features=("+avx512f", "-bmi2")))
    with pytest.raises(EdgebuildError) as caught:
        isa.check(replace(CPU, **change))
    assert caught.value.kind.code == "E212"
    assert told in str(caught.value.hint)


def test_processors_travel_to_the_worker_and_back() -> None:
    assert decode_cpu(encode_cpu(CPU)) == CPU


def test_errors_come_back_from_the_worker(tmp_path: Path) -> None:
    report = {"code": "E205", "message": "no", "where": "operator 3", "hint": None}
    bundle.raise_error(tmp_path / "error.json")
    (tmp_path / "error.json").write_text(json.dumps(report))
    with pytest.raises(EdgebuildError) as caught:
        bundle.raise_error(tmp_path / "error.json")
    assert caught.value.to_json() == report


def test_e211_no_bundle_of_this_model(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite(mobilenet_v2(32, 0.25, classes=4), int8=True))
    with pytest.raises(EdgebuildError) as caught:
        kernel_check.check(path, tmp_path, CPU, seed=1)
    assert caught.value.kind.code == "E211"


def test_inputs_are_seeded_and_indices_stay_in_their_table() -> None:
    net = Net(1, 6, dtype="int32")
    table = net.b.constant("table", np.zeros((9, 4), np.float32))
    graph = net.graph(net.op("gather", table, net.x, axis=0))
    first, again = kernel_check.random_inputs(graph, 4), kernel_check.random_inputs(graph, 4)
    np.testing.assert_array_equal(first[0], again[0])
    assert 2 < kernel_check.random_inputs(graph, 1)[0].max() < 9


def test_differences_are_judged_by_type() -> None:
    net = Net(4)
    tensor = net.b.tensors[net.x]
    expected = np.array([1, np.nan, np.inf, 100], np.float32)
    close = kernel_check._compare(tensor, expected + np.float32(1e-3), expected)
    assert close["passed"]
    far = kernel_check._compare(tensor, np.array([1, 0, np.inf, 100], np.float32), expected)
    assert not far["passed"]
    stored = replace(tensor, dtype="int8")
    assert not kernel_check._compare(stored, np.int8([1, 2]), np.int8([1, 3]))["passed"]


def test_names_of_any_letters_are_c_strings(tmp_path: Path) -> None:
    name = 'x"\\??/é\U0001f600\n'
    literal = driver._c_string(name)
    assert literal.isascii()
    assert literal.isprintable()
    size = len(name.encode()) + 1
    source = f'static const char n[] = {literal};\n_Static_assert(sizeof n == {size}, "");\n'
    (tmp_path / "n.c").write_text(source)
    flags = ["-std=c11", "-Wall", "-Werror", "-Wno-unused"]
    subprocess.run([*compiler.zig(), "cc", *flags, "-c", "n.c", "-o", "n.o"], cwd=tmp_path,
                   check=True)  # fmt: skip
