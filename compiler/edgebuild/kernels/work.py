# SPDX-License-Identifier: Apache-2.0
"""How much a kernel has to do, in the numbers that the roofline asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import gcd, prod
from typing import Any

from edgebuild.kernels import specs
from edgebuild.kernels.calls import Call, Lowered
from edgebuild.kernels.emission import SETS_BYTES, Strips, Tiles
from edgebuild.kernels.program import Program, Shape
from edgebuild.kernels.specs import Spec
from edgebuild.model.graph import DTYPES

NOTHING = Program(operands=(), steps=())


def row(
    lowered: Lowered,
    call: Call,
    constants_bytes: int,
    tiles: Tiles | Strips | None = None,
    reach: Mapping[str, int] | None = None,
    *,
    digits: int = 0,
) -> dict[str, Any]:
    """What the roofline takes: kind, multiply-adds, bytes, and the facts below.

    ``reach``: of each value, the bytes that were used since it was (reach.py); of those that are
    known, ``activations`` has pairs of bytes moved and these. ``digits`` as in CallCode.
    """
    each = moved(lowered, call)
    weights = constants_read(call, constants_bytes)
    far = {} if reach is None else {"activations": [[each[n], reach[n]] for n in reach]}
    return {
        "kind": call.spec.kind,
        "macs": call.spec.macs,
        "bytes_moved": sum(each.values()) + weights,
        "weights_read_bytes": weights,
        **far,
        "work": facts(call.spec)
        | told(call.spec, tiles)
        | (by_digits(call.spec, digits) if digits else {}),
    }


def told(spec: Spec, tiles: Tiles | Strips | None) -> dict[str, Any]:
    """What only the kernel knows."""
    match tiles:
        case Tiles():
            return winograd(spec, tiles)
        case Strips() if isinstance(spec, specs.Depthwise2d) and spec.dtype == "float32":
            return strips(spec, tiles)
    return {}


def strips(spec: specs.Depthwise2d, cut: Strips) -> dict[str, Any]:
    """Vectors that are loaded for each vector of results, and what is loaded from farther away.

    A column of the window is loaded once for all outputs of a tile above which it lies, a weight
    once for a tile. Rows that several rows of windows need are read again for each; what is used
    in between are the rows of a window. Where the channels are cut into parts, lines that are a
    multiple of SETS_BYTES apart take the same places in the first cache.
    """
    (high, wide), (down, right) = spec.window.kernel, spec.window.stride
    loads = high * ((cut.columns - 1) * right + wide) + high * wide + 1
    item = DTYPES[spec.dtype].itemsize
    place = spec.input[3] * item
    if cut.parts > 1:
        place = min(place, max(place // cut.parts, gcd(place, SETS_BYTES)))
    rows = high * spec.input[2] + (spec.output[2] if cut.parts == 1 else 0)
    return {
        "tail": "twice",
        "loads": loads / cut.columns,
        "again": [[max(0, high - down) * prod(spec.input) * item / down, rows * place]],
    }


def by_digits(spec: Spec, digits: int) -> dict[str, Any]:
    """What is different where float rows are so many rows of bytes, which are made first."""
    work = facts(spec)
    return {
        "family": spec.kind,
        "arithmetic": "int8",
        "products": digits * work["products"],
        "reads": DTYPES["float32"].itemsize * work["reads"],
    }


def winograd(spec: Spec, tiles: Tiles) -> dict[str, Any]:
    """What is different where a 3×3 window became fewer products, over transformed tiles.

    Of each result there are fewer products; ``reads`` and ``runs`` are the operations of the
    transforms. Rows and columns stay those of the results.
    """
    arguments = spec.arguments()
    channels, outputs = arguments[0].shape[3], arguments[-1].shape
    places = (tiles.side + 2) ** 2
    return {
        "family": "winograd",
        "products": channels * places * tiles.count / prod(outputs[:3]),
        "stretch": channels,
        "reads": tiles.count * tiles.into * channels,
        "runs": tiles.count * tiles.out,
        "passes": tiles.passes,
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
        **_apart(spec),
        "arithmetic": "int8" if _dtype(spec) in ("int8", "uint8") else "float32",
    }


def _apart(spec: Spec) -> dict[str, str]:
    """The family, where kernels of one kind work in two ways; how what remains of a row is done."""
    if isinstance(spec, specs.Reduce) and len(spec.input) - 1 in spec.axes:
        return {"family": "fold"}  # across a vector
    pieces = (specs.Reduce, specs.Elementwise, specs.Softmax, specs.LayerNorm, specs.Pool2d)
    return {"tail": "pieces"} if isinstance(spec, pieces) else {}


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


def moved(lowered: Lowered, call: Call) -> dict[str, int]:
    """Bytes of each value that a call reads or writes, at least."""
    spec = call.spec
    sizes = {
        name: lowered.values[name].size_bytes for name in dict.fromkeys((*call.inputs, call.output))
    }
    if isinstance(spec, specs.Gather) and not spec.constant:
        sizes[call.inputs[0]] = min(sizes[call.inputs[0]], sizes[call.output])
    if isinstance(spec, specs.Copy):  # a part of one becomes a part of the other
        part = prod(spec.shape) * DTYPES[spec.dtype].itemsize
        sizes = {name: min(size, part) for name, size in sizes.items()}
    if isinstance(spec, specs.Matmul):  # likewise
        item, batch = DTYPES[spec.dtype].itemsize, prod(spec.batch)
        parts = (spec.m * spec.k, spec.k * spec.n)
        for name, part in zip(call.inputs, parts, strict=False):
            sizes[name] = min(sizes[name], batch * part * item)
        sizes[call.output] = min(sizes[call.output], batch * spec.m * spec.n * 4)
    return sizes


def _size_bytes(spec: specs.Gather) -> int:
    return spec.outer * spec.count * spec.inner * DTYPES[spec.dtype].itemsize
