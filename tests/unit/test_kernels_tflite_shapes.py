# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite files whose batch is free: Keras computes shapes in them, we while reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.kernels.optimise import optimise
from tests.tools.one_operator import Case
from tests.unit.test_kernels_tflite import INT, compare, graph_of, one

Shape = tuple[int, ...]


class Free(Case):
    """A file made of several operators, most of whose tensors have a free extent."""

    def value(self, shape: Shape, dtype: str = "float32", *, free: Sequence[int] = ()) -> int:
        """A computed tensor; ``free`` are its extents with -1 where the file does not say."""
        return self.writer.tensor(
            f"t{len(self.writer._tensors)}", shape, dtype, signature=list(free)
        )

    def add(self, name: str, inputs: Sequence[int], output: int, **options: Any) -> int:
        self.writer.any(name, inputs, [output], **options)
        return output

    def number(self, *values: int) -> int:
        return self.constant(np.array(values, INT))

    def shape_of(self, value: int, rank: int) -> int:
        return self.add("SHAPE", [value], self.value((rank,), "int32"),
                        options="ShapeOptions", OutType=2)  # fmt: skip

    def batch_of(self, value: int, rank: int) -> int:
        """STRIDED_SLICE takes the first extent of a shape, as a number."""
        cut = [self.shape_of(value, rank), self.number(0), self.number(1), self.number(1)]
        return self.add("STRIDED_SLICE", cut, self.value((), "int32"),
                        options="StridedSliceOptions", ShrinkAxisMask=1)  # fmt: skip

    def pack(self, *values: int) -> int:
        return self.add("PACK", values, self.value((len(values),), "int32"),
                        options="PackOptions", ValuesCount=len(values))  # fmt: skip

    def done(self, inputs: Sequence[int], output: int) -> bytes:
        return self.writer.finish(list(inputs), [output])


def test_a_flattened_image_of_a_free_batch(tmp_path: Path) -> None:
    c = Free()
    x = c.writer.tensor("x", (1, 2, 3, 4), "float32", signature=[-1, 2, 3, 4])
    shape = c.pack(c.batch_of(x, 4), c.constant(np.array(24, INT)))
    flat = c.add("RESHAPE", [x, shape], c.value((1, 24), free=(-1, 24)))
    weights = c.constant(np.random.default_rng(0).standard_normal((5, 24)).astype(np.float32))
    y = c.add("FULLY_CONNECTED", [flat, weights], c.value((1, 5), free=(-1, 5)),
              options="FullyConnectedOptions")  # fmt: skip
    data = c.done([x], y)
    assert compare(tmp_path, data)
    graph = graph_of(tmp_path, data)
    assert graph.notes == ("the batch size is fixed to 1",)
    assert [call.spec.kind for call in optimise(graph).calls] == ["dense"]


def test_a_dense_layer_over_a_sequence_of_a_free_batch(tmp_path: Path) -> None:
    """Keras' Tensordot: the product of the leading extents, of which the file knows none."""
    c = Free()
    x = c.writer.tensor("x", (1, 6, 8), "float32", signature=[-1, 6, 8])
    whole = c.shape_of(x, 3)
    pair = c.add("GATHER", [whole, c.number(0, 1)], c.value((2,), "int32"),
                 options="GatherOptions")  # fmt: skip
    rows = c.add("REDUCE_PROD", [pair, c.number(0)], c.value((), "int32"),
                 options="ReducerOptions")  # fmt: skip
    wanted = c.add("CONCATENATION", [pair, c.number(5)], c.value((3,), "int32"),
                   options="ConcatenationOptions")  # fmt: skip
    flat = c.add("RESHAPE", [x, c.pack(rows, c.constant(np.array(8, INT)))],
                 c.value((1, 1), free=(-1, -1)))  # fmt: skip
    weights = c.constant(np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32))
    product = c.add("FULLY_CONNECTED", [flat, weights], c.value((1, 5), free=(-1, 5)),
                    options="FullyConnectedOptions")  # fmt: skip
    y = c.add("RESHAPE", [product, wanted], c.value((1, 6, 5), free=(-1, 6, 5)))
    assert compare(tmp_path, c.done([x], y))


def test_an_embedding_that_lets_indices_count_from_the_end(tmp_path: Path) -> None:
    c = Free()
    x = c.plain((1, 6), "int32")
    zero, rows = c.constant(np.array(0, INT)), c.constant(np.array(2, INT))
    below = c.add("LESS", [x, zero], c.value((1, 6), "bool"))
    moved = c.add("ADD", [x, rows], c.value((1, 6), "int32"), options="AddOptions")
    index = c.add("SELECT_V2", [below, moved, x], c.value((1, 6), "int32"))
    table = c.constant(np.arange(8, dtype=np.float32).reshape(2, 4))
    y = c.add("GATHER", [table, index], c.value((1, 6, 4)), options="GatherOptions")
    assert compare(tmp_path, c.done([x], y))


@pytest.mark.parametrize(
    "name", ["LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL"]
)
def test_comparisons(tmp_path: Path, name: str) -> None:
    c = Free()
    x, y = c.plain((3, 4)), c.plain((1, 4))
    found = c.add(name, [x, y], c.value((3, 4), "bool"))
    assert compare(tmp_path, c.done([x, y], c.add("SELECT_V2", [found, x, y], c.value((3, 4)))))


@pytest.mark.parametrize("name", ["LOGICAL_AND", "LOGICAL_OR"])
def test_logic(tmp_path: Path, name: str) -> None:
    c = Free()
    x, y = c.plain((5, 4)), c.plain((5, 4))
    zero = c.constant(np.zeros((), np.float32))
    sides = [c.add("LESS", [each, zero], c.value((5, 4), "bool")) for each in (x, y)]
    both = c.add(name, sides, c.value((5, 4), "bool"))
    assert compare(tmp_path, c.done([x, y], c.add("SELECT", [both, x, y], c.value((5, 4)))))


