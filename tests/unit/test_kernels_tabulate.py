# SPDX-License-Identifier: Apache-2.0
"""Byte arithmetic on one number becomes one table; everything else stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebuild.kernels import importer, interpreter
from edgebuild.kernels.check import random_inputs
from edgebuild.kernels.fusion import program_of
from edgebuild.kernels.lowering import lower
from edgebuild.kernels.optimise import optimise
from tests.tools.one_operator import Case


class Chain(Case):
    """Several int8 operators in a row."""

    def step(self, name: str, inputs: list[int], scale: float, zero: int, shape: tuple[int, ...],
             **options: object) -> int:  # fmt: skip
        made = self.writer.tensor(f"t{len(self.writer._tensors)}", shape, "int8", scale=[scale],
                                  zero_point=[zero])  # fmt: skip
        self.writer.any(name, inputs, [made], version=2, **options)
        return made


def functions(tmp_path: Path, case: Chain, output: int) -> list[list[str]]:
    """The steps of each call, after a check that the answers are those of the plain operators."""
    path = tmp_path / "model.tflite"
    path.write_bytes(case.writer.finish(case.inputs, [output]))
    graph = importer.load(path)
    lowered = optimise(graph)
    for seed in range(3):
        inputs = random_inputs(graph, seed)
        want = interpreter.run_lowered(lower(graph), inputs)[graph.outputs[0]]
        found = interpreter.run_lowered(lowered, inputs)[graph.outputs[0]]
        np.testing.assert_array_equal(found, want)
    return [[s.function for s in program_of(call).steps] for call in lowered.calls]


SHAPE = (4, 64)


def test_x_times_its_sigmoid(tmp_path: Path) -> None:
    case = Chain()
    x = case.int8(SHAPE)
    gate = case.step("LOGISTIC", [x], 1 / 256, -128, SHAPE)
    y = case.step("MUL", [x, gate], 0.04, -20, SHAPE, options="MulOptions")
    assert functions(tmp_path, case, y) == [["lookup"]]


def test_a_hard_swish_in_pieces(tmp_path: Path) -> None:
    """x + 3, limited, times 1/6, times x: as converters wrote it before there was an operator."""
    case = Chain()
    x = case.int8(SHAPE)
    three = case.constant(np.int8(100), scale=[0.03], zero_point=[0])
    sixth = case.constant(np.int8(127), scale=[1 / 762], zero_point=[0])
    moved = case.step("ADD", [x, three], 0.06, -40, SHAPE, options="AddOptions",
                      FusedActivationFunction=3)  # fmt: skip
    part = case.step("MUL", [moved, sixth], 1 / 256, -128, SHAPE, options="MulOptions")
    gate = case.step("TANH", [part], 1 / 128, 0, SHAPE)
    y = case.step("MUL", [x, gate], 0.04, -20, SHAPE, options="MulOptions")
    assert functions(tmp_path, case, y) == [["lookup"]]


def test_two_numbers_are_not_one(tmp_path: Path) -> None:
    case = Chain()
    x, other = case.int8(SHAPE), case.int8(SHAPE)
    gate = case.step("LOGISTIC", [x], 1 / 256, -128, SHAPE)
    y = case.step("MUL", [other, gate], 0.04, -20, SHAPE, options="MulOptions")
    assert functions(tmp_path, case, y) == [["lookup", "mul_int8"]]


def test_one_number_for_each_channel_is_not_one(tmp_path: Path) -> None:
    case = Chain()
    x = case.int8(SHAPE)
    vector = case.constant(np.arange(64, dtype=np.int8), scale=[0.01], zero_point=[0])
    gate = case.step("LOGISTIC", [x], 1 / 256, -128, SHAPE)
    y = case.step("MUL", [gate, vector], 0.01, -20, SHAPE, options="MulOptions")
    assert functions(tmp_path, case, y) == [["lookup", "mul_int8"]]


@pytest.mark.parametrize("name", ["ADD", "MUL"])
def test_arithmetic_without_a_table_stays(tmp_path: Path, name: str) -> None:
    """A table would be slower than one product on most processors."""
    case = Chain()
    x = case.int8(SHAPE)
    y = case.step(name, [x, x], 0.2, -20, SHAPE, options=f"{name.capitalize()}Options")
    assert functions(tmp_path, case, y) == [[f"{name.lower()}_int8"]]


def test_the_value_underneath_may_be_a_product(tmp_path: Path) -> None:
    """The byte that a dense layer's requantisation gives is where the table begins."""
    case = Chain()
    x = case.int8((2, 8))
    weights = case.constant(np.arange(-12, 12, dtype=np.int8).reshape(3, 8), scale=[0.02],
                            zero_point=[0])  # fmt: skip
    dense = case.step("FULLY_CONNECTED", [x, weights], 0.05, 4, (2, 3),
                      options="FullyConnectedOptions")  # fmt: skip
    gate = case.step("LOGISTIC", [dense], 1 / 256, -128, (2, 3))
    y = case.step("MUL", [dense, gate], 0.04, -20, (2, 3), options="MulOptions")
    assert functions(tmp_path, case, y) == [["requantise_real", "lookup"]]
