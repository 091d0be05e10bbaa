# SPDX-License-Identifier: Apache-2.0
"""``edgebuild bench``: timing beside other runtimes, statistics and tables."""

import ctypes
import importlib.util
import io
import json
import os
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgebuild.errors import EdgebuildError
from edgebuild.host.processor import this_processor
from edgebuild.kernels import bench, bench_build, bench_table, bench_worker, hostcpu
from tests.tflite_writer import Writer
from tests.unit.bench_helpers import CARD, CPU, MACHINE, compile_toy


@pytest.fixture
def toy(monkeypatch):
    """The compiler replaced by a hand-made bundle."""
    monkeypatch.setattr(bench_build.bundle, "compile", compile_toy)


@pytest.fixture
def twin(tmp_path) -> Path:
    """The toy network, x + x + 1, as a TensorFlow Lite file."""
    writer = Writer()
    shape = (1, 1024)
    values = [writer.tensor(f"value_{n}", shape, "float32") for n in range(3)]
    one = writer.tensor("one", (1,), "float32", data=np.float32([1]))
    writer.operator("add", [values[0], values[0]], [values[1]], activation=0)
    writer.operator("add", [values[1], one], [values[2]], activation=0)
    path = tmp_path / "toy.tflite"
    path.write_bytes(writer.finish([values[0]], [values[2]]))
    return path


def host() -> object:
    return hostcpu.describe(this_processor())


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the toy is compiled for x86-64")
def test_run_measures_us_and_a_peer(toy, twin, tmp_path):
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("ai-edge-litert is not installed")
    told: list[str] = []
    result = bench.run(
        [twin], cpu=host(), work=tmp_path, machine=MACHINE, against=["litert"], seconds=0.01,
        tell=told.append,
    )  # fmt: skip
    assert told == [f"{what} {twin.name} (1 of 1)" for what in ("compile", "time")]
    (row,) = result["models"]
    assert set(row["runtimes"]) == {"edgebuild", "litert"}
    assert row["difference"] == {"litert": pytest.approx(0, abs=1e-6)}
    for each in row["runtimes"].values():
        assert each["min_s"] > 0
        assert each["median_s"] <= each["p99_s"]
        assert each["samples"] >= bench_worker.MIN_SAMPLES
    ratio = row["runtimes"]["litert"]["median_s"] / row["runtimes"]["edgebuild"]["median_s"]
    assert row["speedup"] == pytest.approx(ratio)
    assert result["geometric_mean"] == pytest.approx(ratio)
    assert [each["name"] for each in row["layers"]] == ["double", "increase"]
    text = bench_table.table(result)
    assert "litert" in text
    assert "increase" in text
    assert "geometric mean" in text


@pytest.fixture
def twins(twin, tmp_path) -> dict[str, dict[str, str]]:
    """The contestants of the toy: both formats, where their runtimes are installed."""
    node = helper.make_node
    nodes = [node("Add", ["x", "x"], ["two"]), node("Add", ["two", "one"], ["y"])]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1024]) for name in "xy"]
    one = helper.make_tensor("one", onnx.TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(nodes, "toy", ends[:1], ends[1:], [one])
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "toy.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    )
    files = {"litert": twin, "onnxruntime": path}
    installed = {name for name in files if importlib.util.find_spec(bench.PEERS[name][0])}
    return {name: {"path": str(files[name])} for name in sorted(installed)}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the toy is compiled for x86-64")
def test_worker(twins, tmp_path, monkeypatch, capsys):
    compile_toy(tmp_path / "toy.tflite", host(), tmp_path, name="toy")
    built = bench_build.link("toy", tmp_path)
    ours = {"path": str(built.library), "profile": str(built.profile), "card": CARD}
    model = {"name": "toy", "seed": 1, "seconds": 0.001, "threads": 1}
    job = {**model, "contestants": {"edgebuild": ours, **twins}}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(job)))
    monkeypatch.setattr(bench_worker, "PROFILE_ROUNDS", 2)
    before = os.sched_getaffinity(0)
    try:
        assert bench_worker.main() == 0
    finally:
        os.sched_setaffinity(0, before)
    answer = json.loads(capsys.readouterr().out)
    assert set(answer["samples_ns"]) == {"edgebuild", *twins}
    for kept in (answer["samples_ns"], answer["walls_ns"]):
        assert all(len(each) >= bench_worker.MIN_SAMPLES for each in kept.values())
    assert answer["difference"] == {name: pytest.approx(0, abs=1e-6) for name in twins}
    assert [len(each) for each in answer["layers_ns"]] == [2, 2]


