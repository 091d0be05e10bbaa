# SPDX-License-Identifier: Apache-2.0
"""Graph rewrites that leave less to do: identities, padding, and affine steps after weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.model.graph import Graph, Operator, Tensor

_WEIGHTED = ("conv2d", "depthwise_conv2d", "dense")


@dataclass(slots=True)
class _State:
    tensors: dict[str, Tensor]
    operators: list[Operator]
    outputs: frozenset[str]

    def producers(self) -> dict[str, Operator]:
        return {name: o for o in self.operators for name in o.outputs}


def simplify(graph: Graph) -> Graph:
    """The same outputs from fewer operators."""
    state = _State(dict(graph.tensors), list(graph.operators), frozenset(graph.outputs))
    _drop_identities(state)
    _share(state)
    for rule in (_fold_padding, _fold_affine, _fold_activation):
        _merge(state, rule)
    return replace(graph, tensors=state.tensors, operators=tuple(state.operators))


def _drop_identities(s: _State) -> None:
    """Operators that give what they take; the model's outputs keep theirs."""
    renamed: dict[str, str] = {}
    kept = []
    for operator in s.operators:
        inputs = tuple(renamed.get(name, name) for name in operator.inputs)
        current = replace(operator, inputs=inputs)
        if _is_identity(s, current) and current.outputs[0] not in s.outputs:
            renamed[current.outputs[0]] = inputs[0]
        else:
            kept.append(current)
    s.operators = kept


def _share(s: _State) -> None:
    """Equal operators on equal inputs are computed once."""
    known: dict[tuple[object, ...], str] = {}
    renamed: dict[str, str] = {}
    kept = []
    for operator in s.operators:
        inputs = tuple(renamed.get(name, name) for name in operator.inputs)
        output = s.tensors[operator.outputs[0]]
        attributes = tuple(sorted(operator.attributes.items()))
        key = (operator.kind, inputs, repr(attributes), output.dtype, output.quantisation)
        if key in known and output.name not in s.outputs:
            renamed[output.name] = known[key]
            continue
        known.setdefault(key, output.name)
        kept.append(replace(operator, inputs=inputs))
    s.operators = kept


def _is_identity(s: _State, o: Operator) -> bool:
    x, y = s.tensors[o.inputs[0]], s.tensors[o.outputs[0]]
    if x.shape != y.shape or x.dtype != y.dtype or x.quantisation != y.quantisation:
        return False
    return (
        o.kind in ("reshape", "broadcast", "cast")
        or (o.kind == "slice" and min(o.attributes["stride"], default=1) > 0)  # else: reversed
        or (o.kind == "pad" and not any((*o.attributes["before"], *o.attributes["after"])))
        or (o.kind == "concat" and len(o.inputs) == 1)
        or (o.kind == "quantize" and x.dtype == "int8")
    )


def _merge(s: _State, rule: Callable[[_State, Operator, Operator], Operator | None]) -> None:
    """Offer every (producer, only reader) pair to ``rule``; the merged one takes its place."""
    producers = s.producers()
    readers: dict[str, int] = {}
    for operator in s.operators:
        for name in operator.inputs:
            readers[name] = readers.get(name, 0) + 1
    kept: dict[str, Operator] = {}
    for operator in s.operators:
        current = operator
        for name in operator.inputs:
            first = kept.get(name)
            private = readers.get(name) == 1 and name not in s.outputs and name in producers
            merged = rule(s, first, current) if first is not None and private else None
            if merged is not None:
                del kept[name]
                current = merged
        kept[current.outputs[0]] = current
    s.operators = list(kept.values())


