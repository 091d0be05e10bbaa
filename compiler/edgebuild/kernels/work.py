# SPDX-License-Identifier: Apache-2.0
"""How much a kernel has to do, in the numbers that the roofline asks for."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

from edgebuild.kernels import specs
from edgebuild.kernels.calls import Call, Lowered
from edgebuild.kernels.program import Program, Shape
from edgebuild.kernels.specs import Spec
from edgebuild.model.graph import DTYPES

NOTHING = Program(operands=(), steps=())


def row(lowered: Lowered, call: Call, constants_bytes: int) -> dict[str, Any]:
    """What the roofline takes: kind, multiply-adds, bytes, and the facts below."""
    return {
        "kind": call.spec.kind,
        "macs": call.spec.macs,
        "bytes_moved": bytes_moved(lowered, call, constants_bytes),
        "weights_read_bytes": constants_read(call, constants_bytes),
        "work": facts(call.spec) | winograd(call.spec, constants_bytes),
    }


def winograd(spec: Spec, constants_bytes: int) -> dict[str, Any]:
    """What is different where a 3×3 window became fewer products over tiles of m × m outputs.

    The packed weights tell: they have (m + 2)² numbers for each pair of channels instead of 9.
    """
    if not isinstance(spec, specs.Conv2d) or spec.dtype != "float32":
        return {}
    if spec.window.kernel != (3, 3) or spec.window.stride != (1, 1) or spec.groups != 1:
        return {}
    channels, pairs = spec.input[3], spec.input[3] * spec.output[3]
    each = constants_bytes // DTYPES[spec.dtype].itemsize // max(1, pairs)
    m = next((m for m in (4, 2) if each >= (m + 2) ** 2), 0)
    if m == 0:
        return {}
    share = (m + 2) ** 2 / m**2
    return {
        "family": "winograd",
        "products": channels * share,
        "stretch": channels,
        "reads": prod(spec.input) * share,
    }


def facts(spec: Spec) -> dict[str, Any]:
    """The domain, what is read, and the scalar functions of ``spec``.

    ``rows`` × ``columns`` results, vectors run along the columns; ``products`` are summed for
    each, in stretches of ``stretch`` neighbours; ``reads`` elements are loaded otherwise;
    ``runs`` times a walk begins anew. ``functions`` counts the steps that follow each result.
    """
    rows, columns, reads, runs = _domain(spec)
    products, stretch = _products(spec)
    steps = _program(spec).steps
    return {
        "rows": rows,
        "columns": columns,
        "products": products,
        "stretch": stretch,
        "reads": reads,
        "runs": runs,
        "functions": dict(sorted(Counter(step.function for step in steps).items())),
        "arithmetic": "int8" if _dtype(spec) in ("int8", "uint8") else "float32",
    }


def _program(spec: Spec) -> Program:
    if isinstance(spec, specs.Elementwise):
        return spec.program
    return getattr(spec, "epilogue", NOTHING)


def _dtype(spec: Spec) -> str:
    """What the kernel's arithmetic is done on."""
    if isinstance(spec, specs.LayerNorm):
        return "float32"
    if isinstance(spec, specs.Elementwise):
        kinds = [operand.dtype for operand in spec.program.operands]
        return "int8" if kinds and all(kind in ("int8", "uint8") for kind in kinds) else "float32"
    return spec.dtype


def _products(spec: Spec) -> tuple[int, int]:
    match spec:
        case specs.Conv2d():
            (high, wide), channels = spec.window.kernel, spec.input[3] // spec.groups
            together = spec.groups == 1 and (spec.window.dilation[1] == 1 or wide == 1)
            return high * wide * channels, wide * channels if together else channels
        case specs.Depthwise2d():
            return prod(spec.window.kernel), 1
        case specs.Dense() | specs.Matmul():
            return spec.k, spec.k
    return 0, 1


def _domain(spec: Spec) -> tuple[int, int, int, int]:
    """Rows, columns, elements read, walks."""
    match spec:
        case specs.Conv2d():
            walks = spec.output[0] * spec.output[1]
            columns = spec.output[3] // max(1, spec.groups)
            return prod(spec.output[:3]) * spec.groups, columns, prod(spec.input), walks
        case specs.Depthwise2d():
            walks = spec.output[0] * spec.output[1]
            return prod(spec.output[:3]), spec.output[3], prod(spec.input), walks
        case specs.Dense():
            return spec.m, spec.n, spec.m * spec.k, 1
        case specs.Matmul():
            batch = prod(spec.batch)
            return batch * spec.m, spec.n, batch * (spec.m + spec.n) * spec.k, batch
        case specs.Pool2d():
            taken = prod(spec.output) * prod(spec.window.kernel)
            walks = spec.output[0] * spec.output[1]
            return prod(spec.output[:3]), spec.output[3], taken, walks
        case specs.Reduce():
            return _reduced(spec)
        case specs.Softmax() | specs.LayerNorm():
            return spec.rows, spec.columns, spec.rows * spec.columns, spec.rows
        case specs.Elementwise():
            return _flat(spec.shape)
        case specs.Copy():
            steps = (spec.input_strides[-1:], spec.output_strides[-1:])
            return _flat(spec.shape if steps == ((1,), (1,)) else (*spec.shape, 1))
        case specs.Pad():
            return _flat(spec.output)
        case specs.Gather():
            return _flat((spec.outer * spec.count, spec.inner))


def _reduced(spec: specs.Reduce) -> tuple[int, int, int, int]:
    """Vectors run along the last axis that stays, or gather one number from the last one."""
    stays = len(spec.input) - 1 not in spec.axes
    columns = spec.input[-1] if stays and spec.input else 1
    walks = prod(spec.output) // max(1, columns)
    return walks, columns, prod(spec.input), walks


def _flat(shape: Shape) -> tuple[int, int, int, int]:
    columns = shape[-1] if shape else 1
    return prod(shape[:-1]), columns, prod(shape), prod(shape[:-1])


def constants_read(call: Call, constants_bytes: int) -> int:
    """Bytes of its constants that a call reads: all of them, but of a table the rows looked up."""
    spec = call.spec
    if isinstance(spec, specs.Gather) and spec.constant:
        return min(constants_bytes, _size_bytes(spec))
    return constants_bytes


def bytes_moved(lowered: Lowered, call: Call, constants_bytes: int) -> int:
    """Bytes that one call reads and writes at least."""
    names = dict.fromkeys((*call.inputs, call.output))
    sizes = {name: lowered.values[name].size_bytes for name in names}
    if isinstance(call.spec, specs.Gather) and not call.spec.constant:
        sizes[call.inputs[0]] = min(sizes[call.inputs[0]], sizes[call.output])
    return sum(sizes.values()) + constants_read(call, constants_bytes)


def _size_bytes(spec: specs.Gather) -> int:
    return spec.outer * spec.count * spec.inner * DTYPES[spec.dtype].itemsize
