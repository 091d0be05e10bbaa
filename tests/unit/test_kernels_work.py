# SPDX-License-Identifier: Apache-2.0
"""How much a kernel has to do, as the roofline is told."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgebuild.kernels import specs, work
from edgebuild.kernels.calls import Value
from edgebuild.kernels.emission import Strips, Tiles
from edgebuild.kernels.program import Operand, Program, Step

SUM = Operand(source="accumulator", shape=(), dtype="float32")
PLAIN = Program(operands=(SUM,), steps=())
CLAMPED = Program(
    operands=(SUM,),
    steps=(Step(function="clamp", arguments=(0,), numbers=(0, 6), dtype="float32"),),
)
BYTE = Operand(source="input", shape=(8,), dtype="int8")


def conv(kernel: int = 3, stride: int = 1, groups: int = 1, dtype: str = "float32") -> specs.Conv2d:
    return specs.Conv2d(
        input=(1, 16, 16, 12),
        output=(1, 16 // stride, 16 // stride, 20),
        window=specs.Window(kernel=(kernel, kernel), stride=(stride, stride)),
        groups=groups,
        dtype=dtype,
        epilogue=CLAMPED,
    )


def test_a_convolution():
    found = work.facts(conv(stride=2))
    assert (found["rows"], found["columns"], found["runs"]) == (64, 20, 8)
    assert (found["products"], found["stretch"], found["reads"]) == (108, 36, 16 * 16 * 12)
    assert found["functions"] == {"clamp": 1}
    assert found["arithmetic"] == "float32"
    grouped = work.facts(conv(groups=4))
    assert (grouped["rows"], grouped["columns"]) == (16 * 16 * 4, 5)
    assert (grouped["products"], grouped["stretch"]) == (27, 3)


def test_products_are_those_of_the_macs():
    rows = [
        conv(),
        conv(groups=4),
        specs.Dense(m=3, k=5, n=7, dtype="int8", epilogue=PLAIN),
        specs.Depthwise2d(
            input=(1, 8, 8, 6),
            output=(1, 8, 8, 6),
            window=specs.Window(kernel=(3, 3)),
            dtype="int8",
            epilogue=PLAIN,
        ),
        specs.Matmul(
            batch=(2,), m=3, k=5, n=7, dtype="float32", left_size=30, right_size=70,
            output_size=42, left_strides=(15, 5, 1), right_strides=(35, 7, 1),
            output_strides=(21, 7, 1), epilogue=PLAIN,
        ),
    ]  # fmt: skip
    for spec in rows:
        found = work.facts(spec)
        assert found["rows"] * found["columns"] * found["products"] == spec.macs


@pytest.mark.parametrize(("side", "count", "products"), [(2, 64, 48), (4, 16, 27)])
def test_tiles_have_fewer_products_and_their_transforms(side: int, count: int, products: int):
    tiles = Tiles(side=side, count=count, into=100, out=70, passes=3)
    found = work.winograd(conv(), tiles)
    assert found["family"] == "winograd"
    assert found["products"] == products
    assert found["reads"] == 100 * count * 12
    assert found["runs"] == 70 * count
    assert found["passes"] == 3


def test_tiles_that_stand_out_of_the_image_count_whole():
    tiles = Tiles(side=4, count=25, into=100, out=70, passes=1)
    assert work.winograd(conv(), tiles)["products"] == pytest.approx(27 * 25 / 16)


def slide(channels: int, stride: int = 1, dtype: str = "float32") -> specs.Depthwise2d:
    side = 10 // stride
    return specs.Depthwise2d(
        input=(1, 10, 10, channels), output=(1, side, side, channels),
        window=specs.Window(kernel=(3, 3), stride=(stride, stride), padding=(1, 1)),
        dtype=dtype, epilogue=PLAIN,
    )  # fmt: skip


def test_a_tile_of_columns_loads_less_and_rows_are_read_again():
    found = work.told(slide(8), Strips(columns=5, parts=1))
    # three rows of seven columns, nine weights and the bias, for five results
    assert found["loads"] == (3 * 7 + 9 + 1) / 5
    ((again, within),) = found["again"]
    assert again == 2 * 10 * 10 * 8 * 4
    assert within == (3 * 10 + 10) * 8 * 4
    ((again, _),) = work.told(slide(8, stride=2), Strips(columns=5, parts=1))["again"]
    assert again == 10 * 10 * 8 * 4 / 2


@pytest.mark.parametrize(("channels", "place"), [(512, 2048), (96, 128), (640, 640)])
def test_parts_of_the_channels_share_lines_of_the_cache(channels: int, place: int):
    ((_, within),) = work.told(slide(channels), Strips(columns=5, parts=4))["again"]
    assert within == 3 * 10 * place


def test_only_what_the_roofline_has_a_form_for_is_told():
    assert work.told(slide(8, dtype="int8"), Strips(columns=5, parts=1)) == {}
    assert work.told(slide(8), None) == {}


def test_functions_of_bytes_are_bytes_work():
    step = Step(function="lookup", arguments=(0, 1), dtype="int8")
    table = Operand(source="constant", shape=(256,), dtype="int8")
    spec = specs.Elementwise(shape=(3, 8), program=Program(operands=(BYTE, table), steps=(step,)))
    found = work.facts(spec)
    assert found["arithmetic"] == "int8"
    assert (found["rows"], found["columns"]) == (3, 8)
    empty = specs.Elementwise(shape=(), program=PLAIN)
    assert work.facts(empty)["columns"] == 1


def test_reductions_and_windows():
    kept = specs.Reduce(
        function="sum", input=(2, 5, 5, 12), axes=(1, 2), dtype="int8", epilogue=PLAIN
    )
    found = work.facts(kept)
    assert (found["rows"], found["columns"], found["reads"]) == (2, 12, 600)
    last = specs.Reduce(function="sum", input=(4, 9), axes=(1,), dtype="float32", epilogue=PLAIN)
    assert work.facts(last)["columns"] == 1
    assert (found["tail"], work.facts(last)["family"]) == ("pieces", "fold")
    pool = specs.Pool2d(
        function="average", input=(1, 6, 6, 8), output=(1, 3, 3, 8),
        window=specs.Window(kernel=(2, 2), stride=(2, 2)), dtype="float32", epilogue=PLAIN,
    )  # fmt: skip
    assert work.facts(pool)["reads"] == 3 * 3 * 8 * 4


def test_copies_by_vectors_or_one_by_one():
    shapes = {"shape": (4, 8), "dtype": "int8", "input_size": 32, "output_size": 32}
    rows = specs.Copy(**shapes, input_strides=(8, 1), output_strides=(8, 1))
    turned = specs.Copy(**shapes, input_strides=(1, 4), output_strides=(8, 1))
    assert work.facts(rows)["columns"] == 8
    assert work.facts(turned)["columns"] == 1
    pad = specs.Pad(input=(2, 2), output=(4, 4), before=(1, 1), value=0, dtype="int8")
    assert work.facts(pad)["reads"] == 16


@pytest.mark.parametrize("constant", [True, False])
def test_a_gather_reads_the_rows_that_it_looks_up(constant: bool):
    spec = specs.Gather(
        outer=1, size=1000, inner=64, count=10, dtype="float32", index_dtype="int64",
        constant=constant,
    )  # fmt: skip
    assert work.facts(spec)["rows"] == 10
    values = {
        "table": Value(name="table", shape=(1000, 64), dtype="float32"),
        "indices": Value(name="indices", shape=(10,), dtype="int64"),
        "rows": Value(name="rows", shape=(10, 64), dtype="float32"),
    }
    inputs = ("indices",) if constant else ("table", "indices")
    call = SimpleNamespace(spec=spec, inputs=inputs, output="rows")
    table = np.prod((1000, 64)) * 4 if constant else 0
    moved = work.moved(SimpleNamespace(values=values), call)
    assert sum(moved.values()) + work.constants_read(call, int(table)) == 2 * 10 * 64 * 4 + 10 * 8
    assert work.constants_read(call, int(table)) == (2560 if constant else 0)


def test_a_copy_moves_a_part_and_a_product_reads_one():
    values = {
        "a": Value(name="a", shape=(4, 64), dtype="float32"),
        "b": Value(name="b", shape=(4, 96), dtype="float32"),
    }
    copy = specs.Copy(
        shape=(4, 8), dtype="float32", input_size=256, output_size=384,
        input_strides=(64, 1), output_strides=(96, 1),
    )  # fmt: skip
    call = SimpleNamespace(spec=copy, inputs=("a",), output="b")
    assert work.moved(SimpleNamespace(values=values), call) == {"a": 128, "b": 128}
    heads = specs.Matmul(
        batch=(2,), m=4, k=8, n=4, dtype="float32", left_size=256, right_size=384,
        output_size=384, left_strides=(8, 64, 1), right_strides=(8, 1, 96),
        output_strides=(16, 4, 1), epilogue=PLAIN,
    )  # fmt: skip
    call = SimpleNamespace(spec=heads, inputs=("a", "b"), output="c")
    values["c"] = Value(name="c", shape=(2, 4, 4), dtype="float32")
    moved = work.moved(SimpleNamespace(values=values), call)
    assert moved == {"a": 256, "b": 256, "c": 128}


def test_softmax_and_normalisation_walk_rows():
    for spec in (
        specs.Softmax(rows=7, columns=30, dtype="int8"),
        specs.LayerNorm(rows=7, columns=30, epsilon=1e-5, epilogue=PLAIN),
    ):
        found = work.facts(spec)
        assert (found["rows"], found["columns"], found["runs"]) == (7, 30, 7)


def test_digits_are_products_of_bytes_and_have_to_be_made():
    spec = specs.Dense(m=2, k=64, n=7, dtype="float32", stored="int8", epilogue=PLAIN)
    plain, found = work.facts(spec), work.by_digits(spec, 3)
    assert found["products"] == 3 * plain["products"]
    assert (found["arithmetic"], found["reads"]) == ("int8", 4 * plain["reads"])
