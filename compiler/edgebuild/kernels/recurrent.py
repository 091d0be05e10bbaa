# SPDX-License-Identifier: Apache-2.0
"""LSTM, GRU and plain recurrent layers of a fixed length, for both importers: step by step.

What the input alone decides is one product over all steps; each step is then a product with what
was remembered, and its gates. Weights are one constant, whatever the number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgebuild.kernels.builder import GraphBuilder

Array: TypeAlias = NDArray[Any]
#: a value's name -> the name of the activation of it
Activation: TypeAlias = Callable[["Writer", str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Emits operators on the way to one layer's outputs; everything is float32."""

    builder: GraphBuilder
    wish: str
    source: str

    def emit(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.builder.emit(kind, inputs, f"{self.wish}/{kind}", self.source, **attributes)

    def constant(self, data: Array) -> str:
        return self.builder.constant(f"{self.wish}/constant", data.astype(np.float32))

    def rows(self, value: str, axis: int, begin: int, count: int) -> str:
        """``count`` neighbours along an axis."""
        shape = self.builder.tensors[value].shape
        return self.emit(
            "slice", value,
            begin=tuple(begin if d == axis else 0 for d in range(len(shape))),
            size=tuple(count if d == axis else n for d, n in enumerate(shape)),
            stride=(1,) * len(shape),
        )  # fmt: skip

    def stacked(self, values: Sequence[str], axis: int) -> str:
        """Values of one shape, joined along a new axis."""
        shape = self.builder.tensors[values[0]].shape
        wide = (*shape[:axis], 1, *shape[axis:])
        parts = [self.emit("reshape", value, shape=wide) for value in values]
        return parts[0] if len(parts) == 1 else self.emit("concat", *parts, axis=axis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One direction's: (gates * hidden, inputs), (gates * hidden, outputs), (gates * hidden)."""

    inputs: Array
    recurrent: Array
    bias: Array

    def gates(self, count: int) -> int:
        """How wide each of so many gates is. Raises ValueError when nothing fits."""
        rows = len(self.inputs)
        if rows % count or len(self.recurrent) != rows or self.bias.shape != (rows,):
            raise ValueError(f"weights of a recurrent layer: {rows} rows for {count} gates")
        return rows // count


#: (what the input says of a step, the states) -> the states after it; the first is the output
Step: TypeAlias = Callable[[str, Sequence[str]], Sequence[str]]


def unrolled(
    w: Writer, x: str, weights: Weights, step: Step, states: Sequence[str], *, backwards: bool
) -> tuple[list[str], Sequence[str]]:
    """Every step's output in order of time, and the last states. ``x``: (time, batch, inputs)."""
    time, batch, inputs = w.builder.tensors[x].shape
    flat = w.emit("reshape", x, shape=(time * batch, inputs))
    matrix, bias = w.constant(weights.inputs), w.constant(weights.bias)
    said = w.emit("dense", flat, matrix, bias, activation="none")
    outputs: list[str] = []
    for number in reversed(range(time)) if backwards else range(time):
        states = step(w.rows(said, 0, number * batch, batch), states)
        outputs.append(states[0])
    return outputs[::-1] if backwards else outputs, states


def lstm(
    w: Writer, weights: Weights, peepholes: Sequence[Array], activations: Sequence[Activation],
    projected: Callable[[str], str] = lambda value: value, limit: float = 0.0,
) -> Step:  # fmt: skip
    """Gates: input, output, forget, cell. ``peepholes`` of the first three, or none.

    ``limit`` of the cell's state, 0 for none; ``projected``: what the output becomes.
    """
    width = weights.gates(4)
    matrix = w.constant(weights.recurrent)
    first, middle, last = activations
    looks = [w.constant(p) for p in peepholes]

    def gate(number: int, value: str, cell: str) -> str:
        if not looks:
            return first(w, value)
        return first(w, w.emit("add", value, w.emit("mul", cell, looks[number])))

    def step(said: str, states: Sequence[str]) -> Sequence[str]:
        output, cell = states
        gates = w.emit("add", w.emit("dense", output, matrix, activation="none"), said)
        i, o, f, c = (w.rows(gates, 1, number * width, width) for number in range(4))
        kept = w.emit("mul", gate(2, f, cell), cell)
        new = w.emit("add", kept, w.emit("mul", gate(0, i, cell), middle(w, c)))
        if limit:
            new = w.emit("clip", new, lo=-limit, hi=limit)
        return projected(w.emit("mul", gate(1, o, new), last(w, new))), new

    return step


def gru(w: Writer, weights: Weights, own_bias: Array, activations: Sequence[Activation], *,
        reset_after: bool) -> Step:  # fmt: skip
    """Gates: update, reset, hidden. ``own_bias`` is the recurrent side's of the hidden gate.

    ``reset_after``: the reset gate meets the product, not the state (linear_before_reset).
    """
    width = weights.gates(3)
    first, last = activations
    parts = [w.constant(weights.recurrent[: 2 * width]), w.constant(weights.recurrent[2 * width :])]
    offset, one = w.constant(own_bias), w.constant(np.ones(()))

    def step(said: str, states: Sequence[str]) -> Sequence[str]:
        state = states[0]
        both = w.emit("add", w.emit("dense", state, parts[0], activation="none"),
                      w.rows(said, 1, 0, 2 * width))  # fmt: skip
        update, reset = (first(w, w.rows(both, 1, n * width, width)) for n in range(2))
        if reset_after:
            product = w.emit("dense", state, parts[1], offset, activation="none")
            seen = w.emit("mul", reset, product)
        else:
            meets = w.emit("mul", reset, state)
            seen = w.emit("dense", meets, parts[1], offset, activation="none")
        hidden = last(w, w.emit("add", seen, w.rows(said, 1, 2 * width, width)))
        kept = w.emit("mul", update, state)
        return (w.emit("add", w.emit("mul", w.emit("sub", one, update), hidden), kept),)

    return step


def plain(w: Writer, weights: Weights, activation: Activation) -> Step:
    """The output is the activation of the sum."""
    weights.gates(1)
    matrix = w.constant(weights.recurrent)

    def step(said: str, states: Sequence[str]) -> Sequence[str]:
        product = w.emit("dense", states[0], matrix, activation="none")
        return (activation(w, w.emit("add", product, said)),)

    return step
