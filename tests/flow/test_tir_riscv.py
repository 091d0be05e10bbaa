# SPDX-License-Identifier: Apache-2.0
"""8-bit products of all sizes, and windows of all kinds, on RISC-V without and with vectors."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgebuild.host import tools
from edgebuild.host.store import Store
from edgebuild.kernels import rounding, specs
from edgebuild.kernels.specs import Conv2d, Window
from edgebuild.kernels.tir import isa, position_pairs
from edgebuild.kernels.tir.frame import Build
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Cache
from tests.flow import emulated
from tests.flow.test_tir_cpus import FAMILIES
from tests.unit import tir_helpers as h
from tests.unit.test_tir_contraction import _WINDOWS, conv, dense
from tests.unit.test_tir_families import depthwise
from tests.unit.test_tir_integers import arguments
from tests.unit.test_tir_planes import WINDOWS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the lock has tools for amd64"),
]

RVV = h.cpu("riscv64", "generic-rv64", 128, "+m", "+a", "+f", "+d", "+c", "+v")
CORES = {"rv64": h.RV64, "rv64,v=true,vlen=128": RVV}


def emulator(store: Store, lock: Lock, name: str) -> Sequence[str]:
    return [*tools.tool(store, lock, "qemu-riscv64"), "-cpu", name]


@pytest.mark.parametrize("family", ["depthwise, int8", "pooling", "reductions", "8-bit programs"])
@pytest.mark.parametrize("name", CORES)
def test_families(
    name: str, family: str, store: Store, lock: Lock, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The specs of the unit tests, which those run on this machine."""

    def there(folder: Path, many: Sequence[specs.Spec], *, tolerance: float = 1e-5) -> None:
        command = emulator(store, lock, name)
        emulated.check(folder, many, CORES[name], command, tolerance=tolerance)

    monkeypatch.setattr(h, "check", there)
    FAMILIES[family](tmp_path)


@pytest.mark.parametrize("name", CORES)
def test_all_sizes_from_1_to_70(name: str, store: Store, lock: Lock, tmp_path: Path) -> None:
    many = [dense(s, 71 - s, (s * 29) % 71 or 70, real=s % 2 == 0) for s in range(1, 71)]
    emulated.check(tmp_path, many, CORES[name], emulator(store, lock, name))


def squares(known: int) -> list[specs.Spec]:
    """Windows, strides and images with and without odd rows and columns."""
    found: list[specs.Spec] = []
    for size, kernel, stride, pad in (
        ((7, 9), (3, 3), (1, 1), (1, 1)), ((8, 8), (3, 3), (2, 2), (1, 1)),
        ((6, 5), (1, 1), (2, 2), (0, 0)), ((9, 12), (5, 2), (1, 3), (2, 0)),
        ((2, 30), (2, 3), (1, 1), (0, 1)), ((13, 4), (4, 4), (3, 1), (1, 3)),
    ):  # fmt: skip
        out = [
            (n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, pad, kernel, stride, strict=True)
        ]
        for depth, channels in ((1, 8), (3, 5), (16, 13)):
            shape = (2, out[0], out[1], channels)
            found.append(Conv2d(
                input=(2, *size, depth), output=shape, dtype="int8", input_zero=-7,
                window=Window(kernel=kernel, stride=stride, padding=pad),
                epilogue=h.requantised(shape, residual=depth == 3, known=known),
            ))  # fmt: skip
    return found


@pytest.mark.parametrize("l1_bytes", [1 << 15, 6 << 10, 2 << 10, 256])
def test_two_positions_in_a_double(l1_bytes: int, store: Store, lock: Lock, tmp_path: Path) -> None:
    """Whole windows in scratch, a row at a time, and too little room for either."""
    target = dataclasses.replace(h.RV64, cache=Cache(l1d_bytes=l1_bytes, l2_bytes=1 << 20))
    many = [
        *squares(rounding.NOTHING),
        *(conv(size, channels, window, images=images, groups=groups)
          for images in (1, 2) for size, channels, window, groups in _WINDOWS),
    ]  # fmt: skip
    emulated.check(tmp_path, many, target, emulator(store, lock, "rv64"))


def test_lines_in_double(
    store: Store, lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = squares(rounding.LINE)
    given = [arguments(spec, n) for n, spec in enumerate(many)]
    monkeypatch.setattr(h, "random_arguments", lambda _spec, number: given[number])
    emulated.check(tmp_path, many, h.RV64, emulator(store, lock, "rv64"))


def test_planes_of_depthwise_windows(
    store: Store, lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many: list[specs.Spec] = []
    for case in WINDOWS:
        spec = depthwise(*case, "int8", 2)
        many += [spec, dataclasses.replace(spec, epilogue=h.requantised(
            spec.output, zero=-128, known=rounding.FLOOR))]  # fmt: skip
    given = [arguments(spec, n) for n, spec in enumerate(many)]
    monkeypatch.setattr(h, "random_arguments", lambda _spec, number: given[number])
    emulated.check(tmp_path, many, h.RV64, emulator(store, lock, "rv64"))


def test_words_of_long_rows(
    store: Store, lock: Lock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of 32 words and more, with the largest products that there are."""
    sizes = ((1, 255, 17), (1, 256, 8), (2, 257, 9), (1, 700, 3), (2, 1000, 1), (1, 8, 33))
    many = [dense(*size) for size in sizes for _ in range(3)]
    given = [h.random_arguments(spec, n) for n, spec in enumerate(many)]
    for n, arguments_ in enumerate(given):
        if n % 3:
            arguments_[0] = np.full(arguments_[0].shape, 127 if n % 3 == 1 else -128, np.int8)
            arguments_[1] = np.full(arguments_[1].shape, 127, np.int8)
    monkeypatch.setattr(h, "random_arguments", lambda _spec, number: given[number])
    emulated.check(tmp_path, many, h.RV64, emulator(store, lock, "rv64"))


def test_the_tile_is_the_one_that_fits() -> None:
    spec = squares(rounding.NOTHING)[2]
    assert isinstance(spec, Conv2d)
    core = isa.of(h.RV64)
    plans = [position_pairs.plan(spec, Build(spec, core, "k", None, free), flat=False)
             for free in (1 << 20, 4096, 64)]  # fmt: skip
    assert plans[0] is not None
    assert not plans[0].split
    assert plans[1] is not None
    assert plans[1].split
    assert plans[1].scratch <= 4096
    assert plans[2] is None
