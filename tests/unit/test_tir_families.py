# SPDX-License-Identifier: Apache-2.0
"""The families that are no contractions, against the reference."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgebuild.kernels import softmax, specs, tir
from edgebuild.kernels.specs import Window
from edgebuild.kernels.tir import depthwise as depthwise_module
from edgebuild.kernels.tir import isa
from edgebuild.model.profile import Cache
from tests.unit import tir_helpers as h


def depthwise(
    size: tuple[int, int], channels: tuple[int, int], window: Window, dtype: str, images: int = 1
) -> specs.Depthwise2d:
    out = [
        (n + 2 * p - (k - 1) * d - 1) // s + 1
        for n, p, k, d, s in zip(size, window.padding, window.kernel, window.dilation,
                                 window.stride, strict=True)
    ]  # fmt: skip
    shape = (images, out[0], out[1], channels[1])
    return specs.Depthwise2d(
        input=(images, *size, channels[0]), output=shape, window=window, dtype=dtype,
        input_zero=9 if dtype == "int8" else 0,
        epilogue=h.requantised(shape) if dtype == "int8" else h.clamped(shape),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_depthwise_convolutions(tmp_path: Path, dtype: str) -> None:
    same = Window(kernel=(3, 3), padding=(1, 1))
    many = [
        depthwise((7, 6), (c, c * multiplier), same, dtype, images)
        for c, multiplier, images in (
            (1, 8, 1), (3, 3, 1), (8, 1, 2), (9, 1, 1), (16, 1, 1), (24, 1, 1), (70, 1, 1),
        )
    ]  # fmt: skip
    windows = [
        Window(kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
        Window(kernel=(5, 5), padding=(2, 2)),
        Window(kernel=(3, 3), stride=(2, 2)),
        Window(kernel=(4, 2), padding=(1, 0)),
        Window(kernel=(3, 3), dilation=(2, 2), padding=(2, 2)),
        Window(kernel=(1, 3), dilation=(1, 2), padding=(0, 2)),
    ]
    many += [depthwise((9, 11), (20, 20), window, dtype) for window in windows]
    h.check(tmp_path, many)


def test_channels_are_cut_where_a_window_s_rows_leave_the_first_cache(tmp_path: Path) -> None:
    """A part's rows of a window take half of the cache, unless nothing fits or L2 is too small."""
    same = Window(kernel=(3, 3), padding=(1, 1))
    core = isa.of(h.host())
    cut = {
        (14, 384): 3, (14, 96): 1, (14, 37): 1,
        (28, 256): 1,  # 1 KiB apart: the columns of a part fall on the same lines
        (112, 192): 1,  # beyond L2
    }  # fmt: skip
    held = dataclasses.replace(isa.of(h.VNNI), l1_bytes=48 << 10, l2_bytes=1 << 20)
    for (size, channels), parts in cut.items():
        spec = depthwise((size, size), (channels, channels), same, "float32")
        assert depthwise_module.parts(spec, held) == parts
    spec = depthwise((9, 7), (20 * core.lanes, 20 * core.lanes), same, "float32", 2)
    # half of it: three rows of seven columns of four vectors
    caches = Cache(l1d_bytes=2 * 3 * 7 * 4 * core.lanes * 4, l2_bytes=1 << 20)
    target = dataclasses.replace(h.host(), cores=1, cache=caches)
    assert depthwise_module.parts(spec, isa.of(target)) == 5
    compiled = h.Compiled(tmp_path, [spec], target)
    arguments = h.random_arguments(spec)
    whole = compiled.run(0, arguments)
    h.compare(spec, whole, arguments, 1e-5)
    assert np.array_equal(whole, compiled.run(0, arguments, pieces=4, shift=1))


