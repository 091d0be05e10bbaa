# SPDX-License-Identifier: Apache-2.0
"""Fewer calls: element-wise work goes into the kernel that makes its input.

A value that only one call reads never needs memory if that call is element-wise: its program is
appended to the producer's (epilogue fusion), so bias, activation, requantisation and residual
additions cost no pass over memory. Permutations before and after matrix products become strides.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from numpy.typing import NDArray

from edgebuild.kernels.calls import Call, Lowered, Scalars, splice
from edgebuild.kernels.program import Program, Shape
from edgebuild.kernels.specs import (
    Conv2d,
    Copy,
    Dense,
    Depthwise2d,
    Elementwise,
    LayerNorm,
    Matmul,
    Pool2d,
    Reduce,
)
from edgebuild.kernels.tabulate import tabulated

_Contraction = Conv2d | Depthwise2d | Dense | Matmul | Pool2d | Reduce | LayerNorm
#: gives the merged call, or None where the pair does not fit
_Match = Callable[[Lowered, Call, Call, str], Call | None]


@dataclass(slots=True)
class _State:
    """Calls in order (None: merged away), and who writes and reads each value."""

    lowered: Lowered
    slots: list[Call | None]
    writers: dict[str, list[int]] = field(default_factory=dict)
    readers: dict[str, list[int]] = field(default_factory=dict)

    outside: frozenset[str] = frozenset()

    def index(self) -> None:
        lowered = self.lowered
        self.outside = frozenset(lowered.root(name) for name in lowered.graph.outputs)
        self.writers.clear()
        self.readers.clear()
        for number in range(len(self.slots)):
            self._note(number)

    def _note(self, number: int) -> None:
        for numbers in self._lists(number):
            insort(numbers, number)

    def _lists(self, number: int) -> list[list[int]]:
        """Where a call is written down: by the value it writes, and by those it reads."""
        call, root = self.slots[number], self.lowered.root
        if call is None:
            return []
        read = {root(name) for name in call.inputs}
        return [
            self.writers.setdefault(root(call.output), []),
            *(self.readers.setdefault(name, []) for name in read),
        ]

    def put(self, number: int, call: Call | None) -> None:
        """Another call, or none, in a slot."""
        for numbers in self._lists(number):
            numbers.remove(number)
        self.slots[number] = call
        self._note(number)

    def private(self, root: str) -> int | None:
        """The writer of a value that one call writes and one other reads, and nobody outside."""
        writers, readers = self.writers.get(root, []), self.readers.get(root, [])
        alone = len(writers) == 1 and len(readers) == 1 and root not in self.outside
        return writers[0] if alone else None


def fuse(lowered: Lowered) -> Lowered:
    """The same values with fewer calls."""
    state = _State(lowered, list(lowered.calls))
    for match in (_join, _strides_in, _strides_out, _append):
        _sweep(state, match)
    calls = (call for call in state.slots if call is not None)
    return replace(lowered, calls=tuple(tabulated(call, *own_counts(call)) for call in calls))


def _sweep(state: _State, match: _Match) -> None:
    """Offer every (producer, consumer) pair to ``match``, in order, until none fits."""
    state.index()
    for position in range(len(state.slots)):
        while _absorb(state, position, match):
            pass


def _absorb(state: _State, position: int, match: _Match) -> bool:
    consumer = state.slots[position]
    if consumer is None:
        return False
    producers = []
    for name in dict.fromkeys(consumer.inputs):
        writer = state.private(state.lowered.root(name))
        if writer is not None and writer < position:
            producers.append((writer, name))
    # the latest producer: then the consumer's other inputs are ready where it runs
    for writer, name in sorted(producers, reverse=True):
        producer = state.slots[writer]
        merged = producer and match(state.lowered, producer, consumer, name)
        if merged:
            state.put(writer, None)
            state.put(position, merged)
            return True
    return False


def _sources(producer: Call, consumer: Call) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*producer.sources, *consumer.sources)))


def _join(lowered: Lowered, producer: Call, consumer: Call, name: str) -> Call | None:
    """Two element-wise calls as one."""
    if not isinstance(producer.spec, Elementwise) or not isinstance(consumer.spec, Elementwise):
        return None
    found = _appended(lowered, producer, producer.spec.program, consumer, producer.spec.shape)
    if found is None:
        return None
    program, inputs, constants = found
    spec = Elementwise(shape=producer.spec.shape, program=program)
    return Call(spec=spec, inputs=inputs, constants=constants, output=consumer.output,
                sources=_sources(producer, consumer))  # fmt: skip


def _append(lowered: Lowered, producer: Call, consumer: Call, name: str) -> Call | None:
    """An element-wise call as the epilogue of the kernel before it."""
    spec = producer.spec
    if not isinstance(spec, _Contraction) or not isinstance(consumer.spec, Elementwise):
        return None
    found = _appended(lowered, producer, spec.epilogue, consumer, domain(spec))
    if found is None:
        return None
    program, inputs, constants = found
    own_inputs, own_constants = own_counts(producer)
    return Call(
        spec=replace(spec, epilogue=program),
        inputs=(*producer.inputs[:own_inputs], *inputs),
        constants=(*producer.constants[:own_constants], *constants),
        output=consumer.output,
        sources=_sources(producer, consumer),
    )


def domain(spec: _Contraction) -> Shape:
    """What an epilogue ranges over."""
    if isinstance(spec, Dense):
        return (spec.m, spec.n)
    if isinstance(spec, Matmul):
        return (*spec.batch, spec.m, spec.n)
    if isinstance(spec, LayerNorm):
        return (spec.rows, spec.columns)
    return spec.output


def own_counts(call: Call) -> tuple[int, int]:
    """How many inputs and constants a call has beside its epilogue's."""
    program = program_of(call)
    inputs = sum(operand.source == "input" for operand in program.operands)
    constants = sum(operand.source == "constant" for operand in program.operands)
    return len(call.inputs) - inputs, len(call.constants) - constants


