# SPDX-License-Identifier: Apache-2.0
"""Run a compiled bundle on seeded random inputs and compare it with an independent answer.

Integers must equal the NumPy interpreter, which is LiteRT's reference arithmetic, in every bit.
Floats are compared with TVM's own importer, unscheduled, within 1e-4 of the output's range.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebuild.errors import EdgebuildError
from edgebuild.errors.kernels import CHECK_FAILED
from edgebuild.host import compiler, paths, process
from edgebuild.kernels import checkprogram, cputarget, importer, interpreter, metal
from edgebuild.kernels.bundle import child
from edgebuild.kernels.optimise import rewrite
from edgebuild.model.graph import DTYPES, Graph, Tensor
from edgebuild.model.profile import Cpu

Array = NDArray[Any]
TOLERANCE = 1e-4


def check(
    model: Path, bundle_dir: Path, cpu: Cpu, *, seed: int, emulator: Sequence[str] = ()
) -> dict[str, Any]:
    """Compare one run of the bundle in ``bundle_dir`` with the reference.

    ``emulator`` is put before the program: a user-mode QEMU for a foreign processor. Returns a
    report; ``passed`` says whether every output is close enough. Raises CHECK_FAILED when the
    program itself fails.
    """
    card = json.loads(_card(model, sorted(bundle_dir.glob("*.json"))).read_bytes())
    graph = importer.load(model, card["name"])
    inputs = random_inputs(graph, seed)
    with tempfile.TemporaryDirectory(prefix="edgebuild-") as folder:
        program = build(bundle_dir, card, cpu, Path(folder))
        found = run(program, card, inputs, emulator)
        kind, expected = _reference(model, graph, inputs, Path(folder))
    rows = [
        _compare(graph.tensors[name], mine, reference)
        for name, mine, reference in zip(graph.outputs, found, expected, strict=True)
    ]
    return {
        "model": card["name"],
        "seed": seed,
        "reference": kind,
        "outputs": rows,
        "passed": all(row["passed"] for row in rows),
    }


def _card(model: Path, cards: Sequence[Path]) -> Path:
    """The card of this very model: the digest joins them."""
    digest = importer.digest(model)
    for path in cards:
        if json.loads(path.read_bytes()).get("digest") == digest:
            return path
    raise CHECK_FAILED(f"no bundle of {model.name} is here", where=str(model))


def random_inputs(graph: Graph, seed: int) -> list[Array]:
    """Normal numbers for floats, all values for bytes, small ones for indices."""
    generator = np.random.default_rng(seed)
    return [_random(graph, graph.tensors[name], generator) for name in graph.inputs]


def _random(graph: Graph, tensor: Tensor, generator: np.random.Generator) -> Array:
    dtype = DTYPES[tensor.dtype]
    if dtype.kind == "f":
        return generator.standard_normal(tensor.shape).astype(dtype)
    if dtype.itemsize == 1 and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max + 1, tensor.shape).astype(dtype)
    high = _rows_indexed(graph, tensor.name) if dtype.kind in "iu" else 2
    return generator.integers(0, high, tensor.shape).astype(dtype)


def _rows_indexed(graph: Graph, name: str) -> int:
    """How many rows the table has that an input's numbers select from; 2 for other inputs."""
    names = {name}
    for operator in graph.operators:
        if operator.inputs[0] in names and operator.kind in ("reshape", "cast"):
            names.update(operator.outputs)
    sizes = [
        graph.tensors[o.inputs[0]].shape[o.attributes["axis"]]
        for o in graph.operators
        if o.kind == "gather" and o.inputs[1] in names
    ]
    return min(sizes, default=2)


def build(bundle_dir: Path, card: dict[str, Any], cpu: Cpu, folder: Path) -> Path:
    """Compile and link the check program, statically."""
    name, triple = card["name"], cputarget.triple(cpu)
    (folder / "check.c").write_text(checkprogram.source(name, card))
    process.run(
        [
            *compiler.zig(), "cc", "-target", triple.zig, f"-mcpu={triple.zig_cpu}", "-O1",
            "-ffreestanding", "-fno-builtin", "-fno-sanitize=undefined", "-fno-stack-protector",
            f"-I{bundle_dir.absolute()}", f"-I{paths.data_dir() / metal.SOURCES}",
            "-c", "check.c", "-o", "check.o",
        ],
        what=f"compile the check of {name}",
        cwd=folder,
    )  # fmt: skip
    bundle_object = (bundle_dir / f"{name}.o").absolute()
    process.run(
        [*compiler.zig(), *_linker(cpu.arch, triple), "check.o", bundle_object, "-o", "check"],
        what=f"link the check of {name}",
        cwd=folder,
    )
    return folder / "check"


