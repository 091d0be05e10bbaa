# SPDX-License-Identifier: Apache-2.0
"""Addresses in 32 bits for processors with 32-bit pointers.

Schedules count and address in 64 bits. A 32-bit processor would spend two registers on each, and
call a function for every division. This pass gives loop counters, bounds and what is computed
from them alone 32 bits; numbers of a model that happen to have 64 bits keep them.

One law tells them apart: an address comes from loop counters, task bounds and literals, a number
from memory or from a conversion. Where a number becomes an address (a gather) it is narrowed there.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.ir import expr as ir
from tvm.ir.prim import expr as prim

from edgebuild.kernels.tir.emit import Expr, Stmt

_BINARY = (prim.BinaryOpExpr, prim.CmpExpr, prim.LogicalExpr)


def narrowed(function: Any) -> Any:
    """The function with 32-bit addresses."""
    return function.with_body(_Narrow().statement(function.body))


class _Narrow:
    """Rewrites one function; statements come in the order in which they run."""

    def __init__(self) -> None:
        self._counters: dict[Any, Expr] = {}  # 64-bit loop variable -> its 32-bit one
        self._slots: dict[Any, Expr] = {}  # 64-bit stack slot of an address -> its 32-bit one
        self._declared: dict[Any, Stmt] = {}  # 64-bit stack slots whose use is not known yet

    def statement(self, s: Stmt) -> Stmt:
        match s:
            case tirx.SeqStmt():
                done = [self.statement(each) for each in s.seq]
                return tirx.SeqStmt([each for each in done if each is not None])
            case tirx.For():
                counter = tirx.Var(s.loop_var.name, "int32")
                self._counters[s.loop_var] = counter
                extent, begin = self._address(s.extent), self._address(s.min)
                return tirx.For(counter, begin, extent, s.kind, self.statement(s.body))
            case tirx.IfThenElse():
                return tirx.IfThenElse(self._value(s.condition), self.statement(s.then_case), None)
            case tirx.BufferStore():
                return self._store(s)
            case tirx.Evaluate():
                return tirx.Evaluate(self._value(s.value))
            case tirx.AllocBuffer() if str(s.buffer.dtype) == "int64":
                self._declared[s.buffer] = s
                return None
            case _:
                return s

    def _store(self, s: Stmt) -> Stmt:
        """The first store of a slot says what it holds."""
        value, address = self._both(s.value)
        alloc = self._declared.pop(s.buffer, None)
        if alloc is not None and address:
            slot = tirx.decl_buffer(s.buffer.shape, "int32", name=s.buffer.name,
                                    scope="local", data_alignment=64)  # fmt: skip
            self._slots[s.buffer] = slot
            alloc = tirx.AllocBuffer(slot)
        indices = [self._address(i) for i in s.indices]
        if s.buffer in self._slots:
            store = tirx.BufferStore(self._slots[s.buffer], _fit(value, "int32"), indices)
        else:
            store = tirx.BufferStore(s.buffer, _fit(value, str(s.value.ty)), indices)
        return store if alloc is None else tirx.SeqStmt([alloc, store])

    def _address(self, e: Expr) -> Expr:
        """``e`` as an address, whatever it was."""
        if isinstance(e, prim.Ramp):
            return tirx.Ramp(self._address(e.base), self._address(e.stride), e.lanes)
        if isinstance(e, prim.IntImm):
            return tirx.const(int(e.value), "int32")
        return _fit(self._both(e)[0], "int32")

    def _value(self, e: Expr) -> Expr:
        """``e`` with the type that it had."""
        return _fit(self._both(e)[0], str(e.ty))

    def _both(self, e: Expr) -> tuple[Expr, bool]:
        """The new expression, and whether it is an address; a literal is not."""
        match e:
            case ir.Var() if e in self._counters:
                return self._counters[e], True
            case ir.TensorLoad():
                indices = [self._address(i) for i in e.indices]
                if e.source in self._slots:
                    return tirx.BufferLoad(self._slots[e.source], indices), True
                return tirx.BufferLoad(e.source, indices), False
            case prim.Cast() if isinstance(e.value, ir.Var):
                return e.value, True  # a bound of the tasks
            case prim.Cast():
                return tirx.Cast(str(e.ty), self._value(e.value)), False
            case prim.Not():
                return prim.Not(self._value(e.a)), False
            case _ if isinstance(e, _BINARY):
                return self._binary(e)
            case prim.Select():
                return self._select(e)
            case prim.Broadcast():
                return tirx.Broadcast(self._value(e.value), e.lanes), False
            case prim.Shuffle():
                return prim.Shuffle([self._value(v) for v in e.vectors], list(e.indices)), False
            case ir.Call():
                arguments = [self._value(a) for a in e.args]
                return ir.Call(e.op, arguments, e.attrs, e.ty_args, ret_ty=e.ty), False
            case _:
                return e, False

    def _binary(self, e: Expr) -> tuple[Expr, bool]:
        a, b, address = self._pair(e.a, e.b)
        return type(e)(a, b), address and str(e.ty) == "int64"

    def _select(self, e: Expr) -> tuple[Expr, bool]:
        a, b, address = self._pair(e.true_value, e.false_value)
        return tirx.Select(self._value(e.condition), a, b), address

    def _pair(self, left: Expr, right: Expr) -> tuple[Expr, Expr, bool]:
        """Both as addresses if one is and the other is one or a literal; else as they were."""
        (a, is_a), (b, is_b) = self._both(left), self._both(right)
        literals = isinstance(left, prim.IntImm) or isinstance(right, prim.IntImm)
        if (is_a and is_b) or (literals and (is_a or is_b)):
            return _fit(a, "int32"), _fit(b, "int32"), True
        return _fit(a, str(left.ty)), _fit(b, str(right.ty)), False


def _fit(value: Expr, dtype: str) -> Expr:
    if str(value.ty) == dtype:
        return value
    if isinstance(value, prim.IntImm):
        return tirx.const(int(value.value), dtype)
    return tirx.Cast(dtype, value)
