# SPDX-License-Identifier: Apache-2.0
"""Kernels for Helium: what they are made of; tests/flow/test_kernels_narrow.py runs them."""

import dataclasses

import pytest

from edgebuild.kernels import cputarget, disassembly, specs, tir
from edgebuild.kernels.tir import isa
from tests.unit import tir_helpers as helpers

M55 = helpers.cpu("armv8.1-m", "cortex-m55", 128, "+mve.fp", "+fp-armv8d16")
INTEGERS = dataclasses.replace(M55, features=("+mve",))
NEITHER = dataclasses.replace(M55, features=(), vector_bits=0)

WINDOWS = [
    # input, output, kernel, stride, dilation, padding, groups
    ((1, 6, 7, 16), (1, 6, 7, 8), (1, 1), (1, 1), (1, 1), (0, 0), 1),
    ((2, 9, 8, 3), (2, 5, 4, 5), (3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((1, 9, 8, 12), (1, 9, 8, 12), (3, 2), (1, 1), (2, 2), (2, 1), 3),
    ((1, 5, 5, 70), (1, 3, 3, 9), (3, 3), (1, 1), (1, 1), (0, 0), 1),
    ((1, 4, 4, 200), (1, 4, 4, 4), (1, 1), (1, 1), (1, 1), (0, 0), 1),
]


def conv(into, out, kernel, stride, dilation, padding, groups):
    window = specs.Window(kernel=kernel, stride=stride, dilation=dilation, padding=padding)
    return specs.Conv2d(
        input=into, output=out, window=window, groups=groups, dtype="int8", input_zero=-5,
        epilogue=helpers.requantised(out, known=1),
    )  # fmt: skip


def code(spec, target, **options):
    kernel = tir.kernel(spec, target, "k0", **options)
    functions = [phase.func for phase in kernel.phases]
    assembly = tir.module_of(functions, target).inspect_source("asm")
    return kernel, assembly, tir.compile(functions, target)


@pytest.mark.parametrize("shape", WINDOWS)
def test_convolutions_sum_whole_vectors(shape):
    kernel, assembly, compiled = code(conv(*shape), M55)
    assert "vmlava.s8" in assembly or "vmlav.s8" in assembly
    assert "vqrdmulh.s32" in assembly
    assert not disassembly.foreign(compiled, M55.arch, disassembly.features(M55))
    # what one window sees, and no image
    (height, width), (_, _, _, channels), groups = shape[2], shape[0], shape[6]
    seen = height * width * channels // groups
    assert kernel.scratch_bytes <= -(-seen // 64) * 64


@pytest.mark.parametrize("target", [M55, INTEGERS, NEITHER], ids=["floats", "integers", "neither"])
def test_no_instruction_that_the_profile_lacks(target):
    spec = conv(*WINDOWS[1])
    residual = dataclasses.replace(
        spec, epilogue=helpers.requantised(spec.output, residual=True, known=1)
    )
    _, assembly, compiled = code(residual, target)
    assert not disassembly.foreign(compiled, target.arch, disassembly.features(target))
    assert ("vmlav" in assembly) == (target is not NEITHER)
    assert ("vcvt.f32" in assembly) == (target is M55)


def test_a_position_that_is_written_over_is_copied_before():
    spec = conv((1, 6, 7, 16), (1, 6, 7, 16), (1, 1), (1, 1), (1, 1), (0, 0), 1)
    assert tir.rewrites(spec, M55)
    apart, _, _ = code(spec, M55)
    over, _, _ = code(spec, M55, over="input")
    assert apart.scratch_bytes == 0
    assert over.scratch_bytes == 64


def test_dense_layers_are_one_position_per_row():
    spec = specs.Dense(m=3, k=40, n=10, dtype="int8", input_zero=3,
                       epilogue=helpers.rescaled_really((3, 10), known=1))  # fmt: skip
    _, assembly, compiled = code(spec, M55)
    assert "vmlav" in assembly
    assert not disassembly.foreign(compiled, M55.arch, disassembly.features(M55))


def test_lanes_of_floats_are_asked_for_apart():
    assert isa.of(M55).float_lanes == isa.of(M55).lanes == 4
    assert (isa.of(INTEGERS).float_lanes, isa.of(INTEGERS).lanes) == (1, 4)
    assert (isa.of(NEITHER).products, isa.of(NEITHER).lanes) == ("smlad", 1)


def test_the_call_convention_follows_the_registers():
    assert cputarget.triple(M55).llvm.endswith("eabihf")
    assert cputarget.triple(INTEGERS).llvm.endswith("eabihf")  # vectors have the same registers
    assert cputarget.triple(NEITHER).llvm.endswith("eabi")
    assert cputarget.triple(NEITHER).zig == "thumb-freestanding-eabi"
    assert cputarget.triple(helpers.M4).zig == "thumb-freestanding-eabihf"