def _linker(arch: str, triple: cputarget.Triple) -> list[str | Path]:
    """How the check program is linked. A bare board needs a start, and the compiler's runtime."""
    if arch == "wasm32":
        return [triple.linker, "--no-entry"]
    if arch in cputarget.MICRO:
        command = ["cc", "-target", triple.zig, f"-mcpu={triple.zig_cpu}"]
        return [*command, *metal.MACHINES[arch].linked()]
    return [triple.linker, "-static", "--gc-sections"]


def run(
    program: Path, card: dict[str, Any], inputs: Sequence[Array], emulator: Sequence[str]
) -> list[Array]:
    """The outputs of one run of the check program."""
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in inputs)
    name = card["name"]
    try:
        done = process.run(
            [*emulator, program], what=f"run the check of {name}", stdin=data, timeout_s=600
        )
    except EdgebuildError as error:
        raise CHECK_FAILED(f"the check of {name} ended early: {error.message}") from error
    status = done.stdout[0] if done.stdout else 10
    if status:
        raise CHECK_FAILED(f"the check of {name} failed: {checkprogram.FAILURES[status]}")
    return _split(done.stdout[1:], card)


def _split(data: bytes, card: dict[str, Any]) -> list[Array]:
    arrays, at = [], 0
    for entry in card["outputs"]:
        part = data[at : at + entry["bytes"]]
        arrays.append(np.frombuffer(part, DTYPES[entry["dtype"]]).reshape(entry["shape"]))
        at += entry["bytes"]
    return arrays


def is_integer(graph: Graph) -> bool:
    """Whether the model computes in 8 bits anywhere."""
    return any(tensor.dtype == "int8" and tensor.data is None for tensor in graph.tensors.values())


def _reference(
    model: Path, graph: Graph, inputs: Sequence[Array], folder: Path
) -> tuple[str, list[Array]]:
    """What the outputs have to be, and where that is from."""
    rewritten = rewrite(graph)
    if is_integer(rewritten):
        return "exact", interpreter.outputs(rewritten, inputs)
    found = oracle(model, inputs, folder)
    if found is None:
        return "interpreter", interpreter.outputs(graph, inputs)
    return "tvm", found


def oracle(model: Path, inputs: Sequence[Array], folder: Path) -> list[Array] | None:
    """TVM's own answer, from a process of its own; None when its importer refuses the model."""
    packed = io.BytesIO()
    np.savez(packed, **{f"{n:04}": array for n, array in enumerate(inputs)})  # type: ignore[arg-type]
    command, environment = child("edgebuild.kernels.tvm_oracle")
    try:
        process.run(
            [*command, model.absolute(), folder],
            what=f"run {model.name} through TVM",
            env=environment,
            stdin=packed.getvalue(),
        )
    except EdgebuildError:
        return None  # a crash of TVM's importer is no fault of the bundle
    if not (folder / "outputs.npz").exists():
        return None
    with np.load(folder / "outputs.npz") as archive:
        return [archive[name] for name in sorted(archive.files)]


def _compare(tensor: Tensor, found: Array, expected: Array) -> dict[str, Any]:
    """One row of the report: the largest difference, and how large it may be."""
    wide = found.astype(np.float64), expected.reshape(found.shape).astype(np.float64)
    same = (wide[0] == wide[1]) | (np.isnan(wide[0]) & np.isnan(wide[1]))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(wide[0] - wide[1]))
    finite = wide[1][np.isfinite(wide[1])]
    exact = tensor.dtype != "float32"
    allowed = 0.0 if exact else TOLERANCE * max(1e-6, float(np.abs(finite).max(initial=0.0)))
    largest = float(np.max(difference, initial=0.0))
    return {
        "name": tensor.name,
        "largest_difference": largest,
        "allowed_difference": allowed,
        "differing": int(np.count_nonzero(~same)),
        "elements": int(found.size),
        "passed": bool(largest <= allowed),
    }
