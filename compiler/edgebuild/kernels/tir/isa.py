# SPDX-License-Identifier: Apache-2.0
"""What the schedules need to know of a processor, derived from the profile by rules.

Nothing here is measured or searched: the same ``Cpu`` gives the same values.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import tvm
from tvm.target import codegen

from edgebuild.errors.kernels import CPU_UNSUPPORTED
from edgebuild.kernels import cputarget
from edgebuild.model.profile import Cpu

#: How int8 products are summed; see ``products.py``.
Products: TypeAlias = Literal[
    "vnni", "pmaddwd", "dot16", "sdot", "smmla", "smlal", "widen", "pairs", "smlad", "vmladava"
]

_TRIPLES = {
    "x86_64": "x86_64-unknown-linux-musl",
    "aarch64": "aarch64-unknown-linux-musl",
    "riscv64": "riscv64-unknown-linux-musl",
    "wasm32": "wasm32-unknown-unknown",
}


NARROW = (*cputarget.MICRO, "wasm32")

#: Lengths of SVE registers, in bits, that kernels are written for; with 128 NEON does as much.
FIXED = (256, 512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Isa:
    """The processor as the schedules see it."""

    arch: str
    vector_bits: int  # 0: no vector unit
    float_bits: int  # the same for floats: 0 for vectors of integers only
    registers: int  # vector registers, or float ones without a vector unit
    fma: bool
    products: Products
    signed_dots: bool  # x86's dot products of two signed operands, beside those of one
    byte_permute: bool  # one instruction permutes all bytes of a register
    half: bool  # half floats become floats in one instruction
    doubles: bool  # 64-bit floating point with a fused multiply-add, beside 64-bit integers
    in_order: bool  # LLVM schedules for latency there, and needs more registers for it
    cores: int
    l1_bytes: int
    l2_bytes: int

    @property
    def narrow(self) -> bool:
        """Whether pointers have 32 bits."""
        return self.arch in NARROW

    @property
    def scalable(self) -> bool:
        """Whether vectors are SVE's, whose length the code then takes for granted."""
        return self.arch == "aarch64" and self.vector_bits in FIXED

    @property
    def lanes(self) -> int:
        """32-bit lanes of one vector register; 1 without a vector unit."""
        return max(1, self.vector_bits // 32)

    @property
    def byte_lanes(self) -> int:
        """32-bit lanes for work on bytes: an instruction of RVV takes a group of registers.

        Four of them, as for products: floats' longer programs would not fit eight groups.
        """
        return self.lanes * (4 if self.products == "widen" else 1)

    @property
    def float_lanes(self) -> int:
        """The same for floats."""
        return max(1, self.float_bits // 32)

    @property
    def tight(self) -> bool:
        """A microcontroller, where memory is worth more than time."""
        return self.cores == 1 and (self.arch in cputarget.MICRO or self.l2_bytes == 0)


def target(cpu: Cpu) -> Any:
    """The TVM target. The profile's features are added to those of the model."""
    description: dict[str, Any] = {
        "kind": "llvm", "mtriple": _triple(cpu), "mcpu": cpu.model,
        "mattr": list(_features(cpu)),
    }  # fmt: skip
    if cpu.arch == "riscv64":
        description["mabi"] = "lp64d"
    if cpu.arch == "aarch64" and cpu.vector_bits in FIXED:
        description["cl-opt"] = [
            f"-aarch64-sve-vector-bits-{end}:uint={cpu.vector_bits}" for end in ("min", "max")
        ]
    if cpu.arch in NARROW:
        description["vector-width"] = 128  # what TVM takes anyway, with a warning
    return tvm.target.Target(description)


def _triple(cpu: Cpu) -> str:
    return cputarget.triple(cpu).llvm if cpu.arch in cputarget.MICRO else _TRIPLES[cpu.arch]


_CALM = ("+disable-latency-sched-heuristic", "+disable-misched-load-clustering")


def _features(cpu: Cpu) -> tuple[str, ...]:
    # LLVM keeps to 256 bits on most x86 cores unless told; the profile's width is the rule here.
    wide = ("-prefer-256-bit",) if cpu.arch == "x86_64" and cpu.vector_bits >= 512 else ()
    # LLVM gives these cores the largest floating-point unit; the profile says which one is there
    bare = ("-fpregs",) if cpu.arch in cputarget.MICRO else ()
    # in sums that fill the registers, moving loads ahead spills others
    calm = _CALM if cpu.arch == "riscv64" else ()
    # LLVM would take relaxed minima and conversions, which are not the same on every engine: 0211
    said = [each for each in cpu.features if each != "+relaxed-simd"]
    return (*bare, *said, *wide, *calm)


def of(cpu: Cpu) -> Isa:
    """The rules."""
    has = _known(cpu)
    bits = _vector_bits(cpu, has)
    return Isa(
        arch=cpu.arch, vector_bits=bits,
        float_bits=0 if cpu.arch in cputarget.MICRO and "mve.fp" not in has else bits,
        registers=_registers(cpu.arch, bits),
        fma=cpu.arch not in ("x86_64", "wasm32") or "fma" in has,
        products=_products(cpu.arch, bits, has),
        signed_dots=bits == 256 and "avxvnniint8" in has,
        byte_permute=cpu.arch != "x86_64" or "avx512vbmi" in has,
        half=_half(cpu.arch, has),
        doubles=cpu.arch == "riscv64" and "d" in has,
        in_order=cpu.model in _IN_ORDER,
        cores=max(1, cpu.cores), l1_bytes=cpu.cache.l1d_bytes, l2_bytes=cpu.cache.l2_bytes,
    )  # fmt: skip


def _half(arch: str, has: frozenset[str]) -> bool:
    if arch in cputarget.MICRO:
        return "fp16" in has
    return arch == "aarch64" or bool({"f16c", "avx512f", "zvfhmin"} & has)


# Arm's 64-bit cores that begin instructions in program order
_IN_ORDER = ("cortex-a34", "cortex-a35", "cortex-a53", "cortex-a55", "cortex-a510", "cortex-a520")

_ASKED = (
    "sse4.1", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni",
    "avx512vbmi", "avxvnni", "avxvnniint8", "neon", "dotprod", "i8mm", "sve", "d", "v", "simd128",
    "mve", "mve.fp", "f16c", "fp16", "zvfhmin",
)  # fmt: skip


def check(cpu: Cpu) -> None:
    """Raises CPU_UNSUPPORTED for a model or a feature that LLVM would pass over in silence."""
    base = tvm.target.Target({"kind": "llvm", "mtriple": _triple(cpu)})
    models = sorted(str(name) for name in codegen.llvm_get_cpu_archlist(base))
    if cpu.model not in models:
        near = difflib.get_close_matches(cpu.model, models) or models
        raise CPU_UNSUPPORTED(
            f"there is no {cpu.arch} processor {cpu.model!r}",
            where="cpu.model",
            hint=f"as LLVM calls them: {', '.join(near)}",
        )
    for feature in cpu.features:
        given = tvm.target.Target(
            {"kind": "llvm", "mtriple": _triple(cpu), "mcpu": cpu.model, "mattr": [feature]}
        )
        there = feature[1:] in {str(name) for name in codegen.llvm_get_cpu_features(given)}
        if feature[:1] not in "+-" or (feature.startswith("+") and not there):
            raise CPU_UNSUPPORTED(
                f"{cpu.arch} has no feature {feature!r}",
                where="cpu.features",
                hint="names are LLVM's, with + or - before them: +dotprod",
            )


def _known(cpu: Cpu) -> frozenset[str]:
    """Features of the core by LLVM's tables, with the profile's additions and removals."""
    described = target(cpu)
    with described:
        model = {
            f for f in _ASKED if tvm.get_global_func("target.target_has_feature")(f, described)
        }
    return frozenset(model)


def _vector_bits(cpu: Cpu, has: frozenset[str]) -> int:
    """No wider than the core's instructions, no wider than the profile says."""
    if cpu.arch == "x86_64":
        wide = {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= has
        most = 512 if wide else 256 if "avx2" in has else 128
    elif cpu.arch == "aarch64":
        most = cpu.vector_bits if "sve" in has and cpu.vector_bits in FIXED else 128
    elif cpu.arch == "wasm32":
        most = 128 if "simd128" in has else 0
    else:
        most = 128 if "v" in has or "mve" in has else 0
    return min(most, cpu.vector_bits or most)


def _registers(arch: str, bits: int) -> int:
    # a WebAssembly engine keeps its values in the registers of whatever it runs on
    if arch == "armv8.1-m" and bits:
        return 8
    if arch == "wasm32" or (arch == "x86_64" and bits < 512):
        return 16
    return 32


def _products(arch: str, bits: int, has: frozenset[str]) -> Products:
    if arch == "x86_64":
        vnni = "avx512vnni" in has if bits == 512 else "avxvnni" in has and bits == 256
        return "vnni" if vnni else "pmaddwd"
    if arch == "aarch64":
        if "dotprod" not in has:
            return "smlal"
        return "smmla" if "i8mm" in has else "sdot"
    if arch in cputarget.MICRO:
        return "vmladava" if bits else "smlad"
    if arch == "wasm32" and bits:
        return "dot16"
    return "widen" if bits else "pairs"
