# SPDX-License-Identifier: Apache-2.0
"""uint8 of ONNX files: int8 inside, less 128; what a caller sees is what the file says.

Operators that only move quantised numbers, or quantise them back, take the int8 form. Every other
one gets the bytes as the file means them, and so does the caller.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx

from edgebuild.errors.kernels import TYPE_UNSUPPORTED
from edgebuild.kernels import onnx_qoperators
from edgebuild.kernels.builder import GraphBuilder
from edgebuild.model.graph import Quantisation

if TYPE_CHECKING:
    from edgebuild.kernels.onnx_reader import OnnxNode

_READS = frozenset({"DequantizeLinear", *onnx_qoperators.CONVERTERS})
#: what gives the same numbers, and reads no other bytes beside them
_MOVES = frozenset(
    {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Gather",
     "Split", "Expand", "DepthToSpace", "SpaceToDepth", "Tile", "Dropout"}
)  # fmt: skip


def widen(o: OnnxNode) -> Quantisation | None:
    """Give ``o`` inputs that it can read; returns what its outputs stand for, if it moves bytes."""
    if o.kind in _READS:
        return None
    if o.kind in _MOVES and o.has(0) and o.name(0) in o.builder.moved_by_128:
        return o.builder.moved_by_128[o.name(0)]
    o.inputs = [name and restored(o.builder, name) for name in o.inputs]
    return None


def follow(o: OnnxNode, found: Quantisation | None) -> None:
    """The outputs of a node that moved such numbers are such numbers."""
    if found is not None:
        o.builder.moved_by_128.update((o.results[name], found) for name in o.outputs if name)


def restored(builder: GraphBuilder, name: str) -> str:
    """The uint8 numbers that ``name`` stands for; itself if it stands for none."""
    found = builder.moved_by_128.get(name)
    if found is None:
        return name
    tensor = builder.tensors[name]
    builder.tensors[name] = replace(tensor, quantisation=found)
    wide = replace(found, zero_point=tuple(zero + 128 for zero in found.zero_point))
    return builder.emit("quantize", [name], f"{name}/uint8", name, dtype="uint8",
                        quantisation=wide)  # fmt: skip


def output(builder: GraphBuilder, name: str, said: onnx.ValueInfoProto) -> str:
    """An output of the model in the type that the file says. Raises TYPE_UNSUPPORTED."""
    made = restored(builder, name)
    dtype = builder.tensors[made].dtype
    wanted = said.type.tensor_type.elem_type
    bytes_ = {onnx.TensorProto.INT8: "int8", onnx.TensorProto.UINT8: "uint8"}
    if dtype == "float32" and wanted in bytes_:
        raise TYPE_UNSUPPORTED(
            f"output {said.name!r} is {bytes_[wanted]} of a scale that is computed",
            where=f"output {said.name!r}",
            hint="end the model with float32, or quantise it with scales that are known",
        )
    return made
