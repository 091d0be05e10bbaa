# SPDX-License-Identifier: Apache-2.0
"""The model card: what a bundle is, in JSON with sorted keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import prod
from typing import Any

from edgebuild.kernels import reach, work
from edgebuild.kernels.calls import Call, Lowered
from edgebuild.kernels.driver import Source
from edgebuild.kernels.emission import CallCode
from edgebuild.kernels.specs import Spec
from edgebuild.model.graph import Graph, Tensor
from edgebuild.model.profile import Cpu


def encode(card: dict[str, Any]) -> bytes:
    return (json.dumps(card, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def compact(card: dict[str, Any]) -> bytes:
    """The form inside the object: without what only a desk wants to know."""
    kept = {k: v for k, v in card.items() if k not in ("operators", "memory_plan")}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def card(source: Source, weights_bytes: int, code_bytes: int) -> dict[str, Any]:
    """The whole card. ``weights_bytes``: constants as packed; ``code_bytes``: machine code."""
    lowered, graph = source.lowered, source.lowered.graph
    return {
        **identity(graph),
        "arena_bytes": source.plan.arena_bytes,
        "weights_bytes": weights_bytes,
        "code_bytes": code_bytes,
        "operators": operators(
            lowered, source.codes, reach.reach(lowered, source.codes, source.plan)
        ),
        "memory_plan": source.plan.table(),
        "cpu": processor(source.cpu),
        "macs": sum(call.spec.macs for call in lowered.calls),
        "name": source.name,
    }


def identity(graph: Graph) -> dict[str, Any]:
    """What does not depend on the processor."""
    return {
        "name": graph.name,
        "digest": graph.digest,
        "format": graph.format,
        "task": task(graph),
        "labels": list(graph.labels) if graph.labels else None,
        "description": graph.description,
        "licence": None,
        "inputs": [signature(graph.tensors[name]) for name in graph.inputs],
        "outputs": [signature(graph.tensors[name]) for name in graph.outputs],
        "parameters": parameters(graph),
        "notes": list(graph.notes),
    }


def processor(cpu: Cpu) -> dict[str, Any]:
    found = asdict(cpu)
    return {key: found[key] for key in ("arch", "model", "features")}


def task(graph: Graph) -> str:
    """``classify`` when the one output is a row of probabilities."""
    producers = {output: operator for operator in graph.operators for output in operator.outputs}
    if len(graph.outputs) != 1:
        return "infer"
    shape = graph.tensors[graph.outputs[0]].shape
    operator = producers.get(graph.outputs[0])
    while operator is not None and operator.kind in ("reshape", "dequantize", "quantize"):
        operator = producers.get(operator.inputs[0])
    probabilities = operator is not None and operator.kind == "softmax"
    row = len(shape) >= 1 and prod(shape) == shape[-1] and shape[-1] > 1
    return "classify" if (graph.labels or probabilities) and row else "infer"


def signature(tensor: Tensor) -> dict[str, Any]:
    """One input or output, as a tool's schema is made from it."""
    quantisation = None
    if tensor.quantisation is not None:
        quantisation = {
            "scale": list(tensor.quantisation.scale),
            "zero_point": list(tensor.quantisation.zero_point),
            "axis": tensor.quantisation.axis,
        }
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "bytes": tensor.size_bytes,
        "quantisation": quantisation,
        "content": "image" if _is_image(tensor) else "tensor",
    }


def _is_image(tensor: Tensor) -> bool:
    """One NHWC picture with three colours; smaller or other shapes are just numbers."""
    shape = tensor.shape
    return len(shape) == 4 and shape[0] == 1 and shape[3] == 3 and min(shape[1:3]) >= 16


def parameters(graph: Graph) -> int:
    """Elements of the constants that operators use as numbers."""
    used = {name for operator in graph.operators for name in operator.inputs}
    return sum(
        prod(tensor.shape)
        for tensor in graph.tensors.values()
        if tensor.data is not None and tensor.name in used
    )


def operators(
    lowered: Lowered,
    codes: Sequence[CallCode] | None = None,
    far: Sequence[Mapping[str, int]] | None = None,
) -> list[dict[str, Any]]:
    """One row per kernel call; more is known of them once there is code, in its memory."""
    none = [None] * len(lowered.calls)
    calls = zip(lowered.calls, codes or none, far or none, strict=True)
    kinds = {operator.name: operator.kind for operator in lowered.graph.operators}
    return [_operator(lowered, kinds, *each) for each in calls]


def _operator(
    lowered: Lowered, kinds: Mapping[str, str], call: Call, code: CallCode | None,
    far: Mapping[str, int] | None,
) -> dict[str, Any]:  # fmt: skip
    natural = sum(array.nbytes for array in call.constants)
    weights = natural if code is None else code.constants_bytes
    tiles = None if code is None else code.tiles
    output = lowered.values[call.output]
    return {
        "name": call.sources[0] if call.sources else call.output,
        **work.row(lowered, call, weights, tiles, far, digits=0 if code is None else code.digits),
        "fused": "+".join(dict.fromkeys(kinds.get(s, call.spec.kind) for s in call.sources)),
        "weights_bytes": weights,
        "output_shape": list(output.shape),
        "dtype": output.dtype,
        "stored": stored(call.spec),
    }


def stored(spec: Spec) -> str:
    """The type of the weights in the bundle, if there are any."""
    return next((a.dtype for a in spec.arguments() if a.name == "weights"), "")
