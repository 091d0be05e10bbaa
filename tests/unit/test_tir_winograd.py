# SPDX-License-Identifier: Apache-2.0
"""Winograd's forms: exact in fractions, close in floats, whatever the size, split and padding."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.kernels import specs, tir
from edgebuild.kernels.specs import Window
from edgebuild.kernels.tir import isa, winograd_rule
from edgebuild.kernels.tir.winograd_rule import FOUR, TWO, Form
from tests.unit import tir_helpers as h
from tests.unit.test_tir_contraction import conv

#: Of the largest output; measured 5e-6.
TOLERANCE = 2e-5


def _exact(a: Any, x: Any, b: Any) -> Any:
    return Fraction(a) * x + b


@given(st.data(), st.sampled_from([TWO, FOUR]))
def test_one_axis_is_exactly_the_window(data: st.DataObject, form: Form) -> None:
    numbers = st.integers(-99, 99).map(Fraction)
    d = data.draw(st.lists(numbers, min_size=form.n, max_size=form.n))
    g = data.draw(st.lists(numbers, min_size=3, max_size=3))
    window = [sum((a * b for a, b in zip(row, g, strict=True)), Fraction(0)) for row in form.window]
    into: list[Any] = form.into(list(d), _exact)
    got = form.out([a * b for a, b in zip(window, into, strict=True)], _exact)
    assert got == [sum(d[i + j] * g[j] for j in range(3)) for i in range(form.m)]


def squares(
    size: tuple[int, int], channels: tuple[int, int], *, padding: int = 1, images: int = 1
) -> specs.Conv2d:
    spec = conv(size, channels, Window(kernel=(3, 3), padding=(padding, padding)),
                dtype="float32", images=images)  # fmt: skip
    return dataclasses.replace(spec, epilogue=h.plain(spec.output))


def exact(spec: specs.Conv2d, x: h.Array, w: h.Array) -> h.Array:
    """The convolution in float64."""
    above, before = spec.window.padding
    _, rows, columns, _ = spec.output
    x = np.pad(x.astype(np.float64), ((0, 0), (above, above), (before, before), (0, 0)))
    total: h.Array = np.zeros(spec.output)
    for i in range(3):
        for j in range(3):
            part = x[:, i : i + rows, j : j + columns]
            total += np.einsum("nhwc,oc->nhwo", part, w[:, i, j].astype(np.float64))
    return total


def check(folder: Path, many: list[specs.Conv2d], targets: list[Any]) -> None:
    """Close to float64, and the same bytes however the tasks are split."""
    for number, target in enumerate(targets):
        compiled = h.Compiled(folder / str(number), many, target)
        for i, spec in enumerate(many):
            arguments = h.random_arguments(spec, i)
            got = compiled.run(i, arguments)
            want = exact(spec, arguments[0], arguments[1])
            assert np.abs(got - want).max() <= TOLERANCE * np.abs(want).max(), spec
            again = compiled.run(i, arguments, pieces=3, shift=1)
            assert np.array_equal(got, again), spec


def force(monkeypatch: pytest.MonkeyPatch, form: Form) -> None:
    def choose(spec: specs.Conv2d, core: isa.Isa, free_bytes: int) -> winograd_rule.Plan:
        return next(winograd_rule.plans_of(spec, form, core, free_bytes))

    monkeypatch.setattr(winograd_rule, "choose", choose)


def chosen(spec: specs.Conv2d, core: isa.Isa, free_bytes: int = tir.UNBOUNDED) -> Form | None:
    plan = winograd_rule.choose(spec, core, free_bytes)
    return None if plan is None else plan.form


@pytest.mark.parametrize("form", [TWO, FOUR], ids=["two", "four"])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form, padding: int
) -> None:
    """A sample of tests/flow/test_tir_sizes.py."""
    force(monkeypatch, form)
    many = [
        squares(size, channels, padding=padding)
        for size, channels in (
            ((3, 3), (1, 1)), ((4, 9), (5, 18)), ((13, 6), (16, 33)), ((8, 8), (7, 16)),
        )
    ]  # fmt: skip
    check(tmp_path, many, h.runnable())


@pytest.mark.parametrize("form", [TWO, FOUR], ids=["two", "four"])
def test_passes_spans_and_phases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    """Caches so small that a row of tiles is cut, and one core or several."""
    force(monkeypatch, form)
    many = [
        squares((9, 45), (4, 8)), squares((11, 10), (3, 20), images=2), squares((6, 7), (8, 8)),
        squares((70, 13), (2, 2), padding=2), squares((2, 5), (8, 150)),
    ]  # fmt: skip
    targets = [
        h.tiny_caches(h.host(), 1 << 10, cores=1), h.tiny_caches(h.host(), 1 << 20, cores=1),
        h.tiny_caches(h.host(), 1 << 16, cores=3),
    ]  # fmt: skip
    plans = [
        next(winograd_rule.plans_of(spec, form, isa.of(t), tir.UNBOUNDED))
        for spec in many for t in targets
    ]  # fmt: skip
    for numbers in ([p.spans for p in plans], [p.bands for p in plans], [p.makers for p in plans]):
        assert min(numbers) < max(numbers)
    check(tmp_path, many, targets)


def test_a_pass_for_itself_is_shared_by_the_cores() -> None:
    spec = squares((8, 8), (64, 64))
    several = dataclasses.replace(h.A72, cores=4)
    assert [p.tasks for p in tir.kernel(spec, several, "k").phases] == [2, 4]
    assert [p.tasks for p in tir.kernel(spec, h.A72, "k").phases] == [1]


def test_epilogues_run_on_the_outputs(tmp_path: Path) -> None:
    window = Window(kernel=(3, 3), padding=(1, 1))
    spec = conv((12, 10), (16, 24), window, dtype="float32")
    shape = spec.output
    residual = dataclasses.replace(
        h.clamped(shape),
        operands=(*h.clamped(shape).operands, h.operand(shape)),
        steps=(h.step("add", (0, 1)), h.step("add", (3, 2)), h.step("clamp", (4,), 0.0, 500.0)),
    )
    for one in (spec, dataclasses.replace(spec, epilogue=residual)):
        assert chosen(one, isa.of(h.host())) is FOUR
    h.check(tmp_path, [spec, dataclasses.replace(spec, epilogue=residual)], tolerance=1e-4)


@pytest.mark.parametrize("stored", ["", "int8"])
@pytest.mark.parametrize("cores", [1, 4])
@pytest.mark.parametrize("target", [h.VNNI, h.A72], ids=["vnni", "a72"])
def test_scratch_keeps_to_what_is_free(target: Any, cores: int, stored: str) -> None:
    several = dataclasses.replace(target, cores=cores)
    for size, channels in (((32, 32), 16), ((8, 8), 64), ((70, 9), 33), ((6, 6), 64)):
        spec = dataclasses.replace(squares(size, (channels, channels)), stored=stored)
        for free in (1 << 20, 1 << 16, 1 << 14, 1 << 11):
            plan = winograd_rule.choose(spec, isa.of(several), free)
            if plan is not None:
                made = tir.kernel(spec, several, "k", free_bytes=free)
                assert 0 < made.scratch_bytes <= free
    assert winograd_rule.choose(squares((32, 32), (16, 16)), isa.of(several), 1 << 11) is None


def test_little_scratch_gives_the_same_numbers(tmp_path: Path) -> None:
    """Few tiles to a pass, half blocks of channels, slices of the input's channels."""
    target = dataclasses.replace(h.host(), cores=4)
    many = [squares((32, 30), (16, 16)), squares((8, 8), (70, 64))]
    for free in (1 << 18, 1 << 17):
        compiled = h.Compiled(tmp_path / str(free), many, target, free_bytes=free)
        for i, spec in enumerate(many):
            assert chosen(spec, isa.of(target), free) is not None
            assert 0 < compiled.kernels[i].scratch_bytes <= free
            arguments = h.random_arguments(spec)
            got, want = compiled.run(i, arguments, pieces=3), exact(spec, *arguments[:2])
            assert np.abs(got - want).max() <= TOLERANCE * np.abs(want).max()


