# SPDX-License-Identifier: Apache-2.0
"""No instruction beyond the profile's CPU: every word of machine code is looked at.

AArch64, RISC-V, Thumb and WebAssembly are told apart by tables; x86 is decoded by iced-x86, which
knows the CPUID bits of every instruction. What a CPU has comes from zig, whose LLVM is the
authority on which features a model implies.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import iced_x86

from edgebuild.errors.kernels import FOREIGN_INSTRUCTION
from edgebuild.host import compiler, process
from edgebuild.kernels import cputarget, isa_thumb, isa_wasm
from edgebuild.kernels.elf import executable_sections
from edgebuild.kernels.isa_tables import AARCH64, RISCV64, Row
from edgebuild.model.profile import Cpu

SHOWN = 5  # instructions that the error message lists

BASE = (
    "INTEL8086 INTEL186 INTEL286 INTEL386 INTEL486 X64 CPUID FPU FPU287 FPU387 CMOV CX8 SSE SSE2 "
    "MMX FXSR SYSCALL TSC MSR SEP PAUSE MULTIBYTENOP CLFSH CET_IBT CET_SS"
)

# iced's CPUID names whose LLVM feature is not the same word in lower case. Features that every
# x86-64 has are no features to LLVM: "".
X86_NAMES: Mapping[str, str] = {
    **dict.fromkeys(
        BASE.split(),
        "",
    ),
    **{"SSE4_1": "sse4_1", "SSE4_2": "sse4_2", "CMPXCHG16B": "cx16", "BMI1": "bmi"},
    **{"AVX512BW": "avx512bw", "PREFETCHW": "prfchw", "PCLMULQDQ": "pclmul"},
    **{"AVX_VNNI": "avxvnni", "AVX_VNNI_INT8": "avxvnniint8", "AVX_VNNI_INT16": "avxvnniint16"},
    **{"AVX_IFMA": "avxifma", "AVX_NE_CONVERT": "avxneconvert"},
    **{f"AVX512_{name}": f"avx512{name.lower()}" for name in (
        "BF16", "BITALG", "FP16", "IFMA", "VBMI", "VBMI2", "VNNI", "VP2INTERSECT", "VPOPCNTDQ",
    )},
    **{name: name.lower().replace("_", "-") for name in (
        "AMX_TILE", "AMX_INT8", "AMX_BF16", "AMX_FP16", "AMX_COMPLEX",
    )},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """An instruction that the CPU lacks: where it is and which feature it needs."""

    section: str
    offset: int
    code: bytes
    feature: str

    def __str__(self) -> str:
        return f"{self.section}+{self.offset:#x}: {self.code.hex()} needs {self.feature}"


def check(path: Path, cpu: Cpu) -> None:
    """Raises E282 if the ELF file at ``path`` holds an instruction that ``cpu`` lacks."""
    found = foreign(path.read_bytes(), cpu.arch, features(cpu))
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        shown = "; ".join(str(each) for each in found[:SHOWN])
        raise FOREIGN_INSTRUCTION(
            f"{path.name} holds instructions that {cpu.model} lacks: {shown}{more}",
            where=path.name,
            hint="report this: the kernels' compiler was told of the wrong CPU",
        )


def features(cpu: Cpu) -> frozenset[str]:
    """Every LLVM feature that ``cpu`` has, those of its model included."""
    added = (feature[0] + re.sub("[-.]", "_", feature[1:]) for feature in cpu.features)
    name = cpu.model.replace("-", "_") + "".join(added)
    told = process.run(
        [
            *(*compiler.zig(), "build-exe", "--show-builtin"),
            *("-target", cputarget.triple(cpu).zig, f"-mcpu={name}"),
        ],
        what=f"look up the features of {cpu.model}",
    ).text
    inside = re.search(r"featureSet\(&\.\{(.*?)\}\)", told, re.DOTALL)
    listed = re.findall(r'\.(?:@")?([a-z0-9_]+)', inside[1]) if inside else []
    return frozenset(listed)


def foreign(data: bytes, arch: str, has: frozenset[str]) -> list[Foreign]:
    """The instructions in object file ``data`` that need a feature not in ``has``."""
    scan = SCANNERS[arch]
    return [
        Foreign(section=section, offset=offset, code=instruction, feature=feature)
        for section, code in executable_sections(data)
        for offset, instruction, needed in scan(code)
        for feature in needed
        if feature not in has
    ]


Scan = Iterator[tuple[int, bytes, Sequence[str]]]


def _words(code: bytes, rows: Sequence[Row]) -> Scan:
    for offset in range(0, len(code) - 3, 4):
        (word,) = struct.unpack_from("<I", code, offset)
        yield offset, code[offset : offset + 4], _needed(word, rows)


def _needed(word: int, rows: Sequence[Row]) -> Sequence[str]:
    for mask, value, feature in rows:
        if word & mask == value:
            return (feature,) if feature else ()
    return ()


def _riscv(code: bytes) -> Scan:
    offset = 0
    while offset + 2 <= len(code):
        (half,) = struct.unpack_from("<H", code, offset)
        if half & 3 != 3:
            yield offset, code[offset : offset + 2], ("c",)
            offset += 2
        elif offset + 4 <= len(code):
            (word,) = struct.unpack_from("<I", code, offset)
            yield offset, code[offset : offset + 4], _needed(word, RISCV64)
            offset += 4
        else:
            return


def _x86(code: bytes) -> Scan:
    decoder: Any = iced_x86.Decoder(64, code)
    for instruction in decoder:
        raw = code[instruction.ip : instruction.ip + instruction.len]
        if instruction.is_invalid:
            yield instruction.ip, raw, ("unknown",)
            continue
        if instruction.mnemonic == iced_x86.Mnemonic.TZCNT:
            continue  # to a core without BMI this is bsf with a prefix that it ignores
        names = (CPUID[each] for each in instruction.cpuid_features())
        needed = (X86_NAMES.get(name, name.lower()) for name in names)
        yield instruction.ip, raw, [feature for feature in needed if feature]


CPUID = {
    value: name for name, value in vars(iced_x86.CpuidFeature).items() if isinstance(value, int)
}

SCANNERS: Mapping[str, Callable[[bytes], Scan]] = {
    "x86_64": _x86,
    "aarch64": lambda code: _words(code, AARCH64),
    "riscv64": _riscv,
    "armv7e-m": isa_thumb.scan,
    "armv8.1-m": isa_thumb.scan,
    "wasm32": isa_wasm.scan,
}
