# SPDX-License-Identifier: Apache-2.0
"""Products of all sizes, and convolutions, on processors that this machine has to emulate."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edgebuild.host import tools
from edgebuild.host.store import Store
from edgebuild.kernels.tir import isa
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Cpu
from tests.flow import emulated
from tests.unit import tir_helpers as h
from tests.unit.test_tir_contraction import _WINDOWS, conv, dense

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
