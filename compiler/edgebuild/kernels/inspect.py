# SPDX-License-Identifier: Apache-2.0
"""What is in a model: operators, tensors, parameters, multiply-adds, quantisation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

from edgebuild.kernels import card, planner
from edgebuild.kernels.calls import Call, Lowered
from edgebuild.kernels.fold import prune
from edgebuild.kernels.lowering import lower
from edgebuild.kernels.optimise import optimise
from edgebuild.model.graph import DTYPES, Graph, Operator, Tensor
from edgebuild.model.profile import Cpu


def facts(graph: Graph, cpu: Cpu | None = None) -> dict[str, Any]:
    """What planning needs, predicted without compiling: scratch memory is not in the arena."""
    return _facts(graph, optimise(graph), cpu)


def _facts(graph: Graph, lowered: Lowered, cpu: Cpu | None) -> dict[str, Any]:
    rows = card.operators(lowered)
    return {
        **card.identity(graph),
        "weights_bytes": sum(row["weights_bytes"] for row in rows),
        "arena_bytes": planner.plan(lowered).arena_bytes,
        "macs": sum(row["macs"] for row in rows),
        "operators": rows,
        "cpu": None if cpu is None else card.processor(cpu),
    }


def describe(graph: Graph) -> dict[str, Any]:
    """The model as its file has it, JSON-able."""
    calls = lower(prune(graph)).calls
    macs, kept = _macs(calls), {call.sources[0]: card.stored(call.spec) for call in calls}
    return {
        **card.identity(graph),
        "macs": sum(macs.values()),
        "weights_bytes": _weights_bytes(graph, kept),
        "kinds": dict(sorted(Counter(o.kind for o in graph.operators).items())),
        "quantised": any(t.quantisation is not None for t in graph.tensors.values()),
        "operators": [
            _operator(graph, o, macs.get(o.name, 0), kept.get(o.name, "")) for o in graph.operators
        ],
        "tensors": [_tensor(t) for t in graph.tensors.values()],
    }


def optimised(graph: Graph) -> dict[str, Any]:
    """The operators before, and the kernel calls after, the graph passes."""
    before, after = lower(prune(graph)), optimise(graph)
    return {
        "name": graph.name,
        "before": _facts(graph, before, None)["operators"],
        "after": _facts(graph, after, None)["operators"],
        "arena_bytes_before": planner.plan(before).arena_bytes,
        "arena_bytes_after": planner.plan(after).arena_bytes,
    }


def table(graph: Graph) -> str:
    """``describe`` for people."""
    found = describe(graph)
    lines = [
        f"{found['name']} ({found['format']}, {found['digest'][:19]}…): "
        f"{len(found['operators'])} operators, {found['parameters']:,} parameters, "
        f"{found['macs']:,} multiply-adds, {found['weights_bytes']:,} bytes of weights",
        *(f"  {role} {_signature(entry)}" for role in ("input", "output")
          for entry in found[f"{role}s"]),
        *(f"  note: {note}" for note in found["notes"]),
        "",
        *_columns(
            ("operator", "kind", "type", "weights", "output", "multiply-adds", "parameters"),
            [(o["source"], o["kind"], o["dtype"], o["stored"], _shape(o["output_shape"]),
              f"{o['macs']:,}", f"{o['parameters']:,}") for o in found["operators"]],
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def optimised_table(graph: Graph) -> str:
    """``optimised`` for people: each kernel call with the operators it computes."""
    found = optimised(graph)
    lines = [
        f"{found['name']}: {len(found['before'])} operators become {len(found['after'])} kernel "
        f"calls, the arena {found['arena_bytes_before']:,} becomes "
        f"{found['arena_bytes_after']:,} bytes",
        "",
        *_columns(
            ("kernel", "computes", "type", "weights", "output", "multiply-adds", "bytes moved"),
            [(o["kind"], o["fused"], o["dtype"], o["stored"], _shape(o["output_shape"]),
              f"{o['macs']:,}", f"{o['bytes_moved']:,}") for o in found["after"]],
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _macs(calls: Iterable[Call]) -> dict[str, int]:
    """Multiply-adds by operator name."""
    counts: Counter[str] = Counter()
    for call in calls:
        counts[call.sources[0]] += call.spec.macs
    return counts


def _weights_bytes(graph: Graph, stored: Mapping[str, str]) -> int:
    """Of the constants that operators use; those found to be smaller numbers as such."""
    kinds = {
        name: graph.tensors[name].dtype for operator in graph.operators for name in operator.inputs
        if graph.tensors[name].data is not None
    }  # fmt: skip
    for operator in graph.operators:
        if stored.get(operator.name):
            kinds[operator.inputs[1]] = stored[operator.name]
    return sum(
        prod(graph.tensors[name].shape) * DTYPES[kind].itemsize for name, kind in kinds.items()
    )


def _operator(graph: Graph, operator: Operator, macs: int, stored: str) -> dict[str, Any]:
    """``stored``: the type of its weights in a bundle."""
    output = graph.tensors[operator.outputs[0]]
    constants = [graph.tensors[n] for n in operator.inputs if graph.tensors[n].data is not None]
    return {
        "name": operator.name,
        "kind": operator.kind,
        "source": operator.source,
        "inputs": list(operator.inputs),
        "outputs": list(operator.outputs),
        "attributes": {key: _plain(value) for key, value in operator.attributes.items()},
        "macs": macs,
        "parameters": sum(t.data.size for t in constants if t.data is not None),
        "output_shape": list(output.shape),
        "dtype": output.dtype,
        "stored": stored,
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _tensor(tensor: Tensor) -> dict[str, Any]:
    row = {**card.signature(tensor), "constant": tensor.data is not None}
    del row["content"]
    return row


def _shape(shape: Sequence[int]) -> str:
    return "×".join(str(n) for n in shape) or "scalar"


def _signature(entry: Mapping[str, Any]) -> str:
    quantised = entry["quantisation"]
    text = f"{entry['name']}: {entry['dtype']} {_shape(entry['shape'])}"
    if quantised:
        text += f", scale {quantised['scale'][0]:g}, zero point {quantised['zero_point'][0]}"
    return text


def _columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Aligned text; numbers to the right."""
    every = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if column >= 5 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    ]