def test_a_depthwise_convolution_splits_into_tasks(tmp_path: Path) -> None:
    for dtype in ("int8", "float32"):
        spec = depthwise((9, 7), (37, 37), Window(kernel=(3, 3), padding=(1, 1)), dtype, 2)
        compiled = h.Compiled(tmp_path / dtype, [spec], h.runnable()[0])
        arguments = h.random_arguments(spec)
        whole = compiled.run(0, arguments)
        assert np.array_equal(whole, compiled.run(0, arguments, pieces=4, shift=1))


def test_a_large_window_is_a_loop(tmp_path: Path) -> None:
    window = Window(kernel=(9, 31), padding=(4, 15))
    many = [depthwise((10, 33), (5, 5), window, dtype) for dtype in ("int8", "float32")]
    h.check(tmp_path, many)
    assert max(p.stat().st_size for p in tmp_path.rglob("*.so")) < 100_000


@pytest.mark.parametrize("cores", [1, 3])
def test_large_depthwise_convolutions_take_little_scratch(tmp_path: Path, cores: int) -> None:
    same = Window(kernel=(3, 3), padding=(1, 1))
    many = [
        depthwise((9, 7), (24, 24), same, "int8", 2),
        depthwise((9, 7), (3, 6), same, "int8"),
        depthwise((11, 8), (20, 20), Window(kernel=(5, 5), stride=(2, 2), padding=(2, 2)), "int8"),
    ]
    for target in h.runnable():
        small = h.tiny_caches(target, 1024, cores)
        compiled = h.Compiled(tmp_path / f"{target.model}-{target.vector_bits}", many, small)
        for number, spec in enumerate(many):
            arguments = h.random_arguments(spec, number)
            h.compare(spec, compiled.run(number, arguments, pieces=2), arguments, 0)


def test_no_depthwise_input_is_copied() -> None:
    spec = depthwise((9, 7), (64, 64), Window(kernel=(3, 3), padding=(1, 1)), "int8")
    for target in (h.V2, h.V3, h.VNNI, h.A72, h.A76):
        assert tir.kernel(spec, target, "k").scratch_bytes == 0
    # planes of pairs are worth a copy, where memory is free
    assert tir.kernel(spec, h.RV64, "k").scratch_bytes > 0
    assert tir.kernel(spec, h.RV64, "k", free_bytes=0).scratch_bytes == 0


def test_all_of_an_image_may_be_edge(tmp_path: Path) -> None:
    """Windows larger than the image, padding on all sides, odd channels and rows."""
    many = [
        depthwise(size, (c, c), Window(kernel=kernel, stride=stride, padding=padding), "int8", 2)
        for c in (16, 19, 37)
        for size, kernel, stride, padding in (
            ((1, 1), (3, 3), (1, 1), (1, 1)),
            ((2, 3), (5, 5), (2, 2), (2, 2)),
            ((3, 2), (7, 3), (1, 2), (3, 1)),
            ((9, 20), (3, 3), (1, 1), (1, 1)),
            ((8, 17), (3, 5), (2, 1), (0, 2)),
        )
    ]
    h.check(tmp_path, many)


def test_pooling(tmp_path: Path) -> None:
    many: list[specs.Spec] = []
    window = Window(kernel=(3, 3), stride=(2, 2), padding=(1, 1))
    for function in ("average", "maximum"):
        for dtype in ("int8", "float32"):
            for counted in (False, True):
                shape = (2, 5, 4, 19)
                kind = "int32" if (function, dtype) == ("average", "int8") else dtype
                epilogue = h.plain(shape, kind)
                many.append(specs.Pool2d(
                    function=function, input=(2, 9, 7, 19), output=shape, window=window,
                    count_padding=counted, dtype=dtype, epilogue=epilogue,
                ))  # fmt: skip
    h.check(tmp_path, many)


