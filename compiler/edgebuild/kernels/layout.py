# SPDX-License-Identifier: Apache-2.0
"""Transposes sink towards the outputs until they cancel.

A value may be known as "this permutation of that tensor" without a copy having been made. Where
an operator does not care about the order of axes, it works on the tensor underneath; only where
one does is the copy made. Channels-first models so become channels-last throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from edgebuild.kernels.shapes import BINARY, UNARY
from edgebuild.model.graph import Graph, Operator, Quantisation, Tensor

Perm = tuple[int, ...]


@dataclass(slots=True)
class _Sinker:
    """The graph being rewritten. ``pending``: value -> (tensor, perm) it is a transpose of."""

    tensors: dict[str, Tensor]
    operators: list[Operator] = field(default_factory=list)
    pending: dict[str, tuple[str, Perm]] = field(default_factory=dict)

    def source(self, name: str) -> tuple[str, Perm | None]:
        return self.pending.get(name, (name, None))

    def materialise(self, name: str) -> str:
        """``name`` itself, with the copy made if it was pending."""
        found = self.pending.pop(name, None)
        if found is not None:
            source, perm = found
            self._append("transpose", (source,), name, {"perm": perm}, name)
        return name

    def _append(
        self, kind: str, inputs: Sequence[str], output: str, attributes: dict[str, Any], source: str
    ) -> None:
        if kind == "transpose" and not _moves(self.tensors[inputs[0]].shape, attributes["perm"]):
            kind, attributes = "reshape", {"shape": self.tensors[output].shape}
        self.operators.append(
            Operator(
                kind=kind, name=output, inputs=tuple(inputs), outputs=(output,),
                attributes=attributes, source=source,
            )
        )  # fmt: skip

    def keep(self, operator: Operator) -> None:
        """An operator that minds: its inputs are made."""
        for name in operator.inputs:
            self.materialise(name)
        self.operators.append(operator)

    def through(
        self, operator: Operator, inputs: Sequence[str], perm: Perm, attributes: dict[str, Any]
    ) -> None:
        """The operator on the tensors underneath; its output is pending under ``perm``."""
        output = operator.outputs[0]
        shape = self.tensors[output].shape
        inverse = np.argsort(perm)
        under = self.fresh(output, tuple(shape[axis] for axis in inverse), self.tensors[output])
        self.operators.append(
            replace(operator, name=under, inputs=tuple(inputs), outputs=(under,),
                    attributes=attributes)
        )  # fmt: skip
        self.pending[output] = (under, perm)

    def fresh(self, wish: str, shape: tuple[int, ...], like: Tensor) -> str:
        name, number = f"{wish}/nhwc", 1
        while name in self.tensors:
            number += 1
            name = f"{wish}/nhwc{number}"
        self.tensors[name] = replace(like, name=name, shape=shape, data=None)
        return name


def propagate(graph: Graph) -> Graph:
    """The same graph with as few transposes as these rules allow."""
    sinker = _Sinker(dict(graph.tensors))
    for operator in graph.operators:
        rule = _RULES.get(operator.kind)
        if rule is None or not rule(sinker, operator):
            sinker.keep(operator)
    for name in graph.outputs:
        sinker.materialise(name)
    return replace(graph, tensors=sinker.tensors, operators=tuple(sinker.operators))


def _moves(shape: Sequence[int], perm: Perm) -> bool:
    """Whether elements move at all: axes of extent 1 may wander freely."""
    order = [axis for axis in perm if shape[axis] != 1]
    return order != sorted(order)


def _transpose(s: _Sinker, o: Operator) -> bool:
    source, before = s.source(o.inputs[0])
    perm: Perm = tuple(o.attributes["perm"])
    if before is not None:
        perm = tuple(before[axis] for axis in perm)
    s.pending[o.outputs[0]] = (source, perm)
    if perm == tuple(range(len(perm))):
        _alias(s, o, source)
    return True


def _alias(s: _Sinker, o: Operator, source: str) -> None:
    """The transposes cancelled: a reshape to the same shape, which costs nothing."""
    del s.pending[o.outputs[0]]
    shape = s.tensors[o.outputs[0]].shape
    s.operators.append(replace(o, kind="reshape", inputs=(source,), attributes={"shape": shape}))


def _unary(s: _Sinker, o: Operator) -> bool:
    source, perm = s.source(o.inputs[0])
    if perm is None:
        return False
    s.through(o, [source], perm, dict(o.attributes))
    return True


def _binary(s: _Sinker, o: Operator) -> bool:
    """All inputs under one permutation, or constants, which are permuted here."""
    perms = {perm for name in o.inputs if (perm := s.source(name)[1]) is not None}
    if len(perms) != 1:
        return False
    (perm,) = perms
    names = []
    for name in o.inputs:
        source, own = s.source(name)
        under = source if own is not None else _permuted_constant(s, name, perm)
        if under is None or len(s.tensors[under].shape) != len(perm):
            return False
        names.append(under)
    s.through(o, names, perm, dict(o.attributes))
    return True


def _permuted_constant(s: _Sinker, name: str, perm: Perm) -> str | None:
    """A constant as the tensors underneath see it."""
    tensor = s.tensors[name]
    if tensor.data is None or len(tensor.shape) > len(perm):
        return None
    quantisation = tensor.quantisation
    if quantisation is not None and quantisation.axis is not None:
        return None
    padded = tensor.data.reshape((1,) * (len(perm) - len(tensor.shape)) + tensor.shape)
    moved = np.ascontiguousarray(padded.transpose(np.argsort(perm)))
    under = s.fresh(name, moved.shape, tensor)
    s.tensors[under] = replace(s.tensors[under], data=moved)
    return under


def _concat(s: _Sinker, o: Operator) -> bool:
    found = [s.source(name) for name in o.inputs]
    perm = found[0][1]
    if perm is None or any(other != perm for _, other in found):
        return False
    axis = perm[o.attributes["axis"]]
    s.through(o, [source for source, _ in found], perm, {**o.attributes, "axis": axis})
    return True


def _per_axis(*keys: str) -> Callable[[_Sinker, Operator], bool]:
    """Attributes that hold one number per axis."""

    def rule(s: _Sinker, o: Operator) -> bool:
        source, perm = s.source(o.inputs[0])
        if perm is None:
            return False
        inverse = np.argsort(perm)
        moved = {key: tuple(o.attributes[key][axis] for axis in inverse) for key in keys}
        s.through(o, [source], perm, {**o.attributes, **moved})
        return True

    return rule


def _reduce(s: _Sinker, o: Operator) -> bool:
    source, perm = s.source(o.inputs[0])
    if perm is None:
        return False
    axes = tuple(sorted(perm[axis] for axis in o.attributes["axes"]))
    if o.attributes["keep_dims"]:
        s.through(o, [source], perm, {**o.attributes, "axes": axes})
        return True
    kept = [axis for axis in perm if axis not in axes]
    rank = tuple(sorted(kept).index(axis) for axis in kept)
    s.through(o, [source], rank, {**o.attributes, "axes": axes})
    return True


def _gather(s: _Sinker, o: Operator) -> bool:
    """Rows by a list of numbers: along the axis that it is underneath."""
    source, perm = s.source(o.inputs[0])
    if perm is None or len(s.tensors[s.materialise(o.inputs[1])].shape) != 1:
        return False
    s.through(o, [source, o.inputs[1]], perm, {**o.attributes, "axis": perm[o.attributes["axis"]]})
    return True


def _reshape(s: _Sinker, o: Operator) -> bool:
    """A transpose that moves nothing under a reshape is part of it."""
    source, perm = s.source(o.inputs[0])
    if perm is None or _moves(s.tensors[source].shape, perm):
        return False
    s.operators.append(replace(o, inputs=(source,)))
    return True


def _dense(s: _Sinker, o: Operator) -> bool:
    """A flattened image under a dense layer: its weights are permuted instead."""
    flat, weights = o.inputs[0], s.tensors[o.inputs[1]]
    producer = next((p for p in reversed(s.operators) if p.outputs[0] == flat), None)
    if producer is None or producer.kind != "reshape" or weights.data is None:
        return False
    moved = next((p for p in reversed(s.operators) if p.outputs[0] == producer.inputs[0]), None)
    if moved is None or moved.kind != "transpose" or moved.attributes["perm"][0] != 0:
        return False
    image, perm = s.tensors[moved.inputs[0]], moved.attributes["perm"]
    features = prod(image.shape[1:])
    if s.tensors[flat].shape != (image.shape[0], features):
        return False
    axes = [image.shape[axis] for axis in perm[1:]]
    data = weights.data.reshape(-1, *axes).transpose(0, *(1 + np.argsort(perm[1:])))
    packed = s.fresh(weights.name, weights.shape, weights)
    s.tensors[packed] = replace(
        s.tensors[packed], data=np.ascontiguousarray(data).reshape(weights.shape)
    )
    direct = s.fresh(flat, s.tensors[flat].shape, s.tensors[flat])
    s.operators.append(replace(producer, name=direct, inputs=(image.name,), outputs=(direct,)))
    s.operators.append(replace(o, inputs=(direct, packed, *o.inputs[2:])))
    return True


def _one_scale(found: Quantisation | None) -> bool:
    return found is None or found.axis is None


def _conversion(s: _Sinker, o: Operator) -> bool:
    """Quantisation along an axis minds the order of axes, and the tensor underneath needs it."""
    own, (source, perm) = s.tensors[o.inputs[0]], s.source(o.inputs[0])
    if perm is not None and s.tensors[source].quantisation is None:
        s.tensors[source] = replace(s.tensors[source], quantisation=own.quantisation)
    if s.tensors[source].quantisation != own.quantisation:
        return False
    names = (*o.inputs, *o.outputs)
    return all(_one_scale(s.tensors[name].quantisation) for name in names) and _unary(s, o)


_RULES: dict[str, Callable[[_Sinker, Operator], bool]] = {
    "transpose": _transpose,
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BINARY, _binary),
    "select": _binary,
    "quantize": _conversion,
    "dequantize": _conversion,
    "concat": _concat,
    "pad": _per_axis("before", "after"),
    "slice": _per_axis("begin", "size", "stride"),
    **dict.fromkeys(("mean", "sum", "reduce_max", "reduce_min"), _reduce),
    "gather": _gather,
    "reshape": _reshape,
    "dense": _dense,
}
