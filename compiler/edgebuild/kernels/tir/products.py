# SPDX-License-Identifier: Apache-2.0
"""How each core sums products: the innermost step of every contraction.

A step multiplies ``group`` neighbouring elements of one row of the left side with ``group`` x
``lanes`` packed weights and adds to ``lanes`` accumulators. Weights are stored [step][lane][group].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgebuild.kernels.tir.emit import (
    Expr,
    Index,
    Memory,
    Writer,
    bits,
    cast,
    const,
    llvm,
    shuffle,
    splat,
)  # fmt: skip
from edgebuild.kernels.tir.isa import Isa


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a way of multiplying asks of its operands."""

    group: int  # elements of the contracted axis in one step
    lanes: int  # accumulators of one vector
    source: str  # element type of the left side as the steps read it
    bias: int = 0  # added to each element of the left side when it is prepared
    block: int = 1  # steps whose left side is loaded at once, as one vector
    paired: bool = False  # two accumulators share one 64-bit register
    real: bool = False  # which holds a double, exact to 53 bits
    summed: bool = False  # two products are summed in 16 bits before they are in 32
    rows: int = 1  # of the left side in one operand, whose sums share an accumulator
    spare: int = 0  # registers beside the sums and the left operands of a form of many rows
    scalable: bool = False  # SVE's products by element; see scalable.py
    positions: bool = False  # the left side is of pairs of positions, as doubles
    halves: bool = False  # operands are words of two 16-bit numbers; weights [step][group][lane]
    across: bool = False  # an instruction sums a whole vector into one number: ``across.py``

    @property
    def prepared(self) -> bool:
        """Whether the left side has to be rewritten before."""
        return self.bias != 0 or self.source == "int16"

    @property
    def end(self) -> int:
        """What a run has to be a multiple of for no step to read behind it."""
        return self.group // self.rows


_FORMS = {
    "vnni": Form(group=4, lanes=0, source="int8", bias=128),
    "pmaddwd": Form(group=2, lanes=0, source="int16"),
    "dot16": Form(group=2, lanes=0, source="int16"),
    "sdot": Form(group=4, lanes=4, source="int8", block=4),
    "smmla": Form(group=8, lanes=4, source="int8", block=2, rows=2),
    "smlal": Form(group=1, lanes=8, source="int16", block=8),
    "widen": Form(group=1, lanes=0, source="int8"),
    "pairs": Form(group=1, lanes=2, source="int8", paired=True),
    "smlad": Form(group=2, lanes=2, source="int16", halves=True),
    "vmladava": Form(group=16, lanes=4, source="int8", across=True),
}

_SUMMED = Form(group=4, lanes=4, source="int8", summed=True)
_REAL = Form(group=1, lanes=2, source="int8", paired=True, real=True)
#: Two positions, not two outputs, share a double: see ``position_pairs.py``.
POSITIONS = Form(group=1, lanes=1, source="float64", paired=True, real=True, positions=True)
_SINGLE = Form(group=1, lanes=1, source="int8")

#: Bits of the lower one of two sums in a double: up to DEEPEST products of 2**14 fit, with a sign.
LOWER = 26
DEEPEST = 1 << (LOWER - 1 - 14)
#: Rows from which on making a pair of weights is less work than multiplying each.
MANY = 3
#: Up to here LLVM writes a run out, and mixes it with what follows: constants of the epilogue.
WRITTEN_OUT = 64
CROWDED = 10


def form(
    isa: Isa, dtype: str, *, symmetric: bool = False, depth: int = 0, rows: int = 0,
    run: int = 0, columns: int = 0,
) -> Form:  # fmt: skip
    """The rule: which form a core uses for an element type.

    ``symmetric``: no weight is -128, so |x * w| <= 128 * 127 and two of them fit 16 bits.
    ``depth``: products of one sum; ``rows``: of the left side; ``run``: neighbours among the
    elements of a sum; ``columns``: rows of the left side that a tile could have.
    """
    if dtype == "float32":
        block = 4 if isa.arch == "aarch64" else 1
        return Form(group=1, lanes=isa.float_lanes, source="float32", block=block,
                    scalable=isa.scalable)  # fmt: skip
    found = _FORMS[isa.products]
    if isa.products == "smlal" and symmetric:
        found = _SUMMED
    if isa.products == "vnni" and isa.signed_dots:
        found = replace(found, bias=0)
    if found.rows > 1 and (columns < found.rows or run <= found.end):
        found = _FORMS["sdot"]  # half of every matrix would be idle
    if found.rows > 1:
        crowded = isa.in_order or run <= WRITTEN_OUT
        found = replace(found, spare=CROWDED if crowded else found.rows)
    if isa.products == "pairs" and isa.doubles:
        found = _SINGLE if rows < MANY else _REAL if depth < DEEPEST else found
    if isa.products == "widen":
        # one instruction for four registers of sums
        return replace(found, lanes=4 * isa.lanes)
    return replace(found, lanes=found.lanes or isa.lanes)


