# SPDX-License-Identifier: Apache-2.0
"""A writer of TIR functions: statements in order, memory behind plain pointers, named values.

One law: what is written here is what LLVM gets. No pass of TVM runs in between, so a loop, a
vector and a register block are exactly where a schedule put them, and the function is callable
from C: pointers in, nothing returned, no symbol needed from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import tvm
from tvm import tirx
from tvm.ir import PointerType, PrimType

#: A TIR expression. TVM's Python types are dynamic, so a checker sees ``Any`` either way.
Expr: TypeAlias = Any
Index: TypeAlias = Any  # int or a scalar int64 expression
Stmt: TypeAlias = Any

INDEX = "int64"


def vector(dtype: str, lanes: int) -> str:
    """TVM's name of a vector type; a scalar for one lane."""
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def dtype_of(value: Expr) -> tuple[str, int]:
    """Element type and lanes of an expression."""
    element, _, lanes = str(value.ty).partition("x")
    return element, int(lanes or 1)


def const(value: float | int, dtype: str, lanes: int = 1) -> Expr:
    """A number in every lane."""
    scalar = tirx.const(value, dtype)
    return scalar if lanes == 1 else tirx.Broadcast(scalar, lanes)


def splat(value: Expr, lanes: int) -> Expr:
    """A scalar in every lane."""
    return value if lanes == 1 else tirx.Broadcast(value, lanes)


def cast(value: Expr, dtype: str) -> Expr:
    """Convert each lane as C does."""
    have, lanes = dtype_of(value)
    return value if have == dtype else tirx.Cast(vector(dtype, lanes), value)


def bits(value: Expr, dtype: str, lanes: int) -> Expr:
    """The same bits as another type."""
    return tirx.reinterpret(vector(dtype, lanes), value)


def shuffle(values: Sequence[Expr], lanes: Sequence[int]) -> Expr:
    """Pick lanes from the concatenation of vectors; LLVM chooses the instructions."""
    return tirx.Shuffle(list(values), [tirx.const(lane, "int32") for lane in lanes])


def llvm(dtype: str, lanes: int, name: str, *arguments: Expr) -> Expr:
    """A call of an LLVM intrinsic, which is how one names an instruction."""
    return tirx.call_llvm_pure_intrin(vector(dtype, lanes), name, *arguments)


def reads(
    dtype: str, lanes: int, name: str, memory: Memory, at: tuple[Index, str], *arguments: Expr
) -> Expr:
    """A call of an intrinsic that reads from element ``at[0]`` of type ``at[1]`` on."""
    pointer = tirx.address_of(memory.load(*at))
    return tirx.call_llvm_intrin(vector(dtype, lanes), name, pointer, *arguments)


def writes(
    writer: Writer, name: str, memory: Memory, at: tuple[Index, str], *arguments: Expr
) -> None:
    """A call of an intrinsic that writes there."""
    pointer = tirx.address_of(memory.load(*at))
    writer.add(tirx.Evaluate(tirx.call_llvm_intrin("void", name, pointer, *arguments)))


def index(value: Index) -> Expr:
    """An address computation's operand: 64 bits, so that no extension is needed per access."""
    return tirx.const(value, INDEX) if isinstance(value, int) else value


class Memory:
    """A pointer seen as flat arrays of one or more element types."""

    def __init__(self, writer: Writer, pointer: Expr, name: str, alignment: int) -> None:
        self._writer, self._pointer, self._name = writer, pointer, name
        self._alignment = alignment
        self._views: dict[str, Expr] = {}

    def view(self, dtype: str) -> Expr:
        """The buffer of that element type, declared once at the function's head."""
        if dtype not in self._views:
            size = tvm.DataType(dtype).itemsize
            buffer = tirx.decl_buffer(
                (tirx.const(1 << 40, INDEX),), dtype, name=f"{self._name}_{dtype}",
                data_alignment=max(self._alignment, size),
            )  # fmt: skip
            self._writer.declare(tirx.DeclBuffer(buffer, data=self._pointer))
            self._views[dtype] = buffer
        return self._views[dtype]

    def load(self, at: Index, dtype: str, lanes: int = 1, stride: Index = 1) -> Expr:
        """``lanes`` elements from element ``at`` on."""
        where = index(at) if lanes == 1 else tirx.Ramp(index(at), index(stride), lanes)
        return tirx.BufferLoad(self.view(dtype), [where])

    def store(self, at: Index, value: Expr, stride: Index = 1) -> None:
        """Write a scalar or a vector from element ``at`` on."""
        dtype, lanes = dtype_of(value)
        where = index(at) if lanes == 1 else tirx.Ramp(index(at), index(stride), lanes)
        self._writer.add(tirx.BufferStore(self.view(dtype), value, [where]))