def test_reductions(tmp_path: Path) -> None:
    many: list[specs.Spec] = []
    for axes in ((1, 2), (3,), (0, 1, 2, 3), (1,), (2, 3)):
        shape = tuple(1 if axis in axes else n for axis, n in enumerate((2, 3, 4, 37)))
        for function in ("sum", "maximum", "minimum"):
            for dtype in ("float32", "int8"):
                kind = "int32" if (function, dtype) == ("sum", "int8") else dtype
                many.append(specs.Reduce(
                    function=function, input=(2, 3, 4, 37), axes=axes, dtype=dtype,
                    epilogue=h.plain(shape, kind),
                ))  # fmt: skip
    h.check(tmp_path, many)


def test_softmax_of_all_sizes_and_scales(tmp_path: Path) -> None:
    many: list[specs.Spec] = []
    for columns in (1, 2, 10, 12, 37, 70):
        many.append(specs.Softmax(rows=5, columns=columns, dtype="float32", beta=0.7))
        for scale in (0.004, 0.05, 0.3, 0.9):
            multiplier, left, smallest = softmax.parameters(1.0, scale)
            many.append(specs.Softmax(
                rows=5, columns=columns, dtype="int8", multiplier=multiplier, left_shift=left,
                diff_min=smallest,
            ))  # fmt: skip
    h.check(tmp_path, many)


def test_layer_normalisation(tmp_path: Path) -> None:
    shape = (3, 67)
    program = h.Program(
        operands=(h.operand(shape, source="accumulator"), h.operand((67,), source="constant"),
                  h.operand((67,), source="constant")),
        steps=(h.step("mul", (0, 1)), h.step("add", (3, 2))),
    )  # fmt: skip
    h.check(tmp_path, [
        specs.LayerNorm(rows=3, columns=67, epsilon=1e-5, addend=addend, epilogue=program)
        for addend in (False, True)
    ])  # fmt: skip


_UNARY = ("exp", "log", "erf", "tanh", "logistic", "sqrt", "rsqrt", "floor", "neg", "abs")
_BINARY = ("add", "sub", "mul", "div", "pow", "maximum", "minimum")


def test_float_functions_with_all_special_values(tmp_path: Path) -> None:
    special = np.array([0, -0.0, np.nan, np.inf, -np.inf, 1e-40, 88.9, -104.5, 2.5, -0.5, 1],
                       np.float32)  # fmt: skip
    n = special.size
    many = [h.elementwise((37,), [h.operand((37,))], h.step(f, (0,))) for f in _UNARY]
    many += [
        h.elementwise((n, n), [h.operand((n, n)), h.operand((n,))], h.step(f, (0, 1)))
        for f in _BINARY
    ]
    many.append(h.elementwise((37,), [h.operand((37,))], h.step("clamp", (0,), -1.0, 2.0)))
    for target in h.runnable():
        compiled = h.Compiled(tmp_path / f"{target.model}-{target.vector_bits}", many, target)
        for number, spec in enumerate(many):
            arguments = h.random_arguments(spec, number)
            if len(arguments) == 2:
                arguments = [np.repeat(special, n).reshape(n, n), special]
            else:
                arguments[0][:n] = special
            h.compare(spec, compiled.run(number, arguments), arguments, 1e-5)


def test_comparisons_selections_and_conversions(tmp_path: Path) -> None:
    shape, x, row = (3, 5, 7), h.operand((3, 5, 7)), h.operand((7,), source="constant")
    many = [
        h.elementwise(shape, [x, row], h.step(f, (0, 1), dtype="bool"))
        for f in ("less", "greater", "equal")
    ]
    many += [
        h.elementwise(shape, [x, row], h.step("less", (0, 1), dtype="bool"),
                      h.step("not", (2,), dtype="bool"), h.step("select", (3, 0, 1))),
        h.elementwise(shape, [h.operand(shape, "bool")], h.step("cast", (0,))),
        h.elementwise(shape, [h.operand(shape, "int32")], h.step("cast", (0,), dtype="bool")),
        h.elementwise(shape, [h.operand((3, 1, 7), "int32"), h.operand((5, 1), "int32")],
                      h.step("maximum", (0, 1), dtype="int32"),
                      h.step("clamp", (2,), -3, 9, dtype="int32")),
        h.elementwise(shape, [x], h.step("number", (), 2.5), h.step("mul", (0, 1))),
        h.elementwise(shape, [h.operand(shape, "int32")], h.step("abs", (0,), dtype="int32")),
        h.elementwise(shape, [x], h.step("quantise", (0,), 0.1, 3, -128, 127, dtype="int8")),
        h.elementwise(shape, [h.operand(shape, "int8")], h.step("dequantise", (0,), 0.1, 3)),
    ]  # fmt: skip
    h.check(tmp_path, many)


