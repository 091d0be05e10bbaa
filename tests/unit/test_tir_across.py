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


def depthwise(size, channels, kernel=(3, 3), stride=(1, 1)):
    padding = (kernel[0] // 2, kernel[1] // 2)
    out = (1, *(-(-n // s) for n, s in zip(size, stride, strict=True)), channels)
    window = specs.Window(kernel=kernel, stride=stride, padding=padding)
    return specs.Depthwise2d(
        input=(1, *size, channels), output=out, window=window, dtype="int8", input_zero=-5,
        epilogue=helpers.requantised(out, known=1),
    )  # fmt: skip


@pytest.mark.parametrize(
    "spec",
    [depthwise((9, 8), 16), depthwise((9, 8), 37), depthwise((8, 9), 11, (5, 5)),
     depthwise((9, 9), 4, stride=(2, 2))],
)  # fmt: skip
def test_depthwise_rows_are_words_of_one_channel(spec):
    kernel, assembly, compiled = code(spec, M55)
    assert "vst43.8" in assembly
    assert "vmlav.s8" in assembly or "vmlava.s8" in assembly
    assert not disassembly.foreign(compiled, M55.arch, disassembly.features(M55))
    rows = -(-spec.window.kernel[0] // 4)
    assert kernel.scratch_bytes <= rows * 64 * (spec.input[2] + 8)


def test_words_of_one_channel_take_no_memory_that_others_would_not():
    spec = depthwise((9, 8), 16)
    _, without, _ = code(spec, M55, free_bytes=100)
    assert "vst43.8" not in without
    over, within, _ = code(depthwise((9, 8), 64), M55, free_bytes=0, over="input")
    assert "vst43.8" in within
    assert over.scratch_bytes <= 2 * 8 * 64
    _, multiplied, _ = code(dataclasses.replace(spec, input=(1, 9, 8, 8)), M55)
    assert "vst43.8" not in multiplied
