# SPDX-License-Identifier: Apache-2.0
"""The machine at hand as a Cpu."""

import pytest

from edgebuild.host import processor
from edgebuild.host.processor import Processor, this_processor
from edgebuild.kernels import hostcpu

V2 = "fpu cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = f"{V2} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"
CACHES = (("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "1024K"))


def x86(flags: str) -> Processor:
    text = (
        f"processor\t: 0\ncpu MHz\t\t: 2595.1\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t: x\n"
    )
    return Processor(arch="x86_64", cpuinfo=text, caches=CACHES, cores=2)


@pytest.mark.parametrize(
    ("flags", "model", "features", "bits", "f32", "int8"),
    [
        ("fpu sse2", "x86-64", (), 128, 4, 8),
        (V2, "x86-64-v2", (), 128, 4, 8),
        (V3, "x86-64-v3", (), 256, 16, 32),
        (f"{V3} avx_vnni avx512_vnni", "x86-64-v3", ("+avxvnni",), 256, 16, 64),
        (f"{V3} avx_vnni avx_vnni_int8", "x86-64-v3", ("+avxvnni", "+avxvnniint8"), 256, 16, 64),
        (V4, "x86-64-v4", (), 512, 32, 64),
        (f"{V4} avx_vnni avx512_vnni", "x86-64-v4", ("+avx512vnni", "+avxvnni"), 512, 32, 128),
        (f"{V4} avx512vbmi", "x86-64-v4", ("+avx512vbmi",), 512, 32, 64),
    ],
)
def test_x86_levels(flags, model, features, bits, f32, int8):
    cpu = hostcpu.describe(x86(flags))
    assert (cpu.model, cpu.features, cpu.vector_bits) == (model, features, bits)
    assert (cpu.macs_per_cycle_f32, cpu.macs_per_cycle_int8) == (f32, int8)
    assert (cpu.cores, cpu.clock_mhz) == (2, 2595)
    assert (cpu.cache.l1d_bytes, cpu.cache.l2_bytes) == (49152, 1048576)


def test_arm():
    text = "processor : 0\nFeatures : fp asimd asimddp i8mm\n"
    cpu = hostcpu.describe(Processor(arch="aarch64", cpuinfo=text, caches=(), cores=4))
    assert (cpu.arch, cpu.model, cpu.features) == ("aarch64", "generic", ("+dotprod", "+i8mm"))
    assert cpu.cache == hostcpu.DEFAULT_CACHE


@pytest.mark.parametrize(
    ("isa", "bits"), [("rv64imafdcv_zba", 128), ("rv64imafdc_zve", 0), ("", 0)]
)
def test_riscv(isa, bits):
    text = f"processor : 0\nisa : {isa}\n"
    cpu = hostcpu.describe(Processor(arch="riscv64", cpuinfo=text, caches=(), cores=4))
    assert (cpu.model, cpu.vector_bits) == ("generic-rv64", bits)


def test_this_machine_has_a_description():
    cpu = hostcpu.describe(this_processor())
    assert cpu.cores >= 1
    assert cpu.clock_mhz > 0


def test_nothing_to_read(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    monkeypatch.setattr(processor, "CACHES", tmp_path)
    found = this_processor()
    assert (found.cpuinfo, found.caches) == ("", ())
    assert hostcpu.describe(found).clock_mhz == 1000