def test_whole_numbers_wrap_and_conversions_saturate(tmp_path: Path) -> None:
    """C has no rule for either; kernels have one, the same on every processor."""
    ends = np.iinfo(np.int32)
    x = np.array([ends.max, ends.min, ends.min, 5], np.int32)
    y = np.array([1, -1, ends.min, -7], np.int32)
    whole, number = h.operand((4,), "int32"), h.operand((4,))
    pairs = [h.elementwise((4,), [whole, whole], h.step(f, (0, 1), dtype="int32"))
             for f in ("add", "sub", "mul")]  # fmt: skip
    cast = h.elementwise((4,), [number], h.step("cast", (0,), dtype="int32"))
    for target in h.runnable():
        folder = tmp_path / f"{target.model}-{target.vector_bits}"
        compiled = h.Compiled(folder, [*pairs, cast], target)
        results = [compiled.run(i, [x, y]).tolist() for i in range(3)]
        assert results[0] == [ends.min, ends.max, 0, -2]
        assert results[1] == [ends.max - 1, ends.min + 1, 0, 12]
        assert results[2] == [ends.max, ends.min, 0, -35]
        wild = np.array([np.nan, 3e9, -np.inf, -2.7], np.float32)
        assert compiled.run(3, [wild]).tolist() == [0, ends.max, ends.min, -2]


def test_8_bit_programs(tmp_path: Path) -> None:
    x = h.operand((70,), "int8")
    total = (-3, 1 << 30, -1, 4, 1700000000, 0, 20, 1500000000, -18, 5, -128, 127)
    unusual = (-3, 1 << 30, 1, 4, 1700000000, -2, 8, 1500000000, -7, 5, -128, 127)
    # 32 bits hold the square of a difference that was shifted by 7, as TFLite's are
    squared = (*total[:6], 7, 1500000000, -21, *total[9:])
    many = [
        h.elementwise((70,), [x, x], h.step(f, (0, 1), *numbers, dtype="int8"))
        for f, numbers in (
            ("add_int8", total), ("add_int8", unusual), ("sub_int8", total), ("sub_int8", unusual),
            ("squared_difference_int8", squared), ("squared_difference_int8", unusual),
        )
    ]  # fmt: skip
    many += [
        h.elementwise((70,), [x, x],
                      h.step("mul_int8", (0, 1), 3, 4, 1500000000, -7, 2, -128, 127, dtype="int8")),
        h.elementwise((70,), [x],
                      h.step("rescale", (0,), 3, 1500000000, 1, 2, -128, 127, dtype="int8")),
        h.elementwise((70,), [x, h.operand((256,), "int8", "constant")],
                      h.step("lookup", (0, 1), dtype="int8")),
        h.elementwise((70,), [h.operand((70,), "int32")],
                      h.step("divide_rounded", (0,), 7, dtype="int32")),
    ]  # fmt: skip
    h.check(tmp_path, many)


def test_a_long_axis_is_cut_into_tasks(tmp_path: Path) -> None:
    spec = h.elementwise((40000,), [h.operand((40000,))], h.step("neg", (0,)))
    compiled = h.Compiled(tmp_path, [spec], h.runnable()[0])
    assert compiled.kernels[0].phases[0].tasks > 1
    arguments = h.random_arguments(spec)
    h.compare(spec, compiled.run(0, arguments, pieces=3), arguments, 0)


