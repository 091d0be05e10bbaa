# SPDX-License-Identifier: Apache-2.0
"""ONNX files as graphs: one file, opset 7 or newer, static shapes.

Constant expressions (the shape arithmetic that exporters leave behind) are computed while reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from edgebuild.errors.kernels import (
    MODEL_MALFORMED,
    ONNX_EXTERNAL_DATA,
    ONNX_OPSET,
    OPERATOR_UNSUPPORTED,
    SHAPE_DYNAMIC,
    TYPE_UNSUPPORTED,
)
from edgebuild.kernels import fold
from edgebuild.kernels.builder import GraphBuilder
from edgebuild.kernels.onnx_attributes import Attributes
from edgebuild.kernels.shapes import normal_axis
from edgebuild.model.graph import DTYPES, Graph, Tensor

OLDEST_OPSET = 7


@dataclass(slots=True)
class OnnxNode:
    """One node of the file, and the builder that its conversion writes into."""

    builder: GraphBuilder
    kind: str  # Conv
    source: str  # "3 Conv"
    inputs: list[str | None]  # our names
    outputs: list[str]  # the file's names
    attributes: dict[str, Any]
    opset: int
    results: dict[str, str]  # the file's output name -> ours

    def has(self, number: int) -> bool:
        return number < len(self.inputs) and self.inputs[number] is not None

    def name(self, number: int) -> str:
        if not self.has(number):
            raise MODEL_MALFORMED(f"{self.kind} lacks its input {number}", where=self.source)
        return str(self.inputs[number])

    def names(self) -> list[str]:
        return [self.name(number) for number in range(len(self.inputs))]

    def tensor(self, number: int) -> Tensor:
        return self.builder.tensors[self.name(number)]

    def shape(self, number: int) -> tuple[int, ...]:
        return self.tensor(number).shape

    def constant(self, number: int) -> NDArray[Any]:
        """An input's value. Raises SHAPE_DYNAMIC when only the running model knows it."""
        data = self.tensor(number).data
        if data is None:
            raise SHAPE_DYNAMIC(
                f"{self.kind} takes its parameters from another operator",
                where=self.source,
                hint="export with constant shapes (dynamic_axes off)",
            )
        return data

    def integers(self, number: int, attribute: str = "") -> list[int] | None:
        """A list that is an input in newer opsets and was an attribute before."""
        if self.has(number):
            data = self.constant(number)
            if data.dtype.kind not in "iu" or data.size > 64:
                raise MODEL_MALFORMED(f"input {number} of {self.kind}", where=self.source)
            return [int(value) for value in data.reshape(-1)]
        found = self.attributes.get(attribute)
        return None if found is None else [int(value) for value in found]

    def reduced_axes(self) -> tuple[int, ...]:
        """Those that a reduction is over, by input or attribute; all where none are named."""
        rank = len(self.shape(0))
        axes = self.integers(1, "axes") or range(rank)
        return tuple(sorted({normal_axis(axis, rank) for axis in axes}))

    def number(self, value: float, dtype: str = "float32") -> str:
        """A constant of one number."""
        return self.builder.constant(f"{self.outputs[0]}/number", np.array(value, DTYPES[dtype]))

    def get(self, attribute: str, default: Any) -> Any:
        """An attribute, of the default's kind. Raises MODEL_MALFORMED for another kind."""
        value = self.attributes.get(attribute, default)
        if default is not None and isinstance(value, list) != isinstance(default, list):
            raise MODEL_MALFORMED(f"attribute {attribute} of {self.kind}", where=self.source)
        return value

    def emit(
        self, kind: str, inputs: Sequence[str], *, dtype: str | None = None, **attributes: Any
    ) -> str:
        """An operator on the way to the node's output."""
        wish = f"{self.outputs[0]}/{kind}"
        return self.builder.emit(kind, inputs, wish, self.source, dtype=dtype, **attributes)

    def result(
        self, kind: str, inputs: Sequence[str], *, dtype: str | None = None, **attributes: Any
    ) -> None:
        """The operator that gives the node's first output."""
        self.give(self.builder.emit(kind, inputs, self.outputs[0], self.source, dtype=dtype,
                                    **attributes))  # fmt: skip

    def give(self, name: str, number: int = 0) -> None:
        """Our value ``name`` is the node's output."""
        if number < len(self.outputs):
            self.results[self.outputs[number]] = name

    def unsupported(self, what: str) -> Exception:
        return OPERATOR_UNSUPPORTED(
            f"operator {self.kind} {what}",
            where=f"operator {self.source}",
            hint="no target can compute it; express it with other operators before exporting",
        )