def test_disturbed_rounds_are_measured_again(monkeypatch):
    stolen = [1.5, 1.0, 1.0, 3.0, 1.0]

    class Bundle:
        def __init__(self, *_: object) -> None:
            self.rounds = iter(stolen)

        def run(self, _repetitions: int) -> bench_worker.Spent:
            return bench_worker.Spent(1000, 1000)

        def profile(self, repetitions: int, operators: int) -> tuple[object, list[float]]:
            wall = next(self.rounds)
            return bench_worker.Spent(1000, int(1000 * wall)), [wall] * operators

    monkeypatch.setattr(bench_worker, "Bundle", Bundle)
    monkeypatch.setattr(bench_worker, "PROFILE_ROUNDS", 3)
    assert bench_worker.layers("", {"operators": [{}]}, [], 1) == [[1.0]] * 3
    stolen[:] = [2.0] * 11 + [1.5]  # never quiet: the least disturbed
    assert bench_worker.layers("", {"operators": [{}]}, [], 1) == [[1.5], [2.0], [2.0]]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the toy is compiled for x86-64")
def test_a_bundle_that_fails_stops_the_worker(tmp_path):
    compile_toy(tmp_path / "toy.tflite", host(), tmp_path, name="toy")
    built = bench_build.link("toy", tmp_path)
    bundle = bench_worker.Bundle(str(built.profile), CARD, [np.zeros((1, 1024), np.float32)])
    inputs, outputs, _ = bundle._arguments
    bundle._arguments = (inputs, outputs, ctypes.c_void_p(0))
    with pytest.raises(RuntimeError, match="-1"):
        bundle.run(1)
    with pytest.raises(RuntimeError, match="-1"):
        bundle.profile(1, 2)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the toy is compiled for x86-64")
def test_run_alone(toy, tmp_path):
    result = bench.run(
        [bench.Case(path=Path("toy.onnx"))],
        cpu=host(),
        work=tmp_path,
        machine=MACHINE,
        threads=2,
        seconds=0.01,
    )
    assert result["models"][0]["speedup"] is None
    assert result["geometric_mean"] is None
    assert "2 threads" in bench_table.table(result)


def test_unknown_peer(tmp_path):
    with pytest.raises(EdgebuildError, match="tensorrt") as error:
        bench.run([], cpu=CPU, work=tmp_path, machine=MACHINE, against=["tensorrt"])
    assert error.value.kind.code == "E280"


def test_missing_peer(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EdgebuildError) as error:
        bench.require_peers(["litert"])
    assert error.value.kind.code == "E281"
    assert error.value.hint == "pip install ai-edge-litert"


def test_case_finds_the_file_of_a_format():
    case = bench.Case(path=Path("a.tflite"), twin=Path("b.onnx"))
    assert case.file(".onnx") == Path("b.onnx")
    assert case.file(".tflite") == Path("a.tflite")
    assert case.file(".gguf") is None


def test_statistic():
    numbers = bench.statistic([float(n) for n in range(1, 201)], [3.0, 2.0])
    assert numbers == {"median_s": 100.5e-9, "p99_s": 198e-9, "min_s": 2e-9, "samples": 200}


def test_summarise_compares_with_the_best_peer():
    samples = {
        "name": "toy",
        "samples_ns": {"edgebuild": [100.0], "litert": [300.0], "onnxruntime": [200.0]},
        "walls_ns": {"edgebuild": [100.0], "litert": [300.0], "onnxruntime": [200.0]},
        "difference": {"litert": 0.0, "onnxruntime": 1.0},
        "absent": {},
        "layers_ns": [[60.0, 40.0]],
    }
    row = bench.summarise(samples, CARD, MACHINE)
    assert row["speedup"] == row["speedup_min"] == pytest.approx(2)
    assert row["runtimes"]["litert"]["operations_per_s"] == pytest.approx(2 * 1024 / 300e-9)
    assert [each["median_s"] for each in row["layers"]] == [60e-9, 40e-9]
    assert row["roofline_share"] == pytest.approx(4 * 4096 / 100e9 / 100e-9)
    faster = replace(MACHINE, bandwidth=((1e6, 200e9),))
    half = bench.summarise(samples, CARD, faster)["roofline_share"]
    assert half == pytest.approx(row["roofline_share"] / 2)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2, "2.00 s"),
        (0.0123, "12.3 ms"),
        (1.5e-4, "150 µs"),
        (1.234e-6, "1.23 µs"),
        (5e-8, "50 ns"),
    ],
)
def test_duration(seconds, text):
    assert bench_table.duration(seconds) == text


def test_bar_marks_the_roofline():
    assert bench_table.bar(1.0, 0.5) == "█" * 6 + "|" + "█" * 5
    assert bench_table.bar(0.0, 1.0) == "|"
    assert bench_table.bar(0.5, 2.0) == "█" * 5 + "|"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1234, "1.23k"),
        (45_600, "45.6k"),
        (999_960, "1.00M"),
        (2e9, "2.00G"),
    ],
)
def test_sizes_have_three_digits(count, text):
    assert bench_table.size(count) == text