def _fold_padding(s: _State, first: Operator, second: Operator) -> Operator | None:
    """Explicit zero padding before a convolution is the convolution's own."""
    if first.kind != "pad" or second.kind not in ("conv2d", "depthwise_conv2d"):
        return None
    if second.inputs[0] != first.outputs[0]:
        return None
    before, after = first.attributes["before"], first.attributes["after"]
    found = s.tensors[first.inputs[0]].quantisation
    zero = found.zero_point[0] if found is not None else 0
    if first.attributes["value"] != zero or any(
        side[d] for side in (before, after) for d in (0, 3)
    ):
        return None
    top, left, bottom, right = second.attributes["padding"]
    padding = (top + before[1], left + before[2], bottom + after[1], right + after[2])
    return replace(
        second,
        inputs=(first.inputs[0], *second.inputs[1:]),
        attributes={**second.attributes, "padding": padding},
    )


def _fold_affine(s: _State, first: Operator, second: Operator) -> Operator | None:
    """A float product or sum with one number per channel goes into weights and bias."""
    if first.kind not in _WEIGHTED or second.kind not in ("mul", "add", "sub"):
        return None
    if first.attributes.get("activation", "none") != "none":
        return None
    result, weights = s.tensors[first.outputs[0]], s.tensors[first.inputs[1]]
    other = second.inputs[1] if second.inputs[0] == result.name else second.inputs[0]
    if second.kind == "sub" and second.inputs[0] != result.name:
        return None
    vector = _per_channel(s.tensors[other], result)
    if vector is None or weights.data is None or weights.dtype != "float32":
        return None
    bias = _bias(s, first, result.shape[-1])
    if bias is None:
        return None
    if second.kind == "mul":
        shape = (
            (1, 1, -1)
            if first.kind == "depthwise_conv2d"
            else (-1,) + (1,) * (weights.data.ndim - 1)
        )
        data = (weights.data * vector.reshape(shape)).astype(np.float32)
        weights = _constant(s, weights.name, data)
        bias = bias * vector
    else:
        bias = bias + (vector if second.kind == "add" else -vector)
    offset = _constant(s, f"{result.name}/bias", bias.astype(np.float32))
    attributes = {**first.attributes, "activation": second.attributes.get("activation", "none")}
    return replace(first, name=second.name, inputs=(first.inputs[0], weights.name, offset.name),
                   outputs=second.outputs, attributes=attributes)  # fmt: skip


_ACTIVATED = (*_WEIGHTED, "add", "sub", "mul", "average_pool2d", "max_pool2d")
_CLIPS = {(0.0, np.inf): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "relu_n1_to_1"}


def _fold_activation(s: _State, first: Operator, second: Operator) -> Operator | None:
    """A float operator's activation, where exporters wrote it as an operator of its own."""
    if first.kind not in _ACTIVATED or first.attributes.get("activation", "none") != "none":
        return None
    name = second.kind
    if name == "clip":
        name = _CLIPS.get((second.attributes["lo"], second.attributes["hi"]), "")
    if name not in _CLIPS.values() or s.tensors[first.outputs[0]].dtype != "float32":
        return None
    attributes = {**first.attributes, "activation": name}
    return replace(first, name=second.name, outputs=second.outputs, attributes=attributes)


def _per_channel(tensor: Tensor, result: Tensor) -> NDArray[Any] | None:
    """A constant that only varies along the last axis of ``result``, as a vector."""
    if tensor.data is None or tensor.dtype != "float32" or len(tensor.shape) > len(result.shape):
        return None
    channels = result.shape[-1]
    if tensor.data.size not in (1, channels) or (
        tensor.data.size > 1 and tensor.shape[-1] != channels
    ):
        return None
    return np.broadcast_to(tensor.data.reshape(-1), (channels,)).astype(np.float64)


def _bias(s: _State, operator: Operator, channels: int) -> NDArray[Any] | None:
    if len(operator.inputs) < 3:
        return np.zeros(channels)
    data = s.tensors[operator.inputs[2]].data
    return None if data is None else data.reshape(-1).astype(np.float64)


def _constant(s: _State, wish: str, data: NDArray[Any]) -> Tensor:
    name, number = f"{wish}/folded", 1
    while name in s.tensors:
        number += 1
        name = f"{wish}/folded{number}"
    s.tensors[name] = Tensor(name=name, shape=data.shape, dtype=data.dtype.name, data=data)
    return s.tensors[name]
