# SPDX-License-Identifier: Apache-2.0
"""Predicted times: arithmetic, traffic by cache level, and the cost of a call."""

import dataclasses

import pytest

from edgebuild.config import profiles
from edgebuild.errors import EdgebuildError
from edgebuild.host import paths, process
from edgebuild.kernels import roofline_host
from edgebuild.planning import roofline
from tests.unit.bench_helpers import CPU, MACHINE

CALL_S = roofline.CALL_CYCLES / 2e9


def operator(**facts: object) -> dict[str, object]:
    return {
        "name": "op",
        "kind": "conv2d",
        "macs": 0,
        "bytes_moved": 0,
        "weights_bytes": 0,
        "dtype": "float32",
        "output_shape": [1, 4, 4, 32],
        **facts,
    }


def test_arithmetic_and_finishing():
    row = operator(macs=32_000_000, bytes_moved=1024)
    seconds, bound = roofline.operator_time(row, MACHINE, 1024)
    assert bound == "compute"
    each_mac, each_vector = roofline.COSTS["conv2d", "float32"]
    vectors = 4 * 4 * 32 / 8
    assert seconds == pytest.approx(1e-3 * each_mac + vectors * each_vector / 2e9 + CALL_S)
    assert roofline.at_best(row, MACHINE, 1024) == pytest.approx(1e-3)


def test_an_int8_residual_costs_more():
    plain = operator(macs=1000, dtype="int8", fused="conv2d")
    both = operator(macs=1000, dtype="int8", fused="conv2d+add")
    alone = operator(macs=0, dtype="int8", kind="elementwise", fused="add")
    times = [roofline.operator_time(each, MACHINE, 0)[0] for each in (plain, both)]
    assert times[1] - times[0] == pytest.approx(4 * 4 * 4 * roofline.ADD_CYCLES / 2e9)
    unfused = operator(macs=0, dtype="int8", kind="elementwise")
    assert roofline.operator_time(alone, MACHINE, 0) == roofline.operator_time(unfused, MACHINE, 0)


def test_int8_has_its_own_peak():
    row = operator(macs=64_000_000, dtype="int8")
    assert roofline.at_best(row, MACHINE, 0) == pytest.approx(1e-3)


def test_a_partly_filled_vector_costs_as_much_as_a_full_one():
    full = roofline.operator_time(operator(macs=4000, output_shape=[4, 8]), MACHINE, 0)
    part = roofline.operator_time(operator(macs=1000, output_shape=[4, 2]), MACHINE, 0)
    assert part == full


def test_weights_stream_from_where_the_whole_model_lies():
    row = operator(bytes_moved=20_000, weights_bytes=20_000)
    near, _ = roofline.operator_time(row, MACHINE, 30_000)
    far, bound = roofline.operator_time(row, MACHINE, 10**7)
    assert bound == "memory"
    assert far - CALL_S == pytest.approx(20_000 / 10e9)
    assert near < far


def test_activations_stream_from_where_they_lie():
    row = operator(bytes_moved=200_000, output_shape=[1])
    seconds, bound = roofline.operator_time(row, MACHINE, 10**7)
    assert bound == "memory"
    assert seconds == pytest.approx(200_000 / 40e9 + CALL_S)


def test_a_tiny_operator_costs_a_call():
    seconds, bound = roofline.operator_time(operator(output_shape=[1]), MACHINE, 0)
    assert bound == "call"
    assert CALL_S <= seconds < 2 * CALL_S


def test_work_without_multiply_adds_goes_by_vectors():
    row = operator(kind="softmax", output_shape=[10, 16])
    seconds, _ = roofline.operator_time(row, MACHINE, 0)
    cycles = 10 * 2 * roofline.COSTS["softmax", "float32"][1]
    assert seconds == pytest.approx(cycles / 2e9 + CALL_S)


def test_footprint_is_all_weights_and_the_largest_activations():
    rows = [
        operator(bytes_moved=150, weights_bytes=100),
        operator(bytes_moved=90, weights_bytes=20),
    ]
    assert roofline.footprint(rows) == 100 + 20 + 70
    assert roofline.footprint([]) == 0


def test_predict_from_a_profile():
    profile = profiles.load("rpi4", paths.data_dir() / "targets")
    row = operator(macs=48_000_000, dtype="int8", output_shape=[1, 64])
    (answer,) = roofline.predict([row], profile)
    assert set(answer) == {"name", "kind", "macs", "bytes_moved", "time_s", "bound"}
    ideal = 48e6 / (profile.cpu.macs_per_cycle_int8 * profile.cpu.clock_mhz * 1e6)
    assert ideal < answer["time_s"] < 2 * ideal
    assert roofline.predict([], profile) == []


def test_machine_of_a_profile_slows_with_distance():
    limits = roofline.machine(CPU, 5e9)
    rates = [limits.bytes_per_s(size) for size in (1000, 100_000, 10**9)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 5e9
    assert roofline.machine(dataclasses.replace(CPU, vector_bits=0), 5e9).lanes == 1


PEAKS = "clock_hz 4e9\nmacs_f32 1.2e11\nmacs_int8 4.8e11\nread_65536 3e11\nread_8192 4e11\n"


def test_parse_measured_limits():
    found = roofline_host.parse(PEAKS, CPU)
    assert found.clock_hz == 4e9
    assert found.lanes == 8
    assert found.macs_per_s == {"float32": 1.2e11, "int8": 4.8e11}
    assert found.bandwidth == ((8192.0, 4e11), (65536.0, 3e11))
    assert found.bytes_per_s(10**9) == 3e11


@pytest.mark.parametrize(
    "text", ["", "clock_hz x\n", "a b c\n", PEAKS.split("read", maxsplit=1)[0]]
)
def test_measurement_that_says_something_else(text):
    with pytest.raises(EdgebuildError) as error:
        roofline_host.parse(text, CPU)
    assert error.value.kind.code == "E286"


def test_measure_compiles_and_runs(monkeypatch, tmp_path):
    commands = []

    def run(argv, **_):
        commands.append([str(each) for each in argv])
        return process.Completed(stdout=PEAKS.encode(), stderr=b"")

    monkeypatch.setattr(roofline_host.process, "run", run)
    cpu = dataclasses.replace(CPU, features=("+avxvnni",))
    assert roofline_host.measure(cpu, tmp_path).clock_hz == 4e9
    assert "-mcpu=x86_64_v3+avxvnni" in commands[0]
    assert commands[-1] == [str(tmp_path / "peaks")]
