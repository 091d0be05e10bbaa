# SPDX-License-Identifier: Apache-2.0
"""Tables of bytes in a pass of their own: where, and what is made; emulators run them."""

from __future__ import annotations

import dataclasses
import re

import pytest

from edgebuild.kernels import disassembly, specs, tir
from edgebuild.kernels.program import Program
from edgebuild.kernels.specs import Window
from edgebuild.kernels.tir import isa, table_pass
from edgebuild.model.profile import Cpu
from tests.unit import tir_helpers as h
from tests.unit.test_tir_across import M55
from tests.unit.test_tir_families import depthwise


def looked_up(program: Program) -> Program:
    """The program with a table after its last step."""
    operands = (*program.operands, h.operand((256,), "int8", "constant"))
    moved = [
        dataclasses.replace(step, arguments=tuple(
            n + 1 if n >= len(program.operands) else n for n in step.arguments))
        for step in program.steps
    ]  # fmt: skip
    result = len(operands) + len(moved) - 1
    last = h.step("lookup", (result, len(program.operands)), dtype="int8")
    return Program(operands=operands, steps=(*moved, last))


def alone(*shape: int) -> specs.Spec:
    operands = (h.operand(shape, "int8"), h.operand((256,), "int8", "constant"))
    steps = (h.step("lookup", (0, 1), dtype="int8"),)
    return specs.Elementwise(shape=shape, program=Program(operands=operands, steps=steps))


def conv(size: tuple[int, int], channels: tuple[int, int]) -> specs.Spec:
    out = (1, *size, channels[1])
    return specs.Conv2d(
        input=(1, *size, channels[0]), output=out, window=Window(kernel=(3, 3), padding=(1, 1)),
        dtype="int8", input_zero=4, epilogue=looked_up(h.requantised(out)),
    )  # fmt: skip


def many() -> list[specs.Spec]:
    """Less than a vector more or less, less than a task more or less, and several tasks."""
    plain = depthwise((7, 6), (24, 24), Window(kernel=(3, 3), padding=(1, 1)), "int8")
    return [
        *(alone(n) for n in (63, 64, 79, 4095, 4096, 4097, 9000)), alone(3, 5, 37),
        conv((5, 7), (8, 13)), conv((9, 9), (3, 64)),
        dataclasses.replace(plain, epilogue=looked_up(plain.epilogue)),
        specs.Dense(m=3, k=40, n=31, dtype="int8", epilogue=looked_up(h.requantised((3, 31)))),
    ]  # fmt: skip


@pytest.mark.parametrize("spec", many()[1:])
@pytest.mark.parametrize(
    ("target", "found"),
    [(h.A72, r"tbx\s+v\d+.16b"), (M55, r"vldrb.u8\s+q\d, \[r\d+, q\d\]")],
    ids=["neon", "helium"],
)  # fmt: skip
def test_a_table_that_comes_last_is_a_pass(spec: specs.Spec, target: Cpu, found: str) -> None:
    kernel = tir.kernel(spec, target, "k")
    functions = [phase.func for phase in kernel.phases]
    assembly = tir.module_of(functions[-1:], target).inspect_source("asm")
    assert re.search(found, assembly)
    assert not disassembly.foreign(
        tir.compile(functions, target), target.arch, disassembly.features(target)
    )
    how = table_pass.last(spec, isa.of(target))
    assert how is not None
    assert (how.inner is None) == isinstance(spec, specs.Elementwise)


def test_other_tables_stay_where_they_are() -> None:
    core = isa.of(h.A72)
    assert table_pass.last(many()[0], core) is None  # too few numbers
    assert table_pass.last(many()[-1], isa.of(h.V3)) is None
    wide = alone(5, 64)
    assert isinstance(wide, specs.Elementwise)
    spread = (h.operand((64,), "int8"), wide.program.operands[1])
    assert table_pass.last(
        dataclasses.replace(wide, program=Program(operands=spread, steps=wide.program.steps)), core
    ) is None  # fmt: skip
    first = Program(
        operands=wide.program.operands,
        steps=(*wide.program.steps, h.step("maximum", (0, 2), dtype="int8")),
    )
    assert table_pass.last(dataclasses.replace(wide, program=first), core) is None
