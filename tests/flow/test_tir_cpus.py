# SPDX-License-Identifier: Apache-2.0
"""Products of all sizes, and convolutions, on processors that this machine has to emulate."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import tools
from edgebuild.host.store import Store
from edgebuild.kernels import bundle, check, specs
from edgebuild.kernels.tir import isa
from edgebuild.kernels.tir.winograd_rule import FOUR, TWO, Form
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Cpu
from tests.flow import emulated
from tests.flow.test_kernels_check import MODELS
from tests.unit import test_tir_contraction as contraction
from tests.unit import test_tir_families as families
from tests.unit import test_tir_matmul_int8 as matmul_int8
from tests.unit import test_tir_table_pass as table_pass
from tests.unit import tir_helpers as h
from tests.unit.test_tir_contraction import _WINDOWS, conv, dense
from tests.unit.test_tir_winograd import force, squares

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the lock has tools for amd64"),
]

#: QEMU's core, and ours: in order and out of order, with and without matrices and dot products.
CORES = {
    "smmla": ("neoverse-n2", h.N2),
    "smmla, in order": ("cortex-a710", h.cpu("aarch64", "cortex-a510", 128)),
    "smmla, by a feature": ("max", h.cpu("aarch64", "cortex-a76", 128, "+i8mm")),
    "sdot": ("neoverse-n1", h.cpu("aarch64", "neoverse-n1", 128)),
    "sdot, in order": ("cortex-a55", h.cpu("aarch64", "cortex-a55", 128)),
    "smlal": ("cortex-a72", h.A72),
}
#: Cores with longer vectors, whose length the code takes for granted.
SCALABLE = {
    "neoverse-v1": h.cpu("aarch64", "neoverse-v1", 256),
    "a64fx": h.cpu("aarch64", "a64fx", 512),
}
#: Tests of the families, which compile and compare through ``tir_helpers.check``.
FAMILIES: dict[str, Callable[[Path], None]] = {
    "depthwise": partial(families.test_depthwise_convolutions, dtype="float32"),
    "depthwise, int8": partial(families.test_depthwise_convolutions, dtype="int8"),
    "pooling": families.test_pooling,
    "reductions": families.test_reductions,
    "layer norm": families.test_layer_normalisation,
    "softmax": families.test_softmax_of_all_sizes_and_scales,
    "8-bit programs": families.test_8_bit_programs,
    "comparisons": families.test_comparisons_selections_and_conversions,
    "padding": families.test_padding,
    "products of two inputs": contraction.test_products_of_two_inputs,
    "products of two inputs, int8": matmul_int8.test_all_layouts_and_zero_points,
}
Emulate = Callable[[str], Sequence[str]]


@pytest.fixture
def emulate(store: Store, lock: Lock) -> Emulate:
    command = tools.tool(store, lock, "qemu-aarch64")
    return lambda core: [*command, "-cpu", core]


@pytest.mark.parametrize("name", CORES)
@pytest.mark.parametrize("first", [1, 2])
def test_all_sizes_from_1_to_70(name: str, first: int, emulate: Emulate, tmp_path: Path) -> None:
    core, target = CORES[name]
    assert name.startswith(isa.of(target).products)
    many = [dense(s, 71 - s, (s * 29) % 71 or 70, real=s % 2 == 0) for s in range(first, 71, 2)]
    emulated.check(tmp_path, many, target, emulate(core))


@pytest.mark.parametrize("name", ["smmla", "smmla, in order", "sdot"])
def test_convolutions(name: str, emulate: Emulate, tmp_path: Path) -> None:
    core, target = CORES[name]
    many = [
        conv(size, channels, window, images=images, groups=groups)
        for images in (1, 2)
        for size, channels, window, groups in _WINDOWS
    ]
    small: Cpu = h.tiny_caches(target, 1024, 1)
    emulated.check(tmp_path / "whole", many, target, emulate(core))
    emulated.check(tmp_path / "strips", many, small, emulate(core))


@pytest.mark.parametrize("name", ["smmla", "sdot", "smlal"])
def test_products_of_two_inputs(name: str, emulate: Emulate, tmp_path: Path) -> None:
    core, target = CORES[name]
    emulated.check(tmp_path, matmul_int8.many(), target, emulate(core))


@pytest.mark.parametrize("core", SCALABLE)
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_scalable_vectors(core: str, dtype: str, emulate: Emulate, tmp_path: Path) -> None:
    target = SCALABLE[core]
    assert isa.of(target).scalable
    many: list[specs.Spec] = [
        dense(s, 71 - s, (s * 29) % 71 or 70, dtype, real=s % 2 == 0) for s in range(1, 71, 2)
    ]
    many += [conv(*each[:3], dtype=dtype, groups=each[3]) for each in _WINDOWS]
    emulated.check(tmp_path, many, target, emulate(core))


@pytest.mark.parametrize("core", ["neoverse-v1", "a64fx", "neoverse-n2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(
    family: str, core: str, emulate: Emulate, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The specs of the unit tests, which those run on this machine."""
    target, command = SCALABLE.get(core, h.N2), emulate(core)

    def there(folder: Path, many: Sequence[specs.Spec], *, tolerance: float = 1e-5) -> None:
        emulated.check(folder, many, target, command, tolerance=tolerance)

    monkeypatch.setattr(h, "check", there)
    FAMILIES[family](tmp_path)


@pytest.mark.parametrize("form", [TWO, FOUR], ids=["two", "four"])
def test_winograd_in_scalable_vectors(
    form: Form, emulate: Emulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, form)
    many = [squares((s, 73 - s), ((s * 29) % 37, (s * 17) % 41 + 1), padding=s % 3)
            for s in range(3, 71, 9) if (s * 29) % 37]  # fmt: skip
    for core, target in SCALABLE.items():
        emulated.check(tmp_path / core, many, target, emulate(core), tolerance=2e-5)


def test_another_length_is_refused(emulate: Emulate, tmp_path: Path) -> None:
    """Code for 256 bits would answer wrongly where a vector has 128: it says so instead."""
    model, target = MODELS / "ad01_int8.tflite", SCALABLE["neoverse-v1"]
    bundle.compile(model, target, tmp_path, name="ad01_int8")
    assert "EDGE_ERROR_VECTOR_LENGTH (-4)" in (tmp_path / "ad01_int8.h").read_text()
    report = check.check(model, tmp_path, target, seed=1, emulator=emulate("neoverse-v1"))
    assert report["passed"], report
    short = emulate("max,sve-default-vector-length=16")
    with pytest.raises(EdgebuildError, match="the model returned an error"):
        check.check(model, tmp_path, target, seed=1, emulator=short)


@pytest.mark.parametrize("name", ["sdot", "smlal"])
def test_tables_in_a_pass_of_their_own(name: str, store: Store, lock: Lock, tmp_path: Path) -> None:
    core, target = CORES[name]
    tool = tools.tool(store, lock, "qemu-aarch64")
    emulated.check(tmp_path, table_pass.many(), target, [*tool, "-cpu", core])