def stored_as(stored: str, isa: Isa) -> str:
    """The smaller type of float weights that a core reads; none: they are stored as floats."""
    return "" if stored == "float16" and not isa.half else stored


class Steps:
    """Emits the steps of one form."""

    def __init__(self, writer: Writer, isa: Isa, how: Form) -> None:
        self._w, self._isa, self._form = writer, isa, how
        kind = "sdot" if isa.products == "smmla" else isa.products
        self._kind = "float" if how.source == "float32" else kind

    def left(self, memory: Memory, rows: Sequence[Index], count: int) -> list[Expr]:
        """The left operands of ``count`` elements, in every lane, from each of ``rows`` on."""
        (at,), f, w = rows, self._form, self._w
        steps = count // f.group
        if f.block > 1 and steps > 1:
            loaded = w.let(memory.load(at, f.source, f.group * steps), "a")
            return [self._pick(loaded, step, steps) for step in range(steps)]
        return [self._one(memory, at + step * f.group) for step in range(steps)]

    def _pick(self, loaded: Expr, step: int, steps: int) -> Expr:
        """One step's operand of several loaded: the by-element forms of NEON."""
        f = self._form
        if f.summed:
            return self._doubles(bits(loaded, "int16", 2 * steps), 2 * step)
        if f.group == 1:
            return self._w.let(splat(shuffle([loaded], [step]), f.lanes))
        words = bits(loaded, "int32", steps)
        word = splat(shuffle([words], [step]), f.lanes)
        return self._w.let(bits(word, f.source, f.lanes * f.group))

    def _one(self, memory: Memory, at: Index) -> Expr:
        f, w = self._form, self._w
        if f.summed:
            return self._doubles(bits(memory.load(at, f.source, 4), "int16", 2), 0)
        if f.halves:
            return w.let(bits(memory.load(at, f.source, 2), "int32", 1), "a")
        if f.paired:
            return w.let(cast(memory.load(at, f.source), self.accumulator[0]), "a")
        if self._kind == "widen":
            return w.let(splat(w.let(cast(memory.load(at, f.source), "int16")), f.lanes), "a")
        if f.group == 1:
            return w.let(splat(memory.load(at, f.source), f.lanes), "a")
        word = bits(memory.load(at, f.source, f.group), "int32", 1)
        return w.let(bits(splat(word, f.lanes), f.source, f.lanes * f.group), "a")

    def _doubles(self, words: Expr, first: int) -> tuple[Expr, Expr]:
        """Elements 0 and 1 of a step all over a vector, and elements 2 and 3."""
        found = (splat(shuffle([words], [first + i]), 8) for i in (0, 1))
        low, high = (self._w.let(bits(word, "int8", 16), "a") for word in found)
        return low, high

    def right(self, memory: Memory, at: Index, dtype: str) -> Expr:
        """One vector of packed weights from element ``at`` on."""
        f = self._form
        if f.halves:
            return self._halves(memory, at)
        if f.positions:
            return self._w.let(cast(memory.load(at, dtype), "float64"), "b")
        if f.paired:
            low, high = (cast(memory.load(at + i, dtype), "int64") for i in (0, 1))
            both = self._w.let(low + (high << const(self._apart, "int64")), "b")
            return self._w.let(cast(both, self.accumulator[0]), "b")
        loaded = memory.load(at, dtype, f.lanes * f.group)
        if self._kind == "float":
            return self._w.let(cast(loaded, "float32"), "b")
        wide = f.source == "int16" or self._kind == "widen"
        return self._w.let(cast(loaded, "int16") if wide else loaded, "b")

    def _halves(self, memory: Memory, at: Index) -> Expr:
        """Two words of two products' weights each, of four weights from ``at`` on."""
        word = self._w.let(bits(memory.load(at, "int8", 4), "int32", 1))
        turned = llvm("int32", 1, "llvm.fshr", word, word, const(8, "int32"))
        words = (llvm("int32", 1, "llvm.arm.sxtb16", x) for x in (word, turned))
        return self._w.let(shuffle([self._w.let(x) for x in words], [0, 1]), "b")

    def add(self, accumulator: Expr, a: Expr, b: Expr) -> Expr:
        """accumulator + the products of one step."""
        lanes, bits_ = self._form.lanes, self._isa.vector_bits
        if self._form.summed:
            return self._add_summed(accumulator, a, b)
        if self._form.halves:
            parts = []
            for lane in range(lanes):
                word, old = (shuffle([v], [lane]) for v in (b, accumulator))
                parts.append(self._w.let(llvm("int32", 1, "llvm.arm.smlad", a, word, old)))
            return shuffle(parts, list(range(lanes)))
        if self._form.real:
            return llvm("float64", 1, "llvm.fma", a, b, accumulator)
        if self._form.paired:
            return accumulator + a * b
        if self._kind == "float":
            if self._isa.fma:
                return llvm("float32", lanes, "llvm.fma", a, b, accumulator)
            return accumulator + a * b
        if self._kind == "vnni" and not self._form.bias:
            return llvm("int32", lanes, "llvm.x86.avx2.vpdpbssd.256", accumulator, a, b)
        if self._kind == "vnni":
            return llvm("int32", lanes, f"llvm.x86.avx512.vpdpbusd.{bits_}", accumulator, a, b)
        if self._kind == "pmaddwd":
            name = {128: "sse2.pmadd.wd", 256: "avx2.pmadd.wd", 512: "avx512.pmaddw.d.512"}[bits_]
            return accumulator + llvm("int32", lanes, f"llvm.x86.{name}", a, b)
        if self._kind == "dot16":
            return accumulator + llvm("int32", lanes, "llvm.wasm.dot", a, b)
        if self._kind == "sdot":
            return llvm("int32", lanes, "llvm.aarch64.neon.sdot", accumulator, a, b)
        return accumulator + cast(a, "int32") * cast(b, "int32")

    def _add_summed(self, accumulator: Expr, a: tuple[Expr, Expr], b: Expr) -> Expr:
        """smull of the lower halves, smlal2 of the upper ones, sadalp."""
        products = []
        for half, side in enumerate(a):
            window = list(range(8 * half, 8 * half + 8))
            x, y = (shuffle([v], window) for v in (side, b))
            products.append(llvm("int16", 8, "llvm.aarch64.neon.smull", x, y))
        both = self._w.let(products[0] + products[1])
        return accumulator + llvm("int32", 4, "llvm.aarch64.neon.saddlp", both)

    @property
    def _apart(self) -> int:
        """Bits between the two sums of a pair."""
        return LOWER if self._form.real else 32

    def halves(self, both: Expr) -> tuple[Expr, Expr]:
        """The low and the high sum of a double.

        The high one is the nearest multiple: a number added and taken off rounds to it.
        """
        w, scale = self._w, float(1 << LOWER)
        whole = const(1.5 * 2.0**52, "float64")
        high = w.let(llvm("float64", 1, "llvm.fma", both, const(1 / scale, "float64"), whole))
        high = w.let(high - whole)
        low = w.let(llvm("float64", 1, "llvm.fma", high, const(-scale, "float64"), both))
        return low, high

    @property
    def accumulator(self) -> tuple[str, int]:
        """Element type and lanes of an accumulator."""
        if self._form.paired:
            return ("float64" if self._form.real else "int64"), 1
        return ("float32" if self._kind == "float" else "int32"), self._form.lanes

    def start(self, vector: Callable[[], Expr]) -> list[Expr]:
        """What the accumulators of a vector of outputs start with."""
        return [self.zero() if self._form.paired else vector()]

    def zero(self) -> Expr:
        dtype, lanes = self.accumulator
        return const(0, dtype, lanes)

    def result(self, accumulators: Sequence[Expr], row: int, start: Expr) -> Expr:
        """The sums of a row of finished ones, as doubles if they are ``real``.

        ``start``, of the same type, is only added here to paired ones.

        The low sum is the low half, read as signed; the high one is what remains without it.
        """
        value = self._w.let(accumulators[row])
        if not self._form.paired:
            return value
        if self._form.real:
            both = shuffle(self.halves(value), [0, 1])
            return self._w.let(self._w.let(both) + start)
        above = const(64 - self._apart, "int64")
        low = self._w.let((value << above) >> above)
        high = (value - low) >> const(self._apart, "int64")
        low = self._w.let(cast(low, "int32"))
        both = shuffle([low, self._w.let(cast(high, "int32"))], [0, 1])
        return self._w.let(self._w.let(both) + start)
