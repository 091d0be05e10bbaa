# SPDX-License-Identifier: Apache-2.0
"""The child process that compiles a model's kernels; with ``kernels.tir``, all that imports TVM.

    python -m edgebuild.kernels.tvm_worker {compile|plan} MODEL OUT NAME < cpu.json

Writes into OUT: NAME.kernels.o, NAME.driver.c, NAME.h, NAME.constants and NAME.card.json (``plan``:
the card alone, without calling LLVM); or error.json, when the model is at fault. A crash here is
one failed step of the parent's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgebuild.errors import EdgebuildError
from edgebuild.kernels import card, driver, importer, planner, threads
from edgebuild.kernels import work as kernel_work
from edgebuild.kernels.calls import Call, Lowered
from edgebuild.kernels.emission import CallCode, ConstantPool, Phase, total_scratch
from edgebuild.kernels.optimise import optimise
from edgebuild.kernels.planner import Arrangement
from edgebuild.kernels.specs import Copy, Spec
from edgebuild.model.graph import DTYPES
from edgebuild.model.profile import Cache, Cpu


def encode_cpu(cpu: Cpu) -> bytes:
    """For the child's standard input."""
    return json.dumps(asdict(cpu), sort_keys=True).encode()


def decode_cpu(data: bytes) -> Cpu:
    fields = json.loads(data)
    fields["cache"] = Cache(**fields["cache"])
    fields["features"] = tuple(fields["features"])
    return Cpu(**fields)


def work(action: str, model: Path, out: Path, name: str, cpu: Cpu) -> None:
    """Compile ``model`` into ``out``, or only plan it."""
    from edgebuild.kernels import tir

    tir.isa.check(cpu)
    lowered = optimise(importer.load(model, name))
    pool = ConstantPool()
    arrangement = arrange(lowered, cpu)
    codes, functions = generate(lowered, cpu, name, pool, arrangement)
    inputs = _constant_inputs(lowered, pool)
    source = driver.Source(
        name=name,
        lowered=lowered,
        codes=tuple(codes),
        plan=planner.plan(lowered, total_scratch(codes), arrangement),
        pool_offsets=inputs,
        cpu=cpu,
        vector_bytes=tir.vector_bytes(cpu),
    )
    (out / f"{name}.card.json").write_bytes(card.encode(card.card(source, pool.size, 0)))
    if action == "compile":
        _write(source, functions, pool, out)


def _write(source: driver.Source, functions: list[Any], pool: ConstantPool, out: Path) -> None:
    from edgebuild.kernels import tir

    name = source.name
    (out / f"{name}.kernels.o").write_bytes(tir.compile(functions, source.cpu))
    (out / f"{name}.constants").write_bytes(pool.bytes())
    (out / f"{name}.driver.c").write_text(driver.driver(source))
    (out / f"{name}.h").write_text(driver.header(source))


def arrange(lowered: Lowered, cpu: Cpu) -> Arrangement:
    """Who shares memory, when the kernels are those of ``cpu``. Decision 0205."""
    from edgebuild.kernels import tir

    return planner.arrange(lowered, lambda spec: tir.rewrites(spec, cpu))