def test_constants_made_of_shapes(tmp_path: Path) -> None:
    """FILL, RANGE, RANK, ZEROS_LIKE, FLOOR_DIV and FLOOR_MOD, all known while reading."""
    c = Free()
    x = c.plain((2, 6))
    rank = c.add("RANK", [x], c.value((), "int32"))
    seven = c.constant(np.array(7, INT))
    three = c.add("FLOOR_DIV", [seven, rank], c.value((), "int32"))
    one_left = c.add("FLOOR_MOD", [seven, rank], c.value((), "int32"))
    ramp = c.add("RANGE", [c.constant(np.array(0, INT)), c.constant(np.array(6, INT)), one_left],
                 c.value((6,), "int32"))  # fmt: skip
    filled = c.add("FILL", [c.number(2, 6), three], c.value((2, 6), "int32"))
    zeros = c.add("ZEROS_LIKE", [filled], c.value((2, 6), "int32"))
    total = c.add("ADD_N", [filled, zeros, filled], c.value((2, 6), "int32"))
    mixed = c.add("ADD", [total, ramp], c.value((2, 6), "int32"), options="AddOptions")
    scale = c.add("CAST", [mixed], c.value((2, 6)))
    data = c.done([x], c.add("MUL", [x, scale], c.value((2, 6)), options="MulOptions"))
    assert compare(tmp_path, data)
    assert [call.spec.kind for call in optimise(graph_of(tmp_path, data)).calls] == ["elementwise"]


def test_shapes_that_the_operators_tell(tmp_path: Path) -> None:
    """EXPAND_DIMS, SQUEEZE and BROADCAST_TO of free extents; UNPACK, PACK and TILE."""
    c = Free()
    x = c.writer.tensor("x", (1, 3, 4), "float32", signature=[-1, 3, 4])
    wide = c.add("EXPAND_DIMS", [x, c.constant(np.array(1, INT))],
                 c.value((1, 1, 3, 4), free=(-1, 1, 3, 4)))  # fmt: skip
    narrow = c.add("SQUEEZE", [wide], c.value((1, 1), free=(-1, -1)))
    large = c.add("BROADCAST_TO", [narrow, c.number(2, 3, 4)],
                  c.value((1, 3, 4), free=(-1, 3, 4)), version=3)  # fmt: skip
    parts = [c.value((3, 4)), c.value((3, 4))]
    c.writer.any("UNPACK", [large], parts, options="UnpackOptions", Num=2)
    joined = c.add("PACK", parts, c.value((3, 2, 4)), options="PackOptions", ValuesCount=2, Axis=1)
    y = c.add("TILE", [joined, c.number(2, 1, 3)], c.value((6, 2, 12)))
    assert compare(tmp_path, c.done([x], y))


def test_log_softmax(tmp_path: Path) -> None:
    assert compare(tmp_path, one("LOG_SOFTMAX", [(3, 7)], (3, 7), options="LogSoftmaxOptions"))


def test_embedding_lookup(tmp_path: Path) -> None:
    c = Free()
    x = c.plain((3,), "int32")
    table = c.constant(np.arange(8, dtype=np.float32).reshape(2, 4))
    y = c.add("EMBEDDING_LOOKUP", [x, table], c.value((3, 4)))
    assert compare(tmp_path, c.done([x], y))


def _refused(tmp_path: Path, data: bytes) -> EdgebuildError:
    with pytest.raises(EdgebuildError) as caught:
        graph_of(tmp_path, data)
    return caught.value


def test_an_input_with_a_free_length_is_refused(tmp_path: Path) -> None:
    c = Free()
    x = c.writer.tensor("x", (1, 1), "float32", signature=[-1, -1])
    error = _refused(tmp_path, c.done([x], c.add("ABS", [x], c.value((1, 1), free=(-1, -1)))))
    assert error.kind.code == "E207"
    assert "input 'x'" in str(error.where)


def test_a_shape_that_only_the_running_model_knows_is_refused(tmp_path: Path) -> None:
    c = Free()
    x, shape = c.plain((2, 3)), c.plain((2,), "int32")
    error = _refused(
        tmp_path, c.done([x, shape], c.add("RESHAPE", [x, shape], c.value((1, 1), free=(-1, -1))))
    )
    assert error.kind.code == "E207"


@pytest.mark.parametrize(
    ("name", "shapes", "constants", "options"),
    [
        ("FLOOR_DIV", [], [np.array([4], INT), np.array([0], INT)], {}),
        ("FLOOR_MOD", [], [np.array([4, 4], INT), np.array([1, 2, 3], INT)], {}),
        ("FILL", [], [np.array([-1], INT), np.array(1, INT)], {}),
        ("RANGE", [], [np.array(0, INT), np.array(4, INT), np.array(0, INT)], {}),
        ("RANGE", [], [np.array(0, INT), np.array(1 << 30, INT), np.array(1e-9, np.float32)], {}),
        ("TILE", [(2, 3)], [np.array([2], INT)], {}),
        ("PACK", [(2, 3)], [], {"options": "PackOptions", "Axis": 5}),
        ("UNPACK", [(2, 3)], [], {"options": "UnpackOptions"}),
        ("SELECT", [(2,), (2, 3), (2, 3)], [], {}),
        ("LOG_SOFTMAX", [], [np.ones((2, 3), np.int32)], {}),
    ],
)
def test_parameters_that_make_no_sense(
    tmp_path: Path, name: str, shapes: Any, constants: Any, options: Any
) -> None:
    error = _refused(tmp_path, one(name, shapes, (2, 3), constants, **options))
    assert error.kind.code in ("E203", "E205")
