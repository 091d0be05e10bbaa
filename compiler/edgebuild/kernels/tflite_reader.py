# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite files as graphs; int8 weights stay int8.

Field numbers are those of TensorFlow's schema.fbs (version 3), named beside each use.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.errors.kernels import (
    MODEL_MALFORMED,
    OPERATOR_UNSUPPORTED,
    SHAPE_DYNAMIC,
    TYPE_UNSUPPORTED,
)
from edgebuild.kernels.builder import LIMIT_TENSORS, GraphBuilder
from edgebuild.kernels.flatbuffer import Table, root
from edgebuild.kernels.tflite_names import OPERATOR_NAMES, TYPE_NAMES
from edgebuild.model.graph import DTYPES, Graph, Quantisation


@dataclass(slots=True)
class TfliteOperator:
    """One operator of the file, and the builder that its conversion writes into."""

    builder: GraphBuilder
    kind: str  # schema name: CONV_2D
    source: str  # "17 CONV_2D"
    inputs: list[str | None]
    outputs: list[str]
    options: Table | None

    def option(self, slot: int, form: str = "<i", default: float = 0) -> Any:
        return default if self.options is None else self.options.number(slot, form, default)

    def name(self, number: int) -> str:
        """An input that has to be there."""
        if number >= len(self.inputs) or self.inputs[number] is None:
            raise MODEL_MALFORMED(f"{self.kind} lacks its input {number}", where=self.source)
        return str(self.inputs[number])

    def has(self, number: int) -> bool:
        return number < len(self.inputs) and self.inputs[number] is not None

    def shape(self, number: int) -> tuple[int, ...]:
        return self.builder.tensors[self.name(number)].shape

    def constant(self, number: int) -> NDArray[Any]:
        """An input's value. Raises SHAPE_DYNAMIC when only the running model knows it."""
        data = self.builder.tensors[self.name(number)].data
        if data is None:
            raise SHAPE_DYNAMIC(
                f"{self.kind} takes its parameters from another operator", where=self.source
            )
        return data

    def integers(self, number: int) -> list[int]:
        data = self.constant(number)
        if data.dtype.kind not in "iu" or data.size > 64:
            raise MODEL_MALFORMED(f"input {number} of {self.kind} is no list", where=self.source)
        return [int(value) for value in data.reshape(-1)]

    def declared(self) -> tuple[int, ...] | None:
        """The output's shape as the file has it; None where the file leaves it to be inferred."""
        tensor = self.builder.tensors[self.output]
        return None if tensor.name in self.builder.inferred else tensor.shape

    def give(self, value: NDArray[Any]) -> None:
        """The (first) output is this constant."""
        self.builder.settle(self.output, value, self.source)

    @property
    def output(self) -> str:
        return self.outputs[0]

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> None:
        """Emit the operator that gives this operator's (first) output."""
        self.builder.add(kind, inputs, self.output, self.source, **attributes)


def read(data: bytes, name: str, digest: str) -> Graph:
    """Decode a whole file. Raises the classified errors E203 to E207."""
    from edgebuild.kernels.tflite_control import Program

    model = root(data, b"TFL3")
    program = Program(model)
    builder, main = program.builder, program.subgraphs[0]
    names = program.tensors(0)
    inputs = _inputs(builder, main, names)
    outputs = program.run(0, names)
    program.check()
    return builder.finish(name, "tflite", digest, inputs, outputs)


def converted(operator: TfliteOperator) -> None:
    """Write an operator into its builder. Raises OPERATOR_UNSUPPORTED and what it finds wrong."""
    from edgebuild.kernels.tflite_operators import CONVERTERS

    convert = CONVERTERS.get(operator.kind)
    if convert is None:
        raise unsupported(operator.kind, operator.source)
    before = len(operator.builder.operators)
    try:
        convert(operator)
    except (
        TypeError, ValueError, IndexError, KeyError, OverflowError, ZeroDivisionError,
    ) as error:  # fmt: skip
        raise MODEL_MALFORMED(
            f"{operator.kind}: {str(error)[:200]}", where=operator.source
        ) from error
    # half-float weights, for one, are constants that DEQUANTIZE widens
    operator.builder.fold(before)


def unsupported(kind: str, source: str) -> Exception:
    return OPERATOR_UNSUPPORTED(
        f"operator {kind} has no kernel",
        where=f"operator {source}",
        hint="no target can compute it; express it with other operators before exporting",
    )


def operator_name(table: Table) -> str:
    # deprecated_builtin_code 0 (byte), custom_code 1, builtin_code 3: the larger counts
    number = max(table.number(0, "<b"), table.number(3, "<i"))
    if number == 32:
        return f"CUSTOM:{table.text(1)}"
    return OPERATOR_NAMES.get(number, f"OPERATOR_{number}")


def pick(names: list[str], index: int, where: str) -> str:
    if not 0 <= index < len(names):
        raise MODEL_MALFORMED(f"tensor {index} of {len(names)}", where=where)
    return names[index]