def program_of(call: Call) -> Program:
    spec = call.spec
    if isinstance(spec, Elementwise):
        return spec.program
    if isinstance(spec, _Contraction):
        return spec.epilogue
    return Program(operands=(), steps=())


def _appended(
    lowered: Lowered, producer: Call, program: Program, consumer: Call, target: Shape
) -> tuple[Program, tuple[str, ...], tuple[NDArray[Any], ...]] | None:
    """The consumer's program after the producer's, over the producer's domain ``target``."""
    root = lowered.root(producer.output)
    assert isinstance(consumer.spec, Elementwise)
    moved = _reshaped(lowered, consumer, root, target)
    if moved is None:
        return None
    own_inputs, own_constants = own_counts(producer)
    scalars = Scalars()
    result = splice(
        scalars, program, producer.inputs[own_inputs:], producer.constants[own_constants:], {}
    )
    names = iter(consumer.inputs)
    replaced = {}
    for number, operand in enumerate(consumer.spec.program.operands):
        if operand.source == "input" and lowered.root(next(names)) == root:
            replaced[number] = result
    constants = tuple(
        array.reshape(operand.shape)
        for array, operand in zip(
            consumer.constants,
            (o for o in moved.operands if o.source == "constant"),
            strict=True,
        )
    )
    last = splice(scalars, moved, consumer.inputs, constants, replaced)
    return scalars.program(last)


def _reshaped(lowered: Lowered, consumer: Call, root: str, target: Shape) -> Program | None:
    """The consumer's program with operands for the domain ``target``; None where none fits."""
    assert isinstance(consumer.spec, Elementwise)
    program, shape = consumer.spec.program, consumer.spec.shape
    if prod(shape) != prod(target):
        return None
    tables = {step.arguments[1] for step in program.steps if step.function == "lookup"}
    names = iter(consumer.inputs)
    operands = []
    for number, operand in enumerate(program.operands):
        through = operand.source == "input" and lowered.root(next(names)) == root
        if through and prod(operand.shape) != prod(shape):
            return None
        fitted = operand.shape if number in tables else refit(operand.shape, shape, target)
        if fitted is None:
            return None
        operands.append(replace(operand, shape=fitted))
    return replace(program, operands=tuple(operands))


