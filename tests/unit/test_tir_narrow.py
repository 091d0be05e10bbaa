# SPDX-License-Identifier: Apache-2.0
"""Addresses of 32-bit processors: 32 bits for them, 64 for numbers that need as many."""

from __future__ import annotations

import pytest
from tvm import tirx

from edgebuild.kernels import specs, tir
from edgebuild.kernels.tir.emit import Writer, cast, const
from edgebuild.kernels.tir.narrow import narrowed
from tests.unit import tir_helpers as h


def text(writer: Writer) -> str:
    return str(narrowed(writer.function("f", noalias=True)).script())


def test_counters_and_what_is_made_of_them_have_32_bits() -> None:
    w = Writer()
    source, target = w.pointer("source"), w.pointer("target")
    begin, end = w.number("begin"), w.number("end")
    with w.loop(begin, end) as i:
        row = w.let(tirx.Div(i, const(7, "int64")))
        inside = (row >= const(0, "int64")) & (row < const(5, "int64"))
        place = w.let(tirx.Select(inside, row * 3 + i, const(0, "int64")))
        with w.when(inside):
            target.store(place, source.load(w.let(tirx.Min(place, const(9, "int64"))), "int8"))
    found = text(w)
    assert "int64" not in found[found.index("begin1") :]


def test_numbers_keep_their_64_bits_and_are_narrowed_where_they_are_addresses() -> None:
    w = Writer()
    source, target = w.pointer("source"), w.pointer("target")
    with w.loop(0, 4) as i:
        product = w.let(cast(source.load(i, "int32"), "int64") * const(1 << 40, "int64"))
        shifted = w.let(product >> const(20, "int64"))
        target.store(i, cast(shifted, "int32"))
        at = w.let(cast(source.load(i, "int32"), "int64"))
        target.store(i + 4, source.load(tirx.Max(at, const(0, "int64")), "int32"))
        target.store(i + 8, cast(at + i, "int32"))
    found = text(w)
    loop = found[found.index("for ") :].splitlines()
    assert "in range(4)" in loop[0]
    wide = [line.split(":")[0].strip() for line in loop if "T.int64 =" in line]
    assert len(wide) == 3  # the product, what is shifted, what is read
    assert 'source_int32[T.Cast("int32", T.max(' in found


@pytest.mark.parametrize("target", [h.M4, h.WASM], ids=["m4", "wasm"])
def test_kernels_call_nothing_for_their_addresses(target: h.Cpu) -> None:
    """A division of 64 bits is a call of the compiler's runtime on these processors."""
    conv = specs.Conv2d(
        input=(2, 9, 8, 5), output=(2, 9, 8, 7), window=specs.Window(kernel=(3, 3), padding=(1, 1)),
        dtype="int8", input_zero=3, epilogue=h.requantised((2, 9, 8, 7)),
    )  # fmt: skip
    kernel = tir.kernel(conv, target, "k")
    data = tir.compile([phase.func for phase in kernel.phases], target)
    assert b"divdi3" not in data
    assert b"ldivmod" not in data
