# SPDX-License-Identifier: Apache-2.0
"""Schedules: from a kernel's spec and a processor to functions that LLVM compiles as they are.

One file per operator family; each is a function of shapes and of ``isa.Isa``. The same input
always gives the same code, and no search is involved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tvm

from edgebuild.kernels import specs
from edgebuild.kernels.tir import (
    conv2d,
    depthwise,
    depthwise_planes,
    elementwise,
    isa,
    matmul,
    movement,
    normalise,
    pooling,
    position_pairs,
    products,
    reduction,
    softmax_bytes,
    table_pass,
    words,
)  # fmt: skip
from edgebuild.kernels.tir.frame import Build, Kernel, Phase
from edgebuild.model.profile import Cpu

#: Memory that nobody counts.
UNBOUNDED = 1 << 62


def _softmax(spec: specs.Softmax, build: Build) -> None:
    (softmax_bytes if spec.dtype == "int8" else normalise).softmax(spec, build)


_FAMILIES: dict[type[Any], Callable[[Any, Build], None]] = {
    specs.Conv2d: conv2d.conv2d,
    specs.Dense: conv2d.dense,
    specs.Depthwise2d: depthwise.depthwise,
    specs.Pool2d: pooling.pool,
    specs.Reduce: reduction.reduce,
    specs.Softmax: _softmax,
    specs.LayerNorm: normalise.layer_norm,
    specs.Elementwise: elementwise.build,
    specs.Matmul: matmul.matmul,
    specs.Copy: movement.copy,
    specs.Pad: movement.pad,
    specs.Gather: movement.gather,
}


def kernel(
    spec: specs.Spec, cpu: Cpu, name: str, *, over: str | None = None, free_bytes: int = UNBOUNDED
) -> Kernel:
    """The functions of a spec on a processor; ``name`` is the C symbol of the first.

    ``over`` and ``free_bytes`` as in ``Build``.
    """
    build = Build(spec, isa.of(cpu), name, over, free_bytes)
    after = table_pass.last(spec, build.isa)
    inner = spec if after is None else after.inner
    if inner is not None:
        _FAMILIES[type(spec)](inner, build)
    if after is not None:
        table_pass.build(spec, build, after)
    return build.kernel()


def vector_bytes(cpu: Cpu) -> int:
    """The length of a vector register that code for ``cpu`` takes for granted; 0 for none."""
    core = isa.of(cpu)
    return core.vector_bits // 8 if core.scalable else 0


def rewrites(spec: specs.Spec, cpu: Cpu) -> bool:
    """Whether the kernel may copy what it reads of its input before it writes in its place.

    Where it copies anyway; and where memory is tight, wherever it can.
    """
    core = isa.of(cpu)
    if isinstance(spec, specs.Depthwise2d):
        able = core.tight or depthwise_planes.rewrites(spec, core)
        return able and depthwise.follows(spec)
    if not isinstance(spec, specs.Conv2d | specs.Dense):
        return False
    if isinstance(spec, specs.Dense) and words.suits(core, spec.dtype, spec.m, spec.k):
        return True
    if isinstance(spec, specs.Conv2d) and position_pairs.suits(spec, core):
        return True
    return core.tight or products.form(core, spec.dtype, symmetric=spec.symmetric).prepared


def compile(functions: Sequence[Any], cpu: Cpu) -> bytes:
    """An object file with the functions' symbols, for the processor."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    module = module_of(functions, cpu)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.o"
        module.write_to_file(str(path), "o")
        return path.read_bytes()


def module_of(functions: Sequence[Any], cpu: Cpu) -> Any:
    """TVM's module of compiled functions."""
    named = {str(f.attrs["global_symbol"]): f for f in functions}
    return tvm.get_global_func("target.build.llvm")(tvm.IRModule(named), isa.target(cpu))


__all__ = ["Kernel", "Phase", "compile", "kernel", "module_of", "rewrites", "vector_bytes"]
