# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on one 8-bit number is one table, where a table is read anyway.

x * sigmoid(x) of bytes is a table, a product and its rounding; all of it depends on x alone, so
there are but 256 answers, and they fit the table that is read already.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels.calls import Call, Node, Scalars, splice
from edgebuild.kernels.program import Step
from edgebuild.kernels.scalars import apply

_FUNCTIONS = frozenset(
    {"lookup", "mul_int8", "add_int8", "sub_int8", "squared_difference_int8", "rescale", "clamp",
     "maximum", "minimum"}
)  # fmt: skip
_ALL = np.arange(-128, 128, dtype=np.int64)


def tabulated(call: Call, own_inputs: int, own_constants: int) -> Call:
    """The call with chains of byte arithmetic that hold a lookup as one lookup each.

    The call has so many inputs and constants that are not its program's.
    """
    spec: Any = call.spec
    key = "program" if hasattr(spec, "program") else "epilogue"
    program = getattr(spec, key, None)
    if program is None or not any(step.function == "lookup" for step in program.steps):
        return call
    before = Scalars()
    result = splice(before, program, call.inputs[own_inputs:], call.constants[own_constants:], {})
    after, made = Scalars(), dict[int, Node]()
    for node in before.nodes:
        made[id(node)] = _copied(after, node, made)
    changed, inputs, constants = after.program(made[id(result)])
    if len(changed.steps) == len(program.steps):
        return call
    return replace(
        call,
        spec=replace(spec, **{key: changed}),
        inputs=(*call.inputs[:own_inputs], *inputs),
        constants=(*call.constants[:own_constants], *constants),
    )


def _copied(after: Scalars, node: Node, made: dict[int, Node]) -> Node:
    """``node`` in the program being written; ``made`` has what it is computed from."""
    if node.operand is not None:
        operand = node.operand
        return after.operand(operand.source, operand.shape, operand.dtype, tensor=node.tensor,
                             data=node.data)  # fmt: skip
    root, chain = _root(node)
    if root is not node and len(chain) > 1 and any(n.function == "lookup" for n in chain):
        table = after.constant(_values(node, root).astype(np.int8))
        return after.step("lookup", made[id(root)], table, dtype="int8")
    arguments = [made[id(argument)] for argument in node.arguments]
    return after.step(node.function, *arguments, numbers=node.numbers, dtype=node.dtype)


def _root(node: Node) -> tuple[Node, list[Node]]:
    """The one byte that ``node`` is a function of (itself, if there is none), and the steps."""
    if node.function not in _FUNCTIONS or node.dtype != "int8":
        return node, []
    roots: dict[int, Node] = {}
    chain = {id(node): node}
    for argument in _bytes(node):
        found, steps = _root(argument)
        roots[id(found)] = found
        chain.update((id(step), step) for step in steps)
    if len(roots) != 1 or next(iter(roots.values())).dtype != "int8":
        return node, []
    return next(iter(roots.values())), list(chain.values())


def _bytes(node: Node) -> list[Node]:
    """The arguments that vary: neither a table nor one number for all."""
    if node.function == "lookup":
        return [node.arguments[0]]
    return [a for a in node.arguments if a.data is None or a.data.size != 1]


def _values(node: Node, root: Node) -> NDArray[Any]:
    """What ``node`` is for each value of ``root``."""
    if node is root:
        return _ALL
    if node.data is not None:
        return node.data.astype(np.int64)
    step = Step(function=node.function, arguments=(), numbers=node.numbers, dtype=node.dtype)
    return apply(step, [_values(argument, root) for argument in node.arguments])
