# SPDX-License-Identifier: Apache-2.0
"""What the schedules conclude from a profile's processor."""

from __future__ import annotations

import pytest

from edgebuild.kernels import disassembly, tir
from edgebuild.kernels.tir import isa, products
from tests.unit import test_tir_contraction as contraction
from tests.unit import tir_helpers as h


@pytest.mark.parametrize(
    ("target", "bits", "registers", "how", "fma"),
    [
        (h.VNNI, 512, 32, "vnni", True),
        (h.V3, 256, 16, "pmaddwd", True),
        (h.V2, 128, 16, "pmaddwd", False),
        (h.cpu("x86_64", "alderlake", 256), 256, 16, "vnni", True),
        (h.cpu("x86_64", "skylake-avx512", 512), 512, 32, "pmaddwd", True),
        (h.A72, 128, 32, "smlal", True),
        (h.A76, 128, 32, "sdot", True),
        (h.N2, 128, 32, "smmla", True),
        (h.cpu("aarch64", "cortex-a510", 128), 128, 32, "smmla", True),
        (h.cpu("aarch64", "neoverse-n2", 128, "-i8mm"), 128, 32, "sdot", True),
        (h.cpu("aarch64", "neoverse-n1", 128), 128, 32, "sdot", True),
        (h.cpu("aarch64", "neoverse-v1", 128), 128, 32, "smmla", True),
        (h.cpu("aarch64", "neoverse-v1", 256), 256, 32, "smmla", True),
        (h.cpu("aarch64", "a64fx", 512), 512, 32, "smlal", True),
        (h.cpu("aarch64", "cortex-a76", 256), 128, 32, "sdot", True),  # no SVE
        (h.cpu("aarch64", "a64fx", 1024), 128, 32, "smlal", True),  # no such length
        (h.RV64, 0, 32, "pairs", True),
        (h.M4, 0, 32, "smlad", True),
        (h.WASM, 128, 16, "dot16", False),
        (h.cpu("wasm32", "generic", 0), 0, 16, "pairs", False),
        (h.cpu("riscv64", "generic-rv64", 128, "+m", "+f", "+d", "+v"), 128, 32, "widen", True),
    ],
)
def test_rules(target: h.Cpu, bits: int, registers: int, how: str, fma: bool) -> None:
    core = isa.of(target)
    assert (core.vector_bits, core.registers, core.products, core.fma) == (
        bits, registers, how, fma,
    )  # fmt: skip


def test_dot_products_of_signed_numbers_need_no_copy() -> None:
    assert products.form(isa.of(h.cpu("x86_64", "alderlake", 256)), "int8").prepared
    assert not products.form(isa.of(h.cpu("x86_64", "arrowlake", 256)), "int8").prepared


def test_the_profile_may_narrow_the_vectors_but_not_widen_them() -> None:
    assert isa.of(h.cpu("x86_64", "znver4", 256)).vector_bits == 256
    assert isa.of(h.cpu("x86_64", "x86-64-v3", 512)).vector_bits == 256


def test_features_of_the_profile_count() -> None:
    core = isa.of(h.cpu("aarch64", "cortex-a72", 128, "+dotprod"))
    assert core.products == "sdot"


def test_matrices_only_where_none_is_half_idle() -> None:
    core = isa.of(h.N2)
    assert products.form(core, "int8", run=64, columns=2).group == 8
    assert products.form(core, "int8", run=64, columns=1).group == 4
    assert products.form(core, "int8", run=4, columns=9).group == 4


def test_the_length_of_one_processor_s_vectors_is_not_another_s() -> None:
    """LLVM's options are the process's: one compilation may not leave its own behind."""
    spec = contraction.dense(12, 19, 40, "float32")

    def words(target: h.Cpu) -> bytes:
        kernel = tir.kernel(spec, target, "k")
        return tir.compile([p.func for p in kernel.phases], target)

    long, short = h.cpu("aarch64", "neoverse-v1", 256), h.cpu("aarch64", "neoverse-v1", 128)
    assert (tir.vector_bytes(long), tir.vector_bytes(short)) == (32, 0)
    before = words(short)
    found = disassembly.foreign(words(long), "aarch64", disassembly.features(h.N2) - {"sve"})
    assert {each.feature for each in found} == {"sve"}
    assert words(short) == before
    assert not disassembly.foreign(before, "aarch64", disassembly.features(h.N2) - {"sve"})