def test_tables_of_long_names_fit_in_100_columns():
    layer = {
        "name": "/encoder/layer.11/attention/self/query/MatMul_quant", "kind": "depthwise2d",
        "median_s": 12.3e-6, "p99_s": 456e-6, "predicted_s": 11.1e-6, "bound": "memory",
        "operations_per_s": 123e9, "bytes_moved": 123456, "roofline_share": 0.57,
    }  # fmt: skip
    row = {"name": "m" * 80, "layers": [layer, {**layer, "name": "a"}], "predicted_s": 1e-3}
    text = bench_table.layers(row)
    table = text.splitlines()[1:4]
    assert max(map(len, table)) <= 100
    assert "…" in table[1]
    assert "/MatMul_quant" in table[1]
    runtime = {"median_s": 123e-6, "p99_s": 456e-6, "min_s": 99.9e-6, "operations_per_s": 123e9}
    runtimes = {"edgebuild": runtime, "onnxruntime": runtime}
    whole = {"name": "m" * 80, "runtimes": runtimes, "bytes_moved": 10**8, "roofline_share": 1.04}
    text = bench_table.models([{**whole, "difference": {"onnxruntime": 1.234e-5}, "absent": {}}])
    assert max(map(len, text.splitlines())) <= 100
    assert "  onnxruntime" in text


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int64"])
def test_random_input(dtype):
    values = bench_worker.random_input(np.random.default_rng(1), [3, 100], dtype)
    assert values.dtype == dtype
    assert values.shape == (3, 100)
    if dtype == "int8":
        assert values.min() < -100 < 100 < values.max()
    if dtype == "int64":
        assert set(np.unique(values)) == {0, 1}


def test_twin_value():
    image = np.arange(12, dtype=np.int8).reshape(1, 2, 2, 3)
    planes = bench_worker.twin_value(image, [1, 3, 2, 2], "tensor(uint8)")
    assert planes.dtype == np.uint8
    assert planes[0, 1, 0, 1] == int(image[0, 0, 1, 1]) + 128
    assert bench_worker.twin_value(image, [1, 2, 2, 3], "tensor(int8)") is image


def test_difference():
    assert bench_worker.difference([np.float32([1, 2])], [np.float32([1, 4])]) == 2
    assert bench_worker.difference([np.zeros((2, 3))], [np.zeros(6)]) == 0
    assert bench_worker.difference([np.zeros(2)], [np.zeros(3)]) == float("inf")
    assert bench_worker.difference([], []) == 0
    assert bench_worker.difference([np.zeros(2, np.int8)], [np.zeros(2)]) is None


def test_interleave_takes_turns():
    order = []

    def contestant(name: str, cost_ns: int) -> bench_worker.Contestant:
        def run(repetitions: int) -> bench_worker.Spent:
            order.append(name)
            return bench_worker.Spent(cost_ns * repetitions, 2 * cost_ns * repetitions)

        return bench_worker.Contestant(run=run, outputs=list)

    both = {"a": contestant("a", 1000), "b": contestant("b", 10_000_000)}
    bench_worker.interleave(both, 0)
    tail = order[-4 * bench_worker.MIN_SAMPLES :]
    assert tail == ["a", "a", "b", "b"] * bench_worker.MIN_SAMPLES
    assert both["a"].repetitions == 50
    assert both["b"].repetitions == 1
    assert both["a"].samples_ns == [1000.0] * bench_worker.MIN_SAMPLES
    assert both["a"].walls_ns == [2000.0] * bench_worker.MIN_SAMPLES


@pytest.mark.parametrize("threads", [1, 2])
def test_timed_takes_off_the_loop(threads):
    """What the wall says is up to who else is there; an empty call takes next to nothing."""
    calls = []
    spent = bench_worker.timed(lambda: calls.append(1), threads)(100)
    assert len(calls) == 100
    if threads == 1:
        assert spent.own_ns < 1_000_000


def test_a_peer_that_reads_no_such_file_is_said_to(twin, tmp_path, monkeypatch):
    """The model is measured nevertheless."""
    case = bench.Case(path=twin)
    assert bench._unread(case, ["litert", "onnxruntime"]) == {"onnxruntime": "reads .onnx"}

    def refuse(*_: object) -> object:
        raise RuntimeError("no such\n operator")

    monkeypatch.setitem(bench_worker.RUNTIMES, "litert", refuse)
    ours = bench_worker.Contestant(run=lambda n: bench_worker.Spent(n, n), outputs=list)
    monkeypatch.setattr(bench_worker, "Bundle", lambda *_: ours)
    monkeypatch.setattr(bench_worker, "layers", lambda *_: [])
    contestants = {"edgebuild": {"path": "", "profile": "", "card": CARD}, "litert": {"path": ""}}
    model = {"name": "toy", "seed": 1, "seconds": 0.0, "threads": 1, "contestants": contestants}
    found = bench_worker.measure(model)
    assert found["absent"] == {"litert": "no such operator"}
    assert set(found["samples_ns"]) == {"edgebuild"}
    runtime = {"median_s": 1e-6, "p99_s": 1e-6, "min_s": 1e-6, "operations_per_s": 0.0}
    row = {"name": "toy", "runtimes": {"edgebuild": runtime}, "bytes_moved": 0, **found}
    text = bench_table.models([{**row, "roofline_share": 0.5}])
    assert "toy: no litert, which says: no such operator" in text
