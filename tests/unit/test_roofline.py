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

NEAR = 100e9 * roofline.NEAR


def call_s(footprint_bytes: float) -> float:
    return roofline.CALL_CYCLES / 2e9 + roofline.CODE_BYTES / MACHINE.bytes_per_s(footprint_bytes)


def operator(work: dict[str, object] | None = None, **facts: object) -> dict[str, object]:
    base = {"rows": 0, "columns": 0, "products": 0, "stretch": 1, "reads": 0, "runs": 0}
    return {
        "name": "op",
        "kind": "conv2d",
        "macs": 0,
        "bytes_moved": 0,
        "weights_read_bytes": 0,
        "work": {**base, "functions": {}, "arithmetic": "float32", **(work or {})},
        **facts,
    }


def cycles(row: dict[str, object]) -> float:
    return roofline.compute_s(row, MACHINE) * MACHINE.clock_hz


def test_multiply_adds_at_the_peak():
    row = operator({"rows": 100, "columns": 64, "products": 5000}, macs=32_000_000)
    assert roofline.counts(row, MACHINE).product == pytest.approx(1e-3 * 2e9)
    assert roofline.at_best(row, MACHINE, 0) == pytest.approx(1e-3)
    seconds, bound = roofline.operator_time(row, MACHINE, 1024)
    assert bound == "compute"
    assert 0.9e-3 < seconds < 1.3e-3


def test_int8_has_its_own_peak_and_whole_groups_of_products():
    work = {"rows": 1, "columns": 8, "arithmetic": "int8"}
    nine = operator({**work, "products": 27, "stretch": 9})
    twelve = operator({**work, "products": 36, "stretch": 12})
    assert roofline.counts(nine, MACHINE) == roofline.counts(twelve, MACHINE)
    assert roofline.counts(twelve, MACHINE).product == pytest.approx(8 * 36 / 64e9 * 2e9)
    # a depthwise convolution has its products one by one
    one = operator({**work, "products": 9, "stretch": 1})
    assert roofline.counts(one, MACHINE).product == pytest.approx(8 * 9 / 64e9 * 2e9)
    row = operator({"arithmetic": "int8"}, macs=64_000_000)
    assert roofline.at_best(row, MACHINE, 0) == pytest.approx(1e-3)


def test_a_partly_filled_vector_costs_as_much_as_a_full_one():
    full = roofline.counts(operator({"rows": 3, "columns": 8, "products": 5}), MACHINE)
    part = roofline.counts(operator({"rows": 3, "columns": 7, "products": 5}), MACHINE)
    more = roofline.counts(operator({"rows": 3, "columns": 9, "products": 5}), MACHINE)
    assert part == full
    assert (full.result, more.result) == (3, 6)


def test_functions_cost_for_each_vector_of_results():
    plain = operator({"rows": 10, "columns": 16})
    both = operator({"rows": 10, "columns": 16, "functions": {"erf": 2, "unheard of": 1}})
    more = 2 * roofline.FUNCTIONS["erf"] + roofline.OTHER_FUNCTION
    assert cycles(both) - cycles(plain) == pytest.approx(20 * more)


def test_reads_and_walks():
    costs = roofline.COSTS["softmax", "float32"]
    row = operator({"rows": 3, "columns": 16, "reads": 48, "runs": 3}, kind="softmax")
    expected = 6 * costs.result + 6 * costs.read + 3 * costs.run
    assert cycles(row) == pytest.approx(expected)


def test_an_unknown_family_has_costs_too():
    assert cycles(operator({"rows": 1, "columns": 8}, kind="new")) > 0


def test_weights_stream_from_where_the_whole_model_lies():
    row = operator(bytes_moved=20_000, weights_read_bytes=20_000)
    near, _ = roofline.operator_time(row, MACHINE, 30_000)
    far, bound = roofline.operator_time(row, MACHINE, 10**7)
    assert bound == "memory"
    streamed = 20_000 / 10e9 - 20_000 / NEAR
    waited = roofline.costs_of(row).far * streamed
    assert far - call_s(10**7) == pytest.approx(20_000 / NEAR + waited)
    assert near < far


def test_activations_stream_from_where_they_lie():
    seconds, bound = roofline.operator_time(operator(bytes_moved=200_000), MACHINE, 10**7)
    assert bound == "memory"
    assert seconds == pytest.approx(200_000 / 40e9 + call_s(10**7))


def test_activations_come_from_beyond_all_that_was_used_since():
    row = operator(bytes_moved=3000, activations=[[2000, 30_000], [1000, 10**7]])
    near, far = roofline.traffic_s(row, MACHINE, 0)
    assert near + far == pytest.approx(2000 / 100e9 + 1000 / 10e9)
    assert near == pytest.approx(2000 / 100e9 + 1000 / NEAR)


def test_weights_that_are_read_again_are_nearer_by_then():
    row = operator({"passes": 4}, bytes_moved=20_000, weights_read_bytes=20_000)
    far, near = 20_000 / 10e9, 20_000 / 100e9
    assert sum(roofline.traffic_s(row, MACHINE, 10**7)) == pytest.approx(far + 3 * near)