def load_first(
    memory: Memory, at: Index, dtype: str, count: tuple[int, int], stride: int = 1
) -> Expr:
    """A vector of ``count[1]`` elements, of which the first ``count[0]`` exist."""
    valid, lanes = count
    if valid == lanes:
        return memory.load(at, dtype, lanes, stride)
    size = 1 << (valid.bit_length() - 1)
    behind = valid - size
    parts = [memory.load(at + first * stride, dtype, size, stride) for first in (0, behind)]
    # the second part may begin within the first; what comes behind it repeats its last element
    order = [i if i < size else min(i + size - behind, 2 * size - 1) for i in range(lanes)]
    return shuffle(parts * -(-lanes // (2 * size)), order)


class Registers:
    """A block of vectors that LLVM keeps in registers: every access has a constant index."""

    def __init__(self, writer: Writer, dtype: str, lanes: int, count: int, name: str) -> None:
        self._writer, self.lanes = writer, lanes
        self._buffer = tirx.decl_buffer(
            (max(1, lanes * count),), dtype, name=name, scope="local",
            data_alignment=64,
        )  # fmt: skip
        writer.add(tirx.AllocBuffer(self._buffer))

    def _where(self, number: int) -> Expr:
        at = index(number * self.lanes)
        return at if self.lanes == 1 else tirx.Ramp(at, index(1), self.lanes)

    def get(self, number: int) -> Expr:
        return tirx.BufferLoad(self._buffer, [self._where(number)])

    def set(self, number: int, value: Expr) -> None:
        self._writer.add(tirx.BufferStore(self._buffer, value, [self._where(number)]))


class Writer:
    """Collects the statements of one function."""

    def __init__(self) -> None:
        self._declarations: list[Stmt] = []
        self._blocks: list[list[Stmt]] = [[]]
        self._parameters: list[Expr] = []
        self._names = 0

    def _name(self, hint: str) -> str:
        self._names += 1
        return f"{hint}{self._names}"

    def pointer(self, name: str, alignment: int = 1) -> Memory:
        """A pointer parameter; ``alignment`` in bytes is a promise of the caller."""
        parameter = tirx.Var(name, PointerType(PrimType("int8")))
        self._parameters.append(parameter)
        return Memory(self, parameter, name, alignment)

    def number(self, name: str) -> Expr:
        """An int32 parameter, widened."""
        parameter = tirx.Var(name, "int32")
        self._parameters.append(parameter)
        return self.let(tirx.Cast(INDEX, parameter), name)

    def declare(self, statement: Stmt) -> None:
        self._declarations.append(statement)

    def add(self, statement: Stmt) -> None:
        self._blocks[-1].append(statement)

    def let(self, value: Expr, hint: str = "v") -> Expr:
        """Name a value, so that it is computed once.

        A slot on the stack, which LLVM turns into a register. TVM's own Bind would hand the value
        to its analyser, which replaces names by what they stand for: exponential in long chains.
        """
        dtype, lanes = dtype_of(value)
        if dtype == "bool" and lanes > 1:
            return value  # cannot be stored; LLVM finds the repeats
        slot = Registers(self, dtype, lanes, 1, self._name(hint))
        slot.set(0, value)
        return slot.get(0)

    def let_index(self, value: Index) -> Index:
        """Name an address; a plain number stays one."""
        return value if isinstance(value, int) else self.let(value, "at")

    def registers(self, dtype: str, lanes: int, count: int, name: str = "r") -> Registers:
        return Registers(self, dtype, lanes, count, self._name(name))

    def _take(self) -> Stmt:
        block = self._blocks.pop() or [tirx.Evaluate(tirx.const(0, "int32"))]
        return tirx.SeqStmt(block) if len(block) != 1 else block[0]

    @contextmanager
    def loop(self, begin: Index, end: Index, hint: str = "i") -> Iterator[Expr]:
        """Count from ``begin`` up to, not including, ``end``; nothing if there is nothing."""
        var = tirx.Var(self._name(hint), INDEX)
        self._blocks.append([])
        yield var
        body = self._take()
        extent = index(end) if begin == 0 and isinstance(begin, int) else index(end) - index(begin)
        self.add(tirx.For(var, index(begin), extent, tirx.ForKind.SERIAL, body))

    @contextmanager
    def when(self, condition: Expr) -> Iterator[None]:
        self._blocks.append([])
        yield
        self.add(tirx.IfThenElse(condition, self._take(), None))

    def function(self, symbol: str, *, noalias: bool) -> Any:
        """The finished function. ``noalias``: no two pointers reach the same element."""
        body = tirx.SeqStmt([*self._declarations, self._take()])
        function = tirx.PrimFunc(self._parameters, body)
        function = function.with_attr("global_symbol", symbol)
        return function.with_attr("tirx.noalias", True) if noalias else function
