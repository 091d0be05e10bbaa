# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions as planes of pairs, by a core without vectors that has doubles."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgebuild.kernels import rounding, specs, tir
from edgebuild.kernels.specs import Window
from edgebuild.kernels.tir import depthwise_planes, isa
from edgebuild.kernels.tir.frame import Build
from edgebuild.model.profile import Cpu
from tests.unit import tir_helpers as h
from tests.unit.test_tir_families import depthwise
from tests.unit.test_tir_integers import arguments

SAME = Window(kernel=(3, 3), padding=(1, 1))
WINDOWS = (
    ((9, 11), (24, 24), SAME), ((10, 7), (13, 13), SAME), ((12, 12), (3, 9), SAME),
    ((9, 40), (1, 8), Window(kernel=(3, 3), stride=(2, 2), padding=(1, 1))),
    ((11, 10), (20, 20), Window(kernel=(5, 5), padding=(2, 2))),
    ((10, 12), (6, 6), Window(kernel=(4, 2), padding=(1, 0))),
    ((12, 9), (32, 32), Window(kernel=(3, 3), dilation=(2, 2), padding=(2, 2))),
    ((1, 30), (8, 8), Window(kernel=(1, 3), padding=(0, 1))),
    ((30, 1), (8, 8), Window(kernel=(3, 1), padding=(1, 0))),
)  # fmt: skip
IN_PLACE = [case for case in WINDOWS if case[1][0] == case[1][1] and case[2] != WINDOWS[5][2]]


@pytest.fixture
def scalar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine at hand by the rules of a core without vectors, but with doubles."""
    of = isa.of

    def changed(cpu: Cpu) -> isa.Isa:
        return dataclasses.replace(of(cpu), vector_bits=0, products="pairs", doubles=True)

    monkeypatch.setattr(isa, "of", changed)


def targets() -> list[Cpu]:
    return [dataclasses.replace(t, cores=3) for t in h.runnable() if t.vector_bits == 256]


def same(folder: Path, many: Sequence[specs.Spec], over: str | None, free_bytes: int) -> None:
    for target in targets():
        compiled = h.Compiled(folder / f"{target.model}-{target.cores}", many, target,
                              over=over, free_bytes=free_bytes)  # fmt: skip
        for number, spec in enumerate(many):
            given = arguments(spec, number)
            for pieces in (1, 2):
                h.compare(spec, compiled.run(number, given, pieces=pieces), given, 0)


@pytest.mark.usefixtures("scalar")
@pytest.mark.parametrize("free_bytes", [20_000, 2_000])
def test_with_much_and_little_memory(tmp_path: Path, free_bytes: int) -> None:
    many = [depthwise(*case, "int8", 2) for case in WINDOWS]
    same(tmp_path, many, None, free_bytes)


@pytest.mark.usefixtures("scalar")
def test_in_place(tmp_path: Path) -> None:
    many = [depthwise(*case, "int8", 2) for case in IN_PLACE]
    many = [spec for spec in many if spec.input == spec.output]
    assert all(tir.rewrites(spec, targets()[0]) for spec in many if spec.input[1:3] == (9, 11))
    same(tmp_path, many, "input", tir.UNBOUNDED)


@pytest.mark.usefixtures("scalar")
def test_limits_at_the_zero(tmp_path: Path) -> None:
    """Lines that round down: their starts hold the zero."""
    shape = (1, 9, 11, 24)
    many: list[specs.Spec] = [
        specs.Depthwise2d(
            input=shape, output=shape, window=SAME, dtype="int8", input_zero=zero,
            epilogue=h.requantised(shape, zero=-128, known=known),
        )
        for zero in (-128, 0, 127)
        for known in (rounding.LINE, rounding.FLOOR)
    ]  # fmt: skip
    same(tmp_path, many, None, tir.UNBOUNDED)


def test_small_images_are_not_worth_planes() -> None:
    core = isa.of(h.RV64)
    for size, pays in (((24, 24), True), ((8, 8), True), ((3, 3), False), ((1, 1), False)):
        spec = depthwise(size, (32, 32), SAME, "int8")
        assert (depthwise_planes.plan(spec, Build(spec, core, "k", None, 1 << 20)) is not None) is (
            pays
        )
    spec = depthwise((24, 24), (32, 32), SAME, "int8")
    assert depthwise_planes.rewrites(spec, core)
    assert depthwise_planes.plan(spec, Build(spec, core, "k", None, 100)) is None
    for free in (3_000, 9_000):
        planes = depthwise_planes.plan(spec, Build(spec, core, "k", None, free))
        assert planes is not None
        assert planes.scratch <= free