def refit(operand: Shape, shape: Shape, target: Shape) -> Shape | None:
    """``operand``, which broadcasts to ``shape``, as it broadcasts to ``target``.

    Both have the same elements in the same order. None if ``target`` cuts through an axis along
    which the operand changes its mind between broadcasting and not.
    """
    if shape == target:
        return operand
    padded = (1,) * (len(shape) - len(operand)) + operand
    if prod(padded) == 1:
        return ()
    if padded == shape:
        return target
    result: list[int] = []
    pending = list(zip(padded, shape, strict=True))
    for extent in reversed(target):
        have, want = 1, 1
        while want < extent and pending:
            part_have, part_want = pending.pop()
            if part_want > 1 and want > 1 and (part_have == 1) != (have == 1):
                return None
            have, want = have * part_have, want * part_want
        if want != extent:
            return None
        result.append(have)
    return tuple(reversed(result))


def _matching(extents: Shape, strides: Shape, shape: Shape, known: Shape, wanted: Shape) -> (
    Shape | None
):  # fmt: skip
    """Strides of a matrix product's axes after a copy: ``known`` strides become ``wanted``."""
    found = []
    for extent, stride in zip(extents, strides, strict=True):
        if extent == 1 or stride == 0:
            found.append(0)
            continue
        axes = [d for d, n in enumerate(shape) if n == extent and known[d] == stride]
        if not axes:
            return None
        found.append(wanted[axes[0]])
    return tuple(found)


def _is_permutation(spec: Copy) -> bool:
    """Every element once, from the first to the first."""
    same = prod(spec.shape) == spec.input_size == spec.output_size
    return same and spec.input_offset == spec.output_offset == 0 and min(spec.input_strides) >= 0


def _strides_in(lowered: Lowered, producer: Call, consumer: Call, name: str) -> Call | None:
    """A permuted operand of a matrix product, read where it lies."""
    copy, spec = producer.spec, consumer.spec
    if not isinstance(copy, Copy) or not isinstance(spec, Matmul) or not _is_permutation(copy):
        return None
    roots = [lowered.root(each) for each in consumer.inputs]
    if roots.count(lowered.root(name)) != 1 or name not in consumer.inputs[:2]:
        return None
    side = consumer.inputs.index(name)
    extents = (*spec.batch, spec.m, spec.k) if side == 0 else (*spec.batch, spec.k, spec.n)
    strides = spec.left_strides if side == 0 else spec.right_strides
    found = _matching(extents, strides, copy.shape, copy.output_strides, copy.input_strides)
    if found is None:
        return None
    changed = replace(spec, left_strides=found) if side == 0 else replace(spec, right_strides=found)
    names = list(consumer.inputs)
    names[side] = producer.inputs[0]
    return replace(consumer, spec=changed, inputs=tuple(names),
                   sources=_sources(producer, consumer))  # fmt: skip


def _strides_out(lowered: Lowered, producer: Call, consumer: Call, name: str) -> Call | None:
    """A matrix product written in the order that the permutation after it wants."""
    spec, copy = producer.spec, consumer.spec
    if not isinstance(copy, Copy) or not isinstance(spec, Matmul) or not _is_permutation(copy):
        return None
    found = _matching(
        (*spec.batch, spec.m, spec.n),
        spec.output_strides,
        copy.shape,
        copy.input_strides,
        copy.output_strides,
    )
    if found is None:
        return None
    return replace(producer, spec=replace(spec, output_strides=found), output=consumer.output,
                   sources=_sources(producer, consumer))  # fmt: skip
