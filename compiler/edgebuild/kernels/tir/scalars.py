# SPDX-License-Identifier: Apache-2.0
"""Scalar programs as vector code: the one place where epilogues and element-wise work are written.

A program runs for ``lanes`` neighbours along the last axis of its domain. Where its operands are
read is a matter of strides only, so the families share this whatever their loops are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx

from edgebuild.kernels.program import FUNCTIONS, Operand, Program, Step
from edgebuild.kernels.tir import bytetable, double_lines
from edgebuild.kernels.tir.constants import ALIGNMENT, Block
from edgebuild.kernels.tir.double_lines import Result
from edgebuild.kernels.tir.emit import (
    Expr,
    Index,
    Memory,
    Writer,
    cast,
    const,
    dtype_of,
    llvm,
    load_first,
    splat,
)  # fmt: skip
from edgebuild.kernels.tir.floats import UNARY, Floats
from edgebuild.kernels.tir.integers import STEPS, Integers
from edgebuild.kernels.tir.isa import Isa


def strides_over(shape: Sequence[int], domain: Sequence[int]) -> tuple[int, ...]:
    """Element strides of a row-major array over the domain that it broadcasts to."""
    full = (1,) * (len(domain) - len(shape)) + tuple(shape)
    strides, step = [0] * len(full), 1
    for axis in range(len(full) - 1, -1, -1):
        strides[axis] = step if full[axis] > 1 else 0
        step *= full[axis]
    return tuple(strides)


def offset(coordinates: Sequence[Index], strides: Sequence[int]) -> Index:
    """Where a position lies."""
    total: Index = 0
    for coordinate, stride in zip(coordinates, strides, strict=True):
        if stride and not (isinstance(coordinate, int) and coordinate == 0):
            total = total + coordinate * stride
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """``lanes`` neighbours from ``coordinates`` on, along the last axis of the domain.

    ``valid``: so many of them exist, from a multiple of ``lanes`` on; results of the others do not
    matter. ``even``: whether the last coordinate is an even number.
    """

    coordinates: tuple[Index, ...]
    lanes: int
    valid: int | None = None
    even: bool = True


class Programs:
    """Runs one program at points of its domain."""

    def __init__(
        self, writer: Writer, isa: Isa, program: Program, domain: Sequence[int],
        inputs: Mapping[str, Memory], block: Block, constants: Memory,
        strides: Mapping[int, tuple[int, ...]] | None = None,
    ) -> None:  # fmt: skip
        self._w, self._isa, self._program = writer, isa, program
        self._domain, self._inputs = tuple(domain), inputs
        self._block, self._constants = block, constants
        self._floats = Floats(writer, isa)
        self._integers = Integers(writer, isa, block, constants, self._domain)
        self._strides = dict(strides or {})
        for number, operand in enumerate(program.operands):
            if number not in self._strides:
                self._strides[number] = strides_over(operand.shape, self._domain)

    @property
    def dtype(self) -> str:
        return self._program.dtype

    def doubles(self, skip: int) -> bool:
        """Whether the accumulator may come as doubles: one step reads it and wants that."""
        number = len(self._program.operands) + skip - 1
        if not skip:
            sources = [o.source for o in self._program.operands]
            number = sources.index("accumulator") if "accumulator" in sources else -1
        readers = [s for s in self._program.steps[skip:] if number in s.arguments]
        return len(readers) == 1 and double_lines.suits(self._isa, readers[0])

    @property
    def channels(self) -> int:
        """Extent of the domain's last axis."""
        return self._domain[-1]

    def run(self, point: Point, accumulator: Expr | None = None, *, skip: int = 0) -> Expr:
        """The program's result: a vector of ``point.lanes``.

        ``skip``: that many first steps are in the accumulator already.
        """
        operands = self._program.operands
        values: dict[int, Expr] = {}

        def value(number: int) -> Expr:
            if number not in values:
                values[number] = self._operand(number, operands[number], point, accumulator)
            return values[number]

        results: dict[int, Result] = {}
        for number, step in enumerate(self._program.steps, len(operands)):
            if number < len(operands) + skip:
                values[number] = accumulator
                continue
            made = self._step(step, value, results, point)
            if isinstance(made, Result):
                results[number] = made
            values[number] = made.stored if isinstance(made, Result) else made
        return value(len(operands) + len(self._program.steps) - 1)

    def _operand(
        self, number: int, operand: Operand, point: Point, accumulator: Expr | None
    ) -> Expr:
        if operand.source == "accumulator":
            return accumulator
        memory, base = self._place(number, operand)
        strides = self._strides[number]
        at = base + offset(point.coordinates, strides)
        dtype = "int8" if operand.dtype == "bool" else operand.dtype
        if strides and strides[-1] != 0:
            valid = point.valid
            if valid is None or self._padded(operand, strides, point.lanes):
                valid = point.lanes
            loaded = load_first(memory, at, dtype, (valid, point.lanes), strides[-1])
        else:
            loaded = splat(memory.load(at, dtype), point.lanes)
        loaded = self._w.let(loaded)
        if operand.dtype != "bool":
            return loaded
        return self._w.let(tirx.NE(loaded, const(0, "int8", point.lanes)))

    def _padded(self, operand: Operand, strides: Sequence[int], lanes: int) -> bool:
        """Whether there is something behind the last channel: parts of a block are whole lines."""
        fits = lanes * np.dtype(operand.dtype).itemsize <= ALIGNMENT
        return operand.source == "constant" and fits and not any(strides[:-1])

    def _place(self, number: int, operand: Operand) -> tuple[Memory, int]:
        name = f"p{number}"
        if operand.source == "input":
            return self._inputs[name], 0
        count = int(np.prod(operand.shape, dtype=np.int64))
        dtype = "int8" if operand.dtype == "bool" else operand.dtype
        return self._constants, self._block.reserve(name, dtype, count, lambda c: c[name])

    def _step(
        self, step: Step, value: Callable[[int], Expr], results: Mapping[int, Result], point: Point
    ) -> Expr | Result:
        if step.function in STEPS:
            return self._integers.run(
                step, value, results, point.coordinates[-1], point.lanes, even=point.even
            )
        if step.function == "lookup":
            return self._lookup(step, value, point)
        numbers = dict(zip(FUNCTIONS[step.function][1], step.numbers, strict=True))
        arguments = [value(number) for number in step.arguments]
        if step.function == "divide_rounded":
            x, count = cast(arguments[0], "int32"), int(numbers["count"])
            return self._w.let(cast(divide_rounded(self._w, x, count, point.lanes), step.dtype))
        return self._w.let(self._plain(step, numbers, arguments, point.lanes))

    def _lookup(self, step: Step, value: Callable[[int], Expr], point: Point) -> Expr:
        """table[x + 128]; one element at a time where the CPU has no wide byte table."""
        position, table = step.arguments
        memory, base = self._place(table, self._program.operands[table])
        dtype = self._program.operands[table].dtype
        if dtype == "int8" and bytetable.fits(self._isa, point.lanes):
            return bytetable.picked(self._w, memory, base, value(position), point.lanes)
        x = self._w.let(cast(value(position), "int64"))
        parts = []
        for lane in range(point.lanes):
            one = x if point.lanes == 1 else tirx.Shuffle([x], [tirx.const(lane, "int32")])
            parts.append(self._w.let(memory.load(one + (base + 128), dtype)))
        return parts[0] if point.lanes == 1 else self._w.let(
            tirx.Shuffle(parts, [tirx.const(i, "int32") for i in range(point.lanes)])
        )  # fmt: skip

    # ---- floats and the rest ----

    def _plain(self, step: Step, numbers: Mapping[str, float], v: list[Expr], lanes: int) -> Expr:
        floats, name = self._floats, step.function
        if name in UNARY:
            return UNARY[name](floats, v[0])
        if name in _WRAPPING and step.dtype == "int32":
            return cast(_WRAPPING[name](*(cast(x, "int64") for x in v)), "int32")
        if name in _BINARY:
            return _BINARY[name](v[0], v[1])
        if name == "number":
            return const(numbers["value"], step.dtype, lanes)
        if name == "clamp":
            return self._clamp(v[0], numbers)
        if name in ("maximum", "minimum"):
            return self._extreme(name, v[0], v[1])
        if name == "abs":
            return floats.absolute(v[0]) if step.dtype == "float32" else _absolute(v[0])
        if name == "neg":
            # 0 - x would lose the sign of a zero
            sign = const(-1, step.dtype, lanes)
            return v[0] * sign
        if name == "div":
            return tirx.Div(v[0], v[1])
        if name == "pow":
            return floats.power(v[0], v[1])
        if name == "not":
            return tirx.Not(v[0])
        if name == "select":
            return tirx.Select(v[0], v[1], v[2])
        if name == "cast":
            return self._cast(v[0], step.dtype, lanes)
        if name == "dequantise":
            whole = cast(v[0], "int32") - const(int(numbers["zero"]), "int32", lanes)
            return cast(whole, "float32") * const(numbers["scale"], "float32", lanes)
        if name == "quantise":
            return self._quantise(v[0], numbers, step.dtype, lanes)
        raise ValueError(f"no rule for {name}")

    def _cast(self, x: Expr, dtype: str, lanes: int) -> Expr:
        if dtype_of(x)[0] == "bool":
            return tirx.Select(x, const(1, dtype, lanes), const(0, dtype, lanes))
        if dtype == "bool":
            return tirx.NE(x, const(0, dtype_of(x)[0], lanes))
        if dtype_of(x)[0] == "float32" and dtype != "float32":
            # what is out of range is undefined in C, and different on every processor
            kind = "fptoui" if dtype.startswith("u") else "fptosi"
            return llvm(dtype, lanes, f"llvm.{kind}.sat", x)
        return cast(x, dtype)

    def _clamp(self, x: Expr, numbers: Mapping[str, float]) -> Expr:
        dtype, lanes = dtype_of(x)
        if dtype == "float32":
            return self._floats.clamp(x, numbers["lo"], numbers["hi"])
        low, high = (const(int(numbers[n]), dtype, lanes) for n in ("lo", "hi"))
        return tirx.Min(self._w.let(tirx.Max(x, low)), high)

    def _extreme(self, name: str, a: Expr, b: Expr) -> Expr:
        if dtype_of(a)[0] == "float32":
            function = self._floats.maximum if name == "maximum" else self._floats.minimum
            return function(a, b)
        return tirx.Max(a, b) if name == "maximum" else tirx.Min(a, b)

    def _quantise(self, x: Expr, numbers: Mapping[str, float], dtype: str, lanes: int) -> Expr:
        """A NaN becomes the zero point; the limits are applied before the conversion."""
        zero = numbers["zero"]
        scaled = self._w.let(tirx.Div(x, const(numbers["scale"], "float32", lanes)))
        rounded = self._w.let(self._floats.round_away(scaled) + const(zero, "float32", lanes))
        rounded = self._floats.select(
            tirx.EQ(rounded, rounded), rounded, const(zero, "float32", lanes)
        )
        limited = self._floats.clamp(rounded, numbers["lo"], numbers["hi"])
        return cast(self._w.let(cast(limited, "int32")), dtype)


def divide_rounded(w: Writer, x: Expr, count: Any, lanes: int) -> Expr:
    """x / count, halves away from zero; ``count`` a positive number or int32 vector."""
    divisor = const(count, "int32", lanes) if isinstance(count, int) else count
    half = w.let(tirx.Div(divisor, const(2, "int32", lanes)))
    zero = const(0, "int32", lanes)
    nudged = w.let(tirx.Select(x < zero, x - half, x + half))
    return w.let(tirx.Div(nudged, divisor))


def _absolute(x: Expr) -> Expr:
    dtype, lanes = dtype_of(x)
    zero = const(0, dtype, lanes)
    return tirx.Select(x < zero, zero - x, x)


#: TVM tells LLVM that 32-bit integers do not overflow, but those that a caller hands in may: in
#: 64 bits they do not, and LLVM computes the lower half alone.
_WRAPPING: dict[str, Callable[..., Expr]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: const(0, *dtype_of(a)) - a,
    "abs": _absolute,
}

_BINARY: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "equal": tirx.EQ,
    "less": lambda a, b: a < b,
    "greater": lambda a, b: a > b,
}
