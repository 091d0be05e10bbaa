# SPDX-License-Identifier: Apache-2.0
"""ONNX's LSTM, GRU and RNN: each direction step by step (``recurrent``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgebuild.errors.kernels import MODEL_MALFORMED
from edgebuild.kernels import recurrent
from edgebuild.kernels.onnx_reader import OnnxNode
from edgebuild.kernels.recurrent import Activation, Array, Step, Weights, Writer

#: operator -> gates, states, activations of one direction
_FACTS = {
    "LSTM": (4, 2, ["Sigmoid", "Tanh", "Tanh"]),
    "GRU": (3, 1, ["Sigmoid", "Tanh"]),
    "RNN": (1, 1, ["Tanh"]),
}
#: name in lower case -> our operator, and the names and defaults of its numbers
_FUNCTIONS: dict[str, tuple[str, dict[str, float]]] = {
    "sigmoid": ("logistic", {}), "tanh": ("tanh", {}), "relu": ("relu", {}),
    "hardsigmoid": ("hard_sigmoid", {"alpha": 0.2, "beta": 0.5}),
    "leakyrelu": ("leaky_relu", {"alpha": 0.01}), "elu": ("elu", {"alpha": 1.0}),
}  # fmt: skip


def _activations(o: OnnxNode, directions: int) -> list[Activation]:
    """Of every direction in turn. Numbers come from their lists in order."""
    own = _FACTS[o.kind][2]
    names = [str(name).lower() for name in o.get("activations", own * directions)]
    alphas, betas = (list(o.get(f"activation_{n}", [])) for n in ("alpha", "beta"))
    if len(names) != len(own) * directions:
        raise MODEL_MALFORMED(f"{len(names)} activations of {o.kind}", where=o.source)
    made = []
    for name in names:
        if name not in _FUNCTIONS:
            raise o.unsupported(f"with the activation {name}")
        kind, numbers = _FUNCTIONS[name]
        given = {
            key: float(rest.pop(0)) if rest else numbers[key]
            for key, rest in (("alpha", alphas), ("beta", betas))
            if key in numbers
        }
        made.append(_activation(kind, given))
    return made


def _activation(kind: str, numbers: dict[str, float]) -> Activation:
    return lambda w, value: w.emit(kind, value, **numbers)


def _direction(o: OnnxNode, number: int, hidden: int) -> tuple[Weights, Array]:
    """One direction's weights, and the recurrent side's bias by itself."""
    gates = _FACTS[o.kind][0]
    inputs, own = (o.constant(n)[number].astype(np.float32) for n in (1, 2))
    both = o.constant(3)[number] if o.has(3) else np.zeros(2 * gates * hidden)
    offset, own_bias = both.astype(np.float32).reshape(2, gates * hidden)
    return Weights(inputs=inputs, recurrent=own, bias=offset), own_bias


def _step(o: OnnxNode, w: Writer, number: int, functions: Sequence[Activation]) -> tuple[
    Weights, Step
]:  # fmt: skip
    """The step of one direction, and the weights that meet the input."""
    hidden = o.shape(2)[-1]
    weights, own = _direction(o, number, hidden)
    if o.kind == "GRU":
        reset_after = bool(o.get("linear_before_reset", 0))
        step = recurrent.gru(w, weights, own[2 * hidden :], functions, reset_after=reset_after)
        own = np.concatenate([own[: 2 * hidden], np.zeros(hidden, np.float32)])
    elif o.kind == "LSTM":
        looks = o.constant(7)[number].reshape(3, hidden) if o.has(7) else []
        step = recurrent.lstm(w, weights, list(looks), functions)
    else:
        step = recurrent.plain(w, weights, functions[0])
    joint = Weights(inputs=weights.inputs, recurrent=weights.recurrent, bias=weights.bias + own)
    return joint, step


def _states(o: OnnxNode, w: Writer, number: int, shape: tuple[int, int]) -> list[str]:
    """What each direction starts from: an input's part, or nothing."""
    found = []
    for place in range(5, 5 + _FACTS[o.kind][1]):
        if not o.has(place):
            found.append(w.constant(np.zeros(shape)))
            continue
        axis = 1 if o.get("layout", 0) else 0
        found.append(w.emit("reshape", w.rows(o.name(place), axis, number, 1), shape=shape))
    return found


def _layer(o: OnnxNode) -> None:
    x, axes = o.name(0), (1, 0, 2)
    batch_first = bool(o.get("layout", 0))
    if len(o.shape(0)) != 3 or o.constant(1).ndim != 3 or o.constant(2).ndim != 3:
        raise MODEL_MALFORMED(f"{o.kind} of shape {list(o.shape(0))}", where=o.source)
    if batch_first:
        x = o.emit("transpose", [x], perm=axes)
    time, batch, _ = o.builder.tensors[x].shape
    _refuse(o, time)
    o.builder.notes.append(f"{o.kind} is computed step by step: {time} steps")
    directions, hidden = o.shape(1)[0], o.shape(2)[-1]
    backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    order = backwards[o.get("direction", "forward")]
    if len(order) != directions:
        raise MODEL_MALFORMED(f"{o.kind} with weights of {directions} ways", where=o.source)
    functions = _activations(o, directions)
    each = len(functions) // directions
    w = Writer(builder=o.builder, wish=o.outputs[0] or o.kind, source=o.source)
    ways, ends = [], []
    for number, backward in enumerate(order):
        weights, step = _step(o, w, number, functions[number * each : (number + 1) * each])
        start = _states(o, w, number, (batch, hidden))
        outputs, last = recurrent.unrolled(w, x, weights, step, start, backwards=backward)
        ways.append(outputs)
        ends.append(last)
    if o.outputs[0]:  # (time, ways, batch, hidden), or (batch, time, ways, hidden)
        steps = [w.stacked(parts, 1 if batch_first else 0) for parts in zip(*ways, strict=True)]
        o.give(w.stacked(steps, 1 if batch_first else 0))
    for place, parts in enumerate(zip(*ends, strict=True), 1):
        if place < len(o.outputs) and o.outputs[place]:
            o.give(w.stacked(parts, 1 if batch_first else 0), place)


def _refuse(o: OnnxNode, time: int) -> None:
    if o.has(4) and (o.tensor(4).data is None or (o.constant(4) != time).any()):
        raise o.unsupported("of lengths that differ from the input's")
    if o.get("input_forget", 0) or "clip" in o.attributes:
        raise o.unsupported("with coupled gates or limits")
    if not time:
        raise o.unsupported("of no steps")


CONVERTERS: dict[str, Callable[[OnnxNode], None]] = dict.fromkeys(_FACTS, _layer)