def test_rows_that_are_read_again_cost_where_the_first_cache_has_lost_them():
    kept = operator({"again": [[1000, 30_000]]})
    lost = operator({"again": [[1000, 10**7]]})
    assert roofline.again_s(kept, MACHINE) == 0
    assert roofline.again_s(lost, MACHINE) == pytest.approx(1000 / 10e9 - 1000 / 100e9)
    one, _ = roofline.operator_time(kept, MACHINE, 0)
    two, _ = roofline.operator_time(lost, MACHINE, 0)
    again = roofline.again_s(lost, MACHINE) * roofline.AGAIN / 100
    assert two - one == pytest.approx(again)


def test_loads_may_take_longer_than_the_products_that_they_are_for():
    work = {"rows": 10, "columns": 16, "products": 9}
    few = roofline.counts(operator({**work, "loads": 1}), MACHINE)
    many = roofline.counts(operator({**work, "loads": 20}), MACHINE)
    assert few == roofline.counts(operator(work), MACHINE)
    assert many.product == pytest.approx(20 * 20 * 32 / 100e9 * 2e9)
    # a vector that is not aligned lies on two lines: each time if it is as long as a line
    work["columns"] = 15
    across = roofline.counts(operator({**work, "loads": 20}), MACHINE)
    assert across.product == pytest.approx(1.5 * many.product)


@pytest.mark.parametrize(
    ("columns", "tail", "vectors"),
    [(16, None, 2), (15, None, 2), (15, "pieces", 4), (8, "pieces", 1), (0, "pieces", 0),
     (15, "twice", 2), (7, "twice", 2), (4, "twice", 1), (0, "twice", 0)],
)  # fmt: skip
def test_what_remains_of_a_row(columns, tail, vectors):
    assert roofline.vectors_across(columns, 8, tail) == vectors


def test_pieces_are_read_as_they_are_written():
    row = operator({"rows": 2, "columns": 15, "reads": 30, "tail": "pieces"})
    counts = roofline.counts(row, MACHINE)
    assert (counts.result, counts.read) == (8, 8)


def test_between_sizes_that_are_near_one_another_the_rate_changes_evenly():
    sizes = ((1000.0, 8e9), (2000.0, 4e9), (1e6, 1e9))
    limits = dataclasses.replace(MACHINE, bandwidth=sizes)
    assert limits.bytes_per_s(1000) == 8e9
    assert 1 / limits.bytes_per_s(1500) == pytest.approx((1 / 8e9 + 1 / 4e9) / 2)
    assert [limits.bytes_per_s(size) for size in (2000, 2001, 1e7)] == [4e9, 1e9, 1e9]


def test_the_faster_half_hides_only_in_part():
    work = {"rows": 1000, "columns": 64, "products": 100}
    alone, _ = roofline.operator_time(operator(work), MACHINE, 0)
    both, _ = roofline.operator_time(operator(work, bytes_moved=1000), MACHINE, 0)
    traffic = 1000 / 100e9
    assert both - alone == pytest.approx((1 - roofline.costs_of(operator()).hidden) * traffic)


def test_a_tiny_operator_costs_a_call():
    seconds, bound = roofline.operator_time(operator(), MACHINE, 0)
    assert bound == "call"
    assert seconds == pytest.approx(call_s(0))


def test_a_call_in_a_large_model_waits_for_its_code():
    near, _ = roofline.operator_time(operator(), MACHINE, 1000)
    far, bound = roofline.operator_time(operator(), MACHINE, 10**7)
    assert bound == "call"
    assert far - near == pytest.approx(roofline.CODE_BYTES * (1 / 10e9 - 1 / 100e9))


def test_footprint_is_all_weights_and_the_largest_activations():
    rows = [
        operator(bytes_moved=150, weights_read_bytes=100),
        operator(bytes_moved=90, weights_read_bytes=20),
    ]
    assert roofline.footprint(rows) == 100 + 20 + 70
    assert roofline.footprint([]) == 0


def test_predict_from_a_profile():
    profile = profiles.load("rpi4", paths.data_dir() / "targets")
    work = {"rows": 1000, "columns": 64, "products": 750, "stretch": 750, "arithmetic": "int8"}
    row = operator(work, macs=48_000_000)
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


def test_a_machine_is_as_fast_as_it_was_seen():
    one = roofline_host.parse(PEAKS, CPU)
    two = roofline_host.parse(
        "clock_hz 3e9\nmacs_f32 1.3e11\nmacs_int8 3e11\nread_8192 3e11\nread_65536 5e11\n", CPU
    )
    found = roofline_host.best([one, two])
    assert found.clock_hz == 4e9
    assert found.macs_per_s == {"float32": 1.3e11, "int8": 4.8e11}
    assert found.bandwidth == ((8192.0, 4e11), (65536.0, 5e11))


def test_measure_compiles_and_runs(monkeypatch, tmp_path):
    commands = []

    def run(argv, **_):
        commands.append([str(each) for each in argv])
        return process.Completed(stdout=PEAKS.encode(), stderr=b"")

    monkeypatch.setattr(roofline_host.process, "run", run)
    cpu = dataclasses.replace(CPU, features=("+avxvnni",))
    assert roofline_host.measure(cpu, tmp_path).clock_hz == 4e9
    assert "-mcpu=x86_64_v3+avxvnni" in commands[0]
    assert commands[2:] == [[str(tmp_path / "peaks")]] * roofline_host.RUNS
