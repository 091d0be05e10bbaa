# SPDX-License-Identifier: Apache-2.0
"""A table of bytes that comes last in a kernel, looked up in a pass over the whole output.

NEON's TBL and TBX look 16 bytes up in four registers, so four of them have a table of 256 in all.
That is worth it where the table stays in its 16 registers: not in a tile of sums, which needs them
and has 4 or 8 results at a time, but in a pass of its own, while the output is still near. Helium
gathers 16 bytes by 8-bit offsets, where a tile's results are 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from tvm import tirx

from edgebuild.kernels import specs
from edgebuild.kernels.program import Program
from edgebuild.kernels.tir.emit import (
    Expr,
    Index,
    Memory,
    Writer,
    cast,
    const,
    llvm,
    reads,
    shuffle,
)
from edgebuild.kernels.tir.frame import Build, along, but_last
from edgebuild.kernels.tir.isa import Isa

_LANES, _QUARTER = 16, 64
#: Bytes of a task: enough to outweigh loading the table.
_TASK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """``inner``: the kernel without its last step, or None where there is nothing else to do."""

    inner: Any
    table: int  # the operand's number
    source: str | None  # the argument that is looked up; None: the output itself


def last(spec: specs.Spec, isa: Isa) -> Pass | None:
    """The pass that ends this kernel, if there is one."""
    key = "program" if isinstance(spec, specs.Elementwise) else "epilogue"
    program: Program | None = getattr(spec, key, None)
    if not _wide(isa) or program is None or not program.steps:
        return None
    step, output = program.steps[-1], spec.arguments()[-1]
    if step.function != "lookup" or step.dtype != "int8" or prod(output.shape) < _QUARTER:
        return None
    position, table = step.arguments
    if program.operands[table].dtype != "int8":
        return None
    if len(program.steps) > 1:
        before = len(program.operands) + len(program.steps) - 2
        if position != before or program.steps[-2].dtype != "int8":
            return None
        whole: Any = spec
        shorter = replace(program, steps=program.steps[:-1])
        return Pass(inner=replace(whole, **{key: shorter}), table=table, source=None)
    operand = program.operands[position] if key == "program" else None
    if operand is None or operand.source != "input" or operand.shape != output.shape:
        return None
    return Pass(inner=None, table=table, source=f"p{position}")


def _wide(isa: Isa) -> bool:
    """Whether 16 bytes can be looked up at once."""
    return isa.arch == "aarch64" or (isa.arch == "armv8.1-m" and isa.vector_bits > 0)


def build(spec: specs.Spec, kernel: Build, how: Pass) -> None:
    """A phase of its own; tasks are parts of the output."""
    count = prod(spec.arguments()[-1].shape)
    tasks = -(-count // _TASK)
    frame = kernel.frame(tasks, noalias=False)
    w, name = frame.w, f"p{how.table}"
    base = kernel.block.reserve(name, "int8", 4 * _QUARTER, lambda c: c[name])
    table = (_Registers if kernel.isa.arch == "aarch64" else _Table)(w, frame.constants, base)
    source = frame.output if how.source is None else frame.inputs[how.source]
    with frame.each_task() as task:
        first = w.let_index(task * _TASK)

        def part(size: int) -> None:
            def some(at: Index, lanes: int) -> None:
                x = w.let(source.load(first + at, "int8", lanes))
                found = table.wide(x) if lanes == _LANES else table.single(x, lanes)
                frame.output.store(first + at, found)

            along(w, size, _LANES, some)

        but_last(w, task, tasks, part, _TASK, count - (tasks - 1) * _TASK)
    frame.finish()


class _Table:
    """256 bytes in memory; Helium gathers."""

    def __init__(self, w: Writer, memory: Memory, base: int) -> None:
        self._w, self._memory, self._base = w, memory, base

    def wide(self, x: Expr) -> Expr:
        """table[x + 128]"""
        w = self._w
        at = w.let(x ^ const(-128, "int8", _LANES))
        flags = [const(n, "int32") for n in (8, 0, 0)]  # bits, no scaling, signed or not
        return w.let(reads("int8", _LANES, "llvm.arm.mve.vldr.gather.offset", self._memory,
                           (self._base, "int8"), at, *flags))  # fmt: skip

    def single(self, x: Expr, lanes: int) -> Expr:
        """The same for a few."""
        w, parts = self._w, list[Expr]()
        for lane in range(lanes):
            one = x if lanes == 1 else tirx.Shuffle([x], [tirx.const(lane, "int32")])
            at = w.let(cast(one, "int64"))
            parts.append(w.let(self._memory.load(at + (self._base + 128), "int8")))
        return parts[0] if lanes == 1 else w.let(shuffle(parts, range(lanes)))


class _Registers(_Table):
    """256 bytes in 16 registers."""

    def __init__(self, w: Writer, memory: Memory, base: int) -> None:
        super().__init__(w, memory, base)
        self._parts = [w.let(memory.load(base + _LANES * n, "int8", _LANES)) for n in range(16)]

    def wide(self, x: Expr) -> Expr:
        """An index beyond 63 finds nothing, and TBX then keeps what was there."""
        w = self._w
        at = w.let(x ^ const(-128, "int8", _LANES))
        found = w.let(llvm("int8", _LANES, "llvm.aarch64.neon.tbl4", *self._parts[:4], at))
        for first in (4, 8, 12):
            # the next 64 numbers become those below 64: two of the highest bits turn over
            at = w.let(at ^ const(64 if first != 8 else -64, "int8", _LANES))
            quarter = self._parts[first : first + 4]
            found = w.let(llvm("int8", _LANES, "llvm.aarch64.neon.tbx4", found, *quarter, at))
        return found