def read(data: bytes, title: str, digest: str) -> Graph:
    """Decode a whole file. Raises the classified errors E203 to E209."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        raise MODEL_MALFORMED("not an ONNX protocol buffer", hint=str(error)[:200]) from error
    opset = _opset(model)
    builder = GraphBuilder()
    known = _constants(builder, model.graph)
    inputs = _inputs(builder, model.graph, known)
    for number, node in enumerate(model.graph.node):
        _convert(builder, node, f"{number} {node.op_type}", opset, known)
    outputs = list[str]()
    for output in model.graph.output:
        name = _output(builder, known, output)
        outputs.append(_apart(builder, name, output.name, {*inputs, *outputs}))
    if not outputs:
        raise MODEL_MALFORMED("the model has no outputs")
    graph = builder.finish(title, "onnx", digest, inputs, outputs)
    names = dict(zip(outputs, (output.name for output in model.graph.output), strict=True))
    return replace(_named(fold.prune(graph), names), description=model.graph.doc_string[:1000])


def _named(graph: Graph, names: dict[str, str]) -> Graph:
    """The graph with outputs called as in the file, where no other tensor is called so."""
    free = {
        ours: theirs
        for ours, theirs in names.items()
        if theirs not in graph.tensors and ours not in graph.inputs
    }

    def of(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(free.get(name, name) for name in values)

    return replace(
        graph,
        tensors={free.get(n, n): replace(t, name=free.get(n, n)) for n, t in graph.tensors.items()},
        operators=tuple(
            replace(o, name=free.get(o.name, o.name), inputs=of(o.inputs), outputs=of(o.outputs))
            for o in graph.operators
        ),
        outputs=of(graph.outputs),
    )


def _opset(model: onnx.ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        raise MODEL_MALFORMED("the file names no opset: it is no ONNX model")
    if max(versions) < OLDEST_OPSET:
        raise ONNX_OPSET(
            f"the model uses opset {max(versions)}, the oldest read is {OLDEST_OPSET}",
            hint="export again with opset 17, or convert it with onnx.version_converter",
        )
    return int(max(versions))


def array(proto: onnx.TensorProto, where: str) -> NDArray[Any]:
    """A tensor of the file. Raises ONNX_EXTERNAL_DATA, TYPE_UNSUPPORTED, MODEL_MALFORMED."""
    if proto.data_location == onnx.TensorProto.EXTERNAL or proto.external_data:
        raise ONNX_EXTERNAL_DATA(
            f"tensor {proto.name!r} is kept in another file",
            where=where,
            hint="put that file beside the model for bench and inspect; for a build save one file: "
            "torch.onnx.export(..., external_data=False), or "
            "onnx.save(onnx.load(path), path, save_as_external_data=False)",
        )
    if any(extent < 0 for extent in proto.dims):
        raise MODEL_MALFORMED(f"tensor {proto.name!r} has a negative extent", where=where)
    try:
        found = numpy_helper.to_array(proto)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise MODEL_MALFORMED(f"tensor {proto.name!r}: {str(error)[:200]}", where=where) from error
    if found.dtype.name not in DTYPES:
        raise TYPE_UNSUPPORTED(f"tensor {proto.name!r} has the type {found.dtype}", where=where)
    return np.asarray(found)


def _constants(builder: GraphBuilder, graph: onnx.GraphProto) -> dict[str, str]:
    if graph.sparse_initializer:
        raise TYPE_UNSUPPORTED("sparse weights", hint="export with dense weights")
    known = {}
    for proto in graph.initializer:
        known[proto.name] = builder.constant(proto.name, array(proto, f"tensor {proto.name!r}"))
    return known


def _inputs(builder: GraphBuilder, graph: onnx.GraphProto, known: dict[str, str]) -> list[str]:
    names = []
    for value in graph.input:
        if value.name in known:
            continue
        dtype = data_type(value.type.tensor_type.elem_type, value.name)
        shape = _shape(builder, value)
        known[value.name] = builder.tensor(value.name, shape, dtype)
        names.append(known[value.name])
    return names


def data_type(number: int, name: str) -> str:
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(number).name
    except (KeyError, ValueError, TypeError):
        dtype = f"number {number}"
    if dtype not in DTYPES:
        raise TYPE_UNSUPPORTED(f"tensor {name!r} has the type {dtype}", where=f"input {name!r}")
    return str(dtype)


def _shape(builder: GraphBuilder, value: onnx.ValueInfoProto) -> list[int]:
    """A leading symbolic extent (and others of the same name) becomes 1, with a note."""
    dims = value.type.tensor_type.shape.dim
    batch = dims[0].dim_param if dims and not dims[0].HasField("dim_value") else ""
    shape = []
    for axis, dim in enumerate(dims):
        fixed = dim.HasField("dim_value") and dim.dim_value >= 0
        if not fixed and axis and not (batch and dim.dim_param == batch):
            raise SHAPE_DYNAMIC(
                f"axis {axis} of {value.name!r} is {dim.dim_param or 'unknown'}",
                where=f"input {value.name!r}",
                hint="export with fixed shapes, or fix this one: python -m onnxruntime.tools."
                f"make_dynamic_shape_fixed --dim_param {dim.dim_param or 'NAME'} --dim_value N "
                "in.onnx out.onnx; only a leading batch is fixed to 1 here",
            )
        if not fixed:
            builder.notes.append("the batch size is fixed to 1")
        shape.append(int(dim.dim_value) if fixed else 1)
    return shape


def _apart(builder: GraphBuilder, name: str, wish: str, taken: set[str]) -> str:
    """An output that is an input, or an output under another name: a copy with its own name."""
    if name not in taken or wish in builder.tensors:
        return name
    tensor = builder.tensors[name]
    return builder.emit("reshape", [name], wish, f"output {wish!r}", shape=tensor.shape,
                        quantisation=tensor.quantisation)  # fmt: skip


def _output(builder: GraphBuilder, known: dict[str, str], output: onnx.ValueInfoProto) -> str:
    from edgebuild.kernels import onnx_bytes

    if output.name not in known:
        raise MODEL_MALFORMED(f"output {output.name!r} is never computed")
    return onnx_bytes.output(builder, known[output.name], output)


def _convert(
    builder: GraphBuilder, proto: onnx.NodeProto, source: str, opset: int, known: dict[str, str]
) -> None:
    from edgebuild.kernels import onnx_attributes, onnx_bytes, onnx_old

    node = OnnxNode(
        builder=builder,
        kind=proto.op_type,
        source=source,
        inputs=[_known(known, name, source) if name else None for name in proto.input],
        outputs=list(proto.output),
        attributes=Attributes((_text(a.name), _attribute(a, source)) for a in proto.attribute),
        opset=opset,
        results=known,
    )
    convert = onnx_old.converter(node)
    if convert is None or proto.domain not in ("", "ai.onnx", "com.microsoft"):
        raise node.unsupported("has no kernel")
    if not node.outputs:
        raise MODEL_MALFORMED(f"{node.kind} gives nothing", where=source)
    before = len(builder.operators)
    stands_for = onnx_bytes.widen(node)
    try:
        convert(node)
    except (
        TypeError, ValueError, IndexError, KeyError, OverflowError, ZeroDivisionError,
    ) as error:  # fmt: skip
        raise MODEL_MALFORMED(f"{node.kind}: {str(error)[:200]}", where=source) from error
    onnx_attributes.check(node)
    onnx_bytes.follow(node, stands_for)
    builder.fold(before)


def packed(o: OnnxNode, number: int, data: NDArray[Any], suffix: str, axis: int) -> str:
    """A constant input under another arrangement, with its channels along ``axis``."""
    tensor = o.tensor(number)
    quantisation = tensor.quantisation
    if quantisation is not None and quantisation.axis is not None:
        quantisation = replace(quantisation, axis=axis)
    return o.builder.constant(f"{tensor.name}/{suffix}", data, quantisation)


def _known(known: dict[str, str], name: str, source: str) -> str:
    if name not in known:
        raise MODEL_MALFORMED(f"tensor {name!r} is used before it has a value", where=source)
    return known[name]


def _attribute(attribute: onnx.AttributeProto, source: str) -> Any:
    if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        raise OPERATOR_UNSUPPORTED("control flow cannot be compiled", where=f"operator {source}")
    if attribute.type == onnx.AttributeProto.TENSOR:
        return array(attribute.t, source)
    try:
        value = onnx.helper.get_attribute_value(attribute)
    except ValueError as error:
        raise MODEL_MALFORMED(f"attribute {attribute.name!r}", where=source) from error
    if isinstance(value, Sequence) and not isinstance(value, bytes | str):
        return [_text(each) for each in value]
    return _text(value)


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