def test_a_little_scratch_is_enough() -> None:
    """Half a block of channels, few tiles: MLPerf Tiny's ResNet on four cores leaves 64 KiB."""
    specs_ = [squares((32, 32), (16, 16)), squares((16, 16), (32, 32)), squares((8, 8), (64, 64))]
    for spec in specs_:
        for cores in (1, 4):
            core = dataclasses.replace(isa.of(h.A72), cores=cores)
            assert chosen(spec, core, 1 << 16) is FOUR


def test_the_rule() -> None:
    """The form with the fewest vector operations, if it is much fewer than the plain sums'."""
    x86, a72 = isa.of(h.VNNI), isa.of(h.A72)
    for core in (x86, a72):
        assert chosen(squares((32, 32), (16, 16)), core) is FOUR
        assert chosen(squares((8, 8), (64, 64)), core) is FOUR
        assert chosen(squares((6, 6), (64, 64)), core) is TWO
        assert chosen(squares((32, 32), (3, 16)), core) is None
        assert chosen(squares((3, 3), (64, 64), padding=0), core) is None


@pytest.mark.parametrize(
    "window",
    [
        Window(kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
        Window(kernel=(3, 3), dilation=(2, 2), padding=(2, 2)),
        Window(kernel=(5, 5), padding=(2, 2)),
    ],
)
def test_other_windows_are_plain(window: Window) -> None:
    spec = conv((32, 32), (64, 64), window, dtype="float32")
    assert chosen(spec, isa.of(h.A72)) is None


def test_integers_groups_and_microcontrollers_are_plain() -> None:
    window = Window(kernel=(3, 3), padding=(1, 1))
    core = isa.of(h.A72)
    assert chosen(conv((32, 32), (64, 64), window), core) is None
    grouped = conv((32, 32), (64, 64), window, dtype="float32", groups=2)
    assert chosen(grouped, core) is None
    small = dataclasses.replace(core, l2_bytes=0)
    assert chosen(squares((32, 32), (64, 64)), small) is None


@pytest.mark.parametrize("form", [TWO, FOUR], ids=["two", "four"])
@pytest.mark.parametrize("stored", ["int8", "float16"])
def test_stored_weights_are_transformed_by_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form, stored: str
) -> None:
    force(monkeypatch, form)
    sizes = ((7, 9), (1, 1)), ((6, 5), (3, 70)), ((12, 4), (33, 16)), ((9, 9), (16, 65))
    many = [dataclasses.replace(squares(*each), stored=stored) for each in sizes]
    check(tmp_path, many, h.runnable())
    for spec in many[1:]:
        item = 1 if stored == "int8" else 2
        kernel = tir.kernel(spec, h.VNNI, "k")
        assert kernel.constants_bytes < 9 * item * spec.input[3] * (spec.output[3] + 15) + 64
        assert kernel.tiles is not None


def test_stored_weights_are_transformed_where_many_tiles_gain_from_it() -> None:
    core = isa.of(h.VNNI)
    for size, stored, expected in (((32, 32), "", True), ((32, 32), "int8", True),
                                   ((8, 8), "", True), ((3, 3), "int8", False)):  # fmt: skip
        spec = dataclasses.replace(squares(size, (64, 64)), stored=stored)
        assert (chosen(spec, core) is not None) is expected, (size, stored)