Ints = tuple[int, ...]


def copy(
    shape: Ints, ins: Ints, outs: Ints, sizes: tuple[int, int], dtype: str, offset: int = 0
) -> specs.Copy:
    return specs.Copy(shape=shape, dtype=dtype, input_size=sizes[0], output_size=sizes[1],
                      output_offset=offset, input_strides=ins, output_strides=outs)  # fmt: skip


def test_copies(tmp_path: Path) -> None:
    many = [
        copy((3, 4, 5), (20, 1, 4), (20, 5, 1), (60, 60), "float32"),
        copy((3, 4, 64), (256, 64, 1), (320, 80, 1), (768, 960), "int8", 3),
        copy((3, 4), (1, 0), (4, 1), (3, 12), "int8"),
        copy((), (), (), (3, 12), "bool"),
        copy((20, 30), (30, 1), (1, 20), (600, 600), "float32"),
        copy((9000,), (1,), (1,), (9000, 9000), "int64"),
    ]
    for target in h.runnable():
        compiled = h.Compiled(tmp_path / f"{target.model}-{target.vector_bits}", many, target)
        for number, spec in enumerate(many):
            arguments = h.random_arguments(spec, number)
            before = np.zeros(spec.output_size, np.dtype(spec.dtype))
            got = compiled.run(number, arguments, output=before)
            assert np.array_equal(got, h.reference.evaluate(spec, arguments, before.copy()))


def test_a_backward_copy(tmp_path: Path) -> None:
    spec = specs.Copy(shape=(6,), dtype="float32", input_size=6, output_size=6, input_offset=5,
                      input_strides=(-1,), output_strides=(1,))  # fmt: skip
    compiled = h.Compiled(tmp_path, [spec], h.runnable()[0])
    values = np.arange(6, dtype=np.float32)
    assert np.array_equal(compiled.run(0, [values]), values[::-1])


def test_padding(tmp_path: Path) -> None:
    many = [
        specs.Pad(input=(1, 4, 5, 3), output=(1, 7, 8, 3), before=(0, 1, 2, 0), value=7,
                  dtype="int8"),
        specs.Pad(input=(4, 5), output=(6, 9), before=(2, 1), value=-1.5, dtype="float32"),
    ]  # fmt: skip
    h.check(tmp_path, many)


@pytest.mark.parametrize("constant", [True, False])
def test_no_index_reads_outside_of_the_data(tmp_path: Path, constant: bool) -> None:
    spec = specs.Gather(outer=2, size=9, inner=33, count=6, dtype="float32", index_dtype="int64",
                        constant=constant)  # fmt: skip
    compiled = h.Compiled(tmp_path, [spec], h.runnable()[0])
    data = np.arange(2 * 9 * 33, dtype=np.float32).reshape(2, 9, 33)
    index = np.array([0, -1, 8, 9, -(1 << 40), 1 << 40])
    arguments = [index, data] if spec.arguments()[0].name == "indices" else [data, index]
    h.compare(spec, compiled.run(0, arguments), arguments, 0)


def test_an_elementwise_kernel_may_write_over_its_input(tmp_path: Path) -> None:
    spec = h.elementwise((70,), [h.operand((70,)), h.operand((70,))], h.step("add", (0, 1)))
    kernel = h.Compiled(tmp_path, [spec], h.runnable()[0])
    function = kernel.library.k0
    function.restype = None
    buffer = h.aligned(280)
    values = np.arange(70, dtype=np.float32)
    buffer[:] = values.view(np.uint8)
    at = h.ctypes.c_void_p(buffer.ctypes.data)
    function(at, at, None, at, None, 0, kernel.kernels[0].phases[0].tasks)
    assert np.array_equal(buffer.view(np.float32), values * 2)