def generate(
    lowered: Lowered, cpu: Cpu, name: str, pool: ConstantPool, arrangement: Arrangement
) -> tuple[list[CallCode], list[Any]]:
    """Every call's code, and the functions to compile.

    Equal specs that write over the same argument share one kernel, and the least that is free.
    """
    from edgebuild.kernels import tir

    begun = [_begun(call.spec) for call in lowered.calls]
    keys = [(spec, over) for (spec, *_), over in zip(begun, arrangement.over, strict=True)]
    free: dict[tuple[Spec, str | None], int] = {}
    for key, size in zip(keys, arrangement.free_bytes, strict=True):
        free[key] = min(size, free.get(key, size))

    def write(wanted: Container[tuple[Spec, str | None]], core: Cpu) -> dict[Any, Any]:
        return {
            (spec, over): tir.kernel(spec, core, f"edge_{name}_k{n}", over=over, free_bytes=size)
            for n, ((spec, over), size) in enumerate(free.items())
            if (spec, over) in wanted
        }

    kernels = write(free, cpu)
    grains = split(lowered, [kernels[key] for key in keys], cpu)
    if cpu.cores > 1:
        # what one core does gets all of the scratch that several would have shared
        shared = {keys[number] for number, _ in grains}
        kernels |= write(free.keys() - shared, replace(cpu, cores=1))
    functions = [phase.func for kernel in kernels.values() for phase in kernel.phases]
    codes = [
        replace(_code(n, call, kernels[key], grains, pool), input_bytes=into, output_bytes=out)
        for n, (call, key, (_, into, out)) in enumerate(
            zip(lowered.calls, keys, begun, strict=True)
        )
    ]
    return codes, functions


def _begun(spec: Spec) -> tuple[Spec, int, int]:
    """A copy as seen from where it begins, and the bytes before that in input and output.

    Copies that differ in their place alone share a kernel: the parts of a split, the steps of a
    recurrent layer.
    """
    if (
        not isinstance(spec, Copy)
        or min((*spec.input_strides, *spec.output_strides), default=0) < 0
    ):
        return spec, 0, 0
    reach = [
        1 + sum((n - 1) * stride for n, stride in zip(spec.shape, strides, strict=True))
        for strides in (spec.input_strides, spec.output_strides)
    ]
    item = DTYPES[spec.dtype].itemsize
    same = replace(spec, input_offset=0, output_offset=0, input_size=reach[0], output_size=reach[1])
    return same, spec.input_offset * item, spec.output_offset * item


def split(lowered: Lowered, kernels: Sequence[Any], cpu: Cpu) -> dict[tuple[int, int], int]:
    """(call, phase) -> tasks done at a time, for phases worth more than one core."""
    calls = zip(lowered.calls, kernels, strict=True)
    rows = [
        kernel_work.row(lowered, call, k.constants_bytes, k.tiles, digits=k.digits)
        for call, k in calls
    ]
    return threads.grains(rows, [[p.tasks for p in k.phases] for k in kernels], cpu)


def _code(
    number: int, call: Call, kernel: Any, grains: Mapping[tuple[int, int], int], pool: ConstantPool
) -> CallCode:
    packed = kernel.pack(call.constants)
    return CallCode(
        phases=tuple(
            Phase(symbol=p.symbol, tasks=p.tasks, grain=grains.get((number, i), 0))
            for i, p in enumerate(kernel.phases)
        ),
        constants_offset=pool.add(packed),
        constants_bytes=len(packed),
        scratch_bytes=kernel.scratch_bytes,
        tiles=kernel.tiles,
        digits=kernel.digits,
    )


def _constant_inputs(lowered: Lowered, pool: ConstantPool) -> dict[str, int]:
    """Constants that a kernel reads as an input, or that are an output of the model."""
    read = dict.fromkeys(name for call in lowered.calls for name in call.inputs)
    offsets = {}
    for name in (*read, *lowered.graph.outputs):
        root = lowered.root(name)
        data = lowered.values[root].data
        if data is not None:
            offsets[root] = pool.add(data.tobytes())
    return offsets


def _bound_memory(model: Path) -> None:
    """A forged model ends this process, not the machine: 4 GiB and some copies of its weights."""
    try:
        import resource
    except ImportError:  # not on this operating system
        return
    limit = (4 << 30) + 8 * (model.stat().st_size if model.exists() else 0)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def main(arguments: Sequence[str]) -> int:
    action, model, out, name = arguments
    _bound_memory(Path(model))
    try:
        work(action, Path(model), Path(out), name, decode_cpu(sys.stdin.buffer.read()))
    except EdgebuildError as error:
        (Path(out) / "error.json").write_text(json.dumps(error.to_json()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