def operator_of(
    builder: GraphBuilder, table: Table, names: list[str], kind: str, source: str
) -> TfliteOperator:
    inputs = [None if i == -1 else pick(names, i, source) for i in table.vector(1, "<i4")]
    outputs = [pick(names, i, source) for i in table.vector(2, "<i4")]
    if not outputs:
        raise MODEL_MALFORMED(f"{kind} gives nothing", where=source)
    return TfliteOperator(builder, kind, source, list(inputs), outputs, table.table(4))


def tensors_of(builder: GraphBuilder, subgraph: Table, buffers: list[Table]) -> list[str]:
    tables = subgraph.tables(0)
    if len(tables) > LIMIT_TENSORS:
        raise MODEL_MALFORMED(f"{len(tables)} tensors")
    return [_tensor(builder, table, buffers, number) for number, table in enumerate(tables)]


def _tensor(builder: GraphBuilder, table: Table, buffers: list[Table], number: int) -> str:
    # shape 0, type 1, buffer 2, name 3, quantization 4, sparsity 6, shape_signature 7
    name = table.text(3) or f"tensor_{number}"
    where = f"tensor {number} {name!r}"
    shape = tuple(int(n) for n in table.vector(0, "<i4"))
    signature = [int(n) for n in table.vector(7, "<i4")]
    if any(n < 0 for n in shape):
        raise SHAPE_DYNAMIC(f"shape {list(shape)}", where=where)
    dtype = TYPE_NAMES.get(table.number(1, "<b"), "unknown")
    if dtype not in DTYPES or table.table(6) is not None:
        raise TYPE_UNSUPPORTED(
            f"tensor {name!r} has the type {dtype if dtype not in DTYPES else 'sparse ' + dtype}",
            where=where,
            hint="export with float32 or int8 tensors",
        )
    index = table.number(2, "<I")
    if index >= len(buffers):
        raise MODEL_MALFORMED(f"buffer {index} of {len(buffers)}", where=where)
    raw = buffers[index].vector(0, "u1")
    data = None
    if raw.size or buffers[index].number(1, "<Q"):
        data = _constant(raw, shape, dtype, where)
    quantisation = _quantisation(table.table(4), shape, where)
    unique = builder.tensor(name, shape, dtype, quantisation=quantisation, data=data)
    if min(signature, default=0) < 0 and data is None:
        # the shape of a tensor with a free extent is a placeholder, but for the model's inputs
        builder.inferred.add(unique)
    return unique


def _inputs(builder: GraphBuilder, subgraph: Table, names: list[str]) -> list[str]:
    """The model's inputs; a free leading extent is a batch, which is fixed to 1."""
    tables, found = subgraph.tables(0), []
    for index in subgraph.vector(1, "<i4"):
        name = pick(names, index, "the model's inputs")
        signature = [int(n) for n in tables[index].vector(7, "<i4")]
        if any(n < 0 for n in signature[1:]):
            raise SHAPE_DYNAMIC(
                f"input {name!r} has the shape {signature}",
                where=f"input {name!r}",
                hint="export with fixed shapes; only a leading batch is fixed to 1 here",
            )
        if signature and signature[0] < 0 and builder.tensors[name].shape[:1] == (1,):
            builder.notes.append("the batch size is fixed to 1")
        builder.inferred.discard(name)
        found.append(name)
    return found


def _constant(raw: NDArray[Any], shape: tuple[int, ...], dtype: str, where: str) -> NDArray[Any]:
    size = prod(shape) * DTYPES[dtype].itemsize
    if raw.size != size:
        raise MODEL_MALFORMED(f"{raw.size} bytes for {list(shape)} of {dtype}", where=where)
    # a copy when the file's alignment does not suit the type
    array = np.frombuffer(raw.tobytes(), DTYPES[dtype].newbyteorder("<"))
    return array.astype(DTYPES[dtype], copy=False).reshape(shape)


def _quantisation(table: Table | None, shape: tuple[int, ...], where: str) -> Quantisation | None:
    # scale 2, zero_point 3, quantized_dimension 6
    if table is None:
        return None
    scale = table.vector(2, "<f4")
    zero = table.vector(3, "<i8")
    if not scale.size:
        return None
    axis = int(table.number(6))
    per_axis = scale.size > 1
    fits = not per_axis or (0 <= axis < len(shape) and scale.size == shape[axis])
    usable = np.isfinite(scale).all() and (scale > 0).all() and (np.abs(zero) < 1 << 31).all()
    if not fits or not usable or zero.size not in (0, 1, scale.size):
        raise MODEL_MALFORMED("quantisation parameters do not fit", where=where)
    zeros = np.broadcast_to(zero if zero.size else np.zeros(1, np.int64), scale.shape)
    return Quantisation(
        scale=tuple(float(value) for value in scale),
        zero_point=tuple(int(value) for value in zeros),
        axis=axis if per_axis else None,
    )
