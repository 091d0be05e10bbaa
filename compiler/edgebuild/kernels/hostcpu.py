# SPDX-License-Identifier: Apache-2.0
"""The processor at hand as a ``Cpu``, so that bench can compile for it.

Only instruction sets that change our kernels are told apart: on x86 the four levels of the
psABI and the dot-product extensions, on AArch64 and RISC-V the named extensions.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgebuild.host.processor import Processor
from edgebuild.model.profile import Cache, Cpu

# x86-64 psABI levels, by the flags that Linux shows for what a level adds.
V2 = frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"})
V3 = V2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
X86_LEVELS = (("x86-64-v4", V4, 512), ("x86-64-v3", V3, 256), ("x86-64-v2", V2, 128))

# Linux flag -> LLVM feature
X86_FEATURES = {
    "avx512_vnni": "+avx512vnni", "avx512vbmi": "+avx512vbmi", "avx_vnni": "+avxvnni",
}  # fmt: skip
X86_VEX = {"avx_vnni": "+avxvnni", "avx_vnni_int8": "+avxvnniint8"}
ARM_FEATURES = {"asimddp": "+dotprod", "i8mm": "+i8mm", "asimdhp": "+fullfp16", "sve": "+sve"}

DEFAULT_CACHE = Cache(l1d_bytes=32 << 10, l2_bytes=256 << 10)


def describe(processor: Processor) -> Cpu:
    """The ``Cpu`` of ``processor``. Unknown processors get their architecture's baseline."""
    facts = _first_processor(processor.cpuinfo)
    arch = {"amd64": "x86_64", "arm64": "aarch64"}.get(processor.arch, processor.arch)
    model, features, vector_bits, f32, int8 = {
        "x86_64": _x86,
        "aarch64": _arm,
    }.get(arch, _riscv)(facts)
    return Cpu(
        arch=arch,
        model=model,
        features=features,
        cores=processor.cores,
        clock_mhz=int(float(facts.get("cpu MHz", "1000"))),
        cache=_cache(processor.caches),
        vector_bits=vector_bits,
        macs_per_cycle_f32=f32,
        macs_per_cycle_int8=int8,
    )


_Isa = tuple[str, tuple[str, ...], int, float, float]


def _x86(facts: Mapping[str, str]) -> _Isa:
    flags = set(facts.get("flags", "").split())
    model, bits = next(
        ((model, bits) for model, needed, bits in X86_LEVELS if needed <= flags), ("x86-64", 128)
    )
    # The 512-bit forms need level 4; without it the VEX forms remain.
    wanted = X86_FEATURES if bits == 512 else X86_VEX
    features = tuple(sorted(wanted[flag] for flag in flags & wanted.keys())) if bits >= 256 else ()
    # Two multiply-add units; without FMA one multiplication and one addition a cycle. A dot
    # product does four int8 products in each 32-bit lane, vpmaddwd two.
    f32 = bits / 32 * (2 if bits >= 256 else 1)
    dots = any(feature.endswith("vnni") for feature in features)
    return model, features, bits, f32, f32 * (4 if dots else 2)


def _arm(facts: Mapping[str, str]) -> _Isa:
    flags = set(facts.get("Features", "").split())
    features = tuple(sorted(ARM_FEATURES[flag] for flag in flags & ARM_FEATURES.keys()))
    dots = 32.0 if "+dotprod" in features else 8.0  # a matrix product does twice a dot product's
    return "generic", features, 128, 8.0, 2 * dots if "+i8mm" in features else dots


def _riscv(facts: Mapping[str, str]) -> _Isa:
    letters = facts.get("isa", "").split("_", maxsplit=1)[0].removeprefix("rv64")
    if "v" in letters:
        return "generic-rv64", ("+v",), 128, 4.0, 8.0
    return "generic-rv64", (), 0, 1.0, 1.0


def _first_processor(cpuinfo: str) -> dict[str, str]:
    facts: dict[str, str] = {}
    for line in cpuinfo.split("\n\n", maxsplit=1)[0].splitlines():
        key, _, value = line.partition(":")
        facts[key.strip()] = value.strip()
    return facts


def _cache(caches: tuple[tuple[str, str, str], ...]) -> Cache:
    sizes = {
        level: int(size[:-1]) << 10
        for level, kind, size in caches
        if kind in ("Data", "Unified") and size.endswith("K")
    }
    return Cache(
        l1d_bytes=sizes.get("1", DEFAULT_CACHE.l1d_bytes),
        l2_bytes=sizes.get("2", DEFAULT_CACHE.l2_bytes),
    )
