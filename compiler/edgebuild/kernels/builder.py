# SPDX-License-Identifier: Apache-2.0
"""What both importers write into: a graph in the making, with checked shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.errors.kernels import MODEL_MALFORMED, MODEL_TOO_LARGE
from edgebuild.kernels import fold
from edgebuild.kernels.shapes import Shape, infer
from edgebuild.model.graph import DTYPES, Graph, Operator, Quantisation, Tensor

LIMIT_TENSORS = 50_000
LIMIT_OPERATORS = 20_000
LIMIT_ELEMENTS = 1 << 30
LIMIT_FOLDED_BYTES = 1 << 30


@dataclass(slots=True)
class GraphBuilder:
    """Tensors and operators by name. Every name it gives out is unique."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folded_bytes: int = 0
    constants: dict[tuple[Any, ...], str] = field(default_factory=dict)
    #: of 8-bit weights, as floats
    widened: dict[str, Tensor] = field(default_factory=dict)
    #: the last number given to a wish: no search through thousands of equal ones
    taken: dict[str, int] = field(default_factory=dict)
    #: values whose shape the file leaves open: that of their operator becomes theirs
    inferred: set[str] = field(default_factory=set)
    #: int8 values that stand for uint8 ones of the file, which are larger by 128
    moved_by_128: dict[str, Quantisation] = field(default_factory=dict)

    def unique(self, wish: str) -> str:
        wish = wish or "tensor"
        name, number = wish, self.taken.get(wish, 1)
        while name in self.tensors:
            number += 1
            name = f"{wish}.{number}"
        self.taken[wish] = number
        return name

    def tensor(
        self,
        wish: str,
        shape: Sequence[int],
        dtype: str,
        *,
        quantisation: Quantisation | None = None,
        data: NDArray[Any] | None = None,
    ) -> str:
        """Add a tensor; returns its name. Raises MODEL_TOO_LARGE past the limits."""
        name = self.unique(wish)
        dimensions = tuple(int(n) for n in shape)
        _check_size(name, dimensions)
        if len(self.tensors) >= LIMIT_TENSORS:
            raise MODEL_TOO_LARGE(f"more than {LIMIT_TENSORS} tensors")
        self.tensors[name] = Tensor(
            name=name, shape=dimensions, dtype=dtype, quantisation=quantisation, data=data
        )
        return name

    def constant(
        self, wish: str, data: NDArray[Any], quantisation: Quantisation | None = None
    ) -> str:
        """A constant; the same memory under the same shape is the same constant."""
        array = np.ascontiguousarray(data).reshape(data.shape)
        key = (array.ctypes.data, array.shape, array.dtype.name, quantisation)
        known = self.tensors.get(self.constants.get(key, ""))
        if known is not None and known.quantisation == quantisation and _lies_at(known, key[0]):
            return known.name
        name = self.tensor(wish, data.shape, data.dtype.name, quantisation=quantisation, data=array)
        self.constants[key] = name
        return name

    def add(
        self, kind: str, inputs: Sequence[str], output: str, source: str, **attributes: Any
    ) -> None:
        """Add an operator whose output tensor exists; its shape must be the inferred one."""
        shape = self.infer(kind, inputs, source, attributes)
        if output in self.inferred:
            _check_size(output, shape)
            self.tensors[output] = replace(self.tensors[output], shape=shape)
        declared = self.tensors[output].shape
        if shape != declared:
            raise MODEL_MALFORMED(
                f"{kind} gives shape {list(shape)}, the file says {list(declared)}", where=source
            )
        self._append(kind, inputs, output, source, attributes)

    def settle(self, output: str, value: NDArray[Any], source: str) -> None:
        """The tensor ``output``, which exists, is a constant after all."""
        tensor = self.tensors[output]
        if value.shape != tensor.shape and output not in self.inferred:
            raise MODEL_MALFORMED(
                f"shape {list(value.shape)}, the file says {list(tensor.shape)}", where=source
            )
        _check_size(output, value.shape)
        data = np.ascontiguousarray(value, DTYPES[tensor.dtype]).reshape(value.shape)
        self.tensors[output] = replace(tensor, shape=value.shape, data=data)

    def emit(
        self,
        kind: str,
        inputs: Sequence[str],
        wish: str,
        source: str,
        *,
        dtype: str | None = None,
        quantisation: Quantisation | None = None,
        **attributes: Any,
    ) -> str:
        """Add an operator and its output, with the inferred shape; returns the output's name."""
        shape = self.infer(kind, inputs, source, attributes)
        kept = dtype or self.tensors[inputs[0]].dtype
        output = self.tensor(wish, shape, kept, quantisation=quantisation)
        self._append(kind, inputs, output, source, attributes)
        return output

    def infer(
        self, kind: str, inputs: Sequence[str], source: str, attributes: dict[str, Any]
    ) -> Shape:
        shapes = [self.tensors[name].shape for name in inputs]
        try:
            return infer(kind, shapes, attributes)
        except (ValueError, IndexError, ZeroDivisionError, OverflowError) as error:
            raise MODEL_MALFORMED(f"{kind}: {error}", where=source) from error

    def _append(
        self, kind: str, inputs: Sequence[str], output: str, source: str, attributes: dict[str, Any]
    ) -> None:
        if len(self.operators) >= LIMIT_OPERATORS:
            raise MODEL_TOO_LARGE(f"more than {LIMIT_OPERATORS} operators", where=source)
        self.operators.append(
            Operator(
                kind=kind,
                name=output,
                inputs=tuple(inputs),
                outputs=(output,),
                attributes=attributes,
                source=source,
            )
        )

    def fold(self, first: int) -> None:
        """Compute those operators from ``first`` on whose inputs are all constant."""
        kept = []
        for operator in self.operators[first:]:
            value = fold.evaluate(self.tensors, operator)
            if value is None:
                kept.append(operator)
                continue
            self.folded_bytes += value.nbytes
            if self.folded_bytes > LIMIT_FOLDED_BYTES:
                raise MODEL_TOO_LARGE("the model's constants grow without bound",
                                      where=operator.source)  # fmt: skip
            name, source = operator.outputs[0], self.tensors[operator.inputs[0]]
            self.tensors[name] = fold.value_of(self.tensors[name], value, operator, source)
        self.operators[first:] = kept

    def finish(
        self, name: str, form: str, digest: str, inputs: Sequence[str], outputs: Sequence[str]
    ) -> Graph:
        """The graph, after a check that every value is made before it is used."""
        known = set(inputs) | {t.name for t in self.tensors.values() if t.data is not None}
        for operator in self.operators:
            _require(known, operator.inputs, operator.source)
            known.update(operator.outputs)
        _require(known, outputs, "the model's outputs")
        return Graph(
            name=name,
            format=form,
            digest=digest,
            tensors=dict(self.tensors),
            operators=tuple(self.operators),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            notes=tuple(dict.fromkeys(self.notes)),
        )


def _lies_at(tensor: Tensor, address: int) -> bool:
    """Whether a constant is that memory; what has no bytes shares every address."""
    return (
        bool(tensor.size_bytes) and tensor.data is not None and (tensor.data.ctypes.data == address)
    )


def _check_size(name: str, shape: Shape) -> None:
    size = 1
    for extent in shape:
        if extent < 0:
            raise MODEL_MALFORMED(f"tensor {name!r} has the shape {list(shape)}")
        size *= extent
        if size > LIMIT_ELEMENTS or len(shape) > 8:
            raise MODEL_TOO_LARGE(f"tensor {name!r} has the shape {list(shape)}")


def _require(known: set[str], names: Sequence[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise MODEL_MALFORMED(f"tensor {name!r} is used before it has a value", where=where)
