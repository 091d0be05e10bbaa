# SPDX-License-Identifier: Apache-2.0
"""The instruction check finds what was compiled for another CPU, and nothing else."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import compiler, process
from edgebuild.kernels import bundle, cputarget, disassembly
from edgebuild.model.profile import Cache, Cpu
from edgebuild.pipeline import chapters

SOURCE = """
#include <stdint.h>
int32_t dot(const int8_t *a, const int8_t *b, int n) {
    int32_t s = 0; for (int i = 0; i < n; i++) s += a[i] * b[i]; return s; }
int32_t mixed(const uint8_t *a, const int8_t *b, int n) {
    int32_t s = 0; for (int i = 0; i < n; i++) s += a[i] * b[i]; return s; }
float sum(const float *a, const float *b, int n) {
    float s = 0; for (int i = 0; i < n; i++) s += a[i] * b[i]; return s; }
double either(double x, double y) { return x < y ? x : y / x; }
#ifndef __wasm__
_Float16 half(_Float16 a, _Float16 b) { return a * b + a; }
#endif
int add(int *p) { return __atomic_fetch_add(p, 3, __ATOMIC_SEQ_CST); }
uint64_t bits(uint64_t x) { return __builtin_popcountll(x) + __builtin_ctzll(x); }
uint64_t address(uint64_t x, uint64_t y) { return (x & ~y) + (y << 2) + (uint32_t)x; }
"""

RV = ("+m", "+a", "+f", "+d", "+c")
SP = ("+vfp4d16sp",)
M55 = ("+mve.fp", "+fp-armv8d16")

# arch, CPU that the object is compiled for, CPU that it is checked for, features found missing
CASES = [
    ("aarch64", "cortex-a72", (), "cortex-a53", (), set()),
    ("aarch64", "cortex-a76", (), "cortex-a72", (), {"dotprod", "fullfp16", "lse"}),
    ("aarch64", "cortex-a76", (), "cortex-a76", (), set()),
    ("aarch64", "cortex-a76", ("+i8mm",), "cortex-a76", (), {"i8mm"}),
    ("aarch64", "neoverse-v1", (), "cortex-a76", (), {"sve", "i8mm"}),
    ("riscv64", "generic-rv64", RV, "generic-rv64", RV, set()),
    ("riscv64", "generic-rv64", (*RV, "+v"), "generic-rv64", RV, {"v"}),
    ("riscv64", "generic-rv64", (*RV, "+v"), "generic-rv64", (*RV, "+v"), set()),
    ("riscv64", "generic-rv64", (*RV, "+zba", "+zbb"), "generic-rv64", RV, {"zba", "zbb"}),
    ("riscv64", "generic-rv64", (*RV, "+zfh"), "generic-rv64", RV, {"zfh"}),
    ("armv7e-m", "cortex-m4", SP, "cortex-m4", SP, set()),
    ("armv7e-m", "cortex-m4", SP, "cortex-m4", (), {"vfp2sp"}),
    ("armv7e-m", "cortex-m4", SP, "cortex-m3", (), {"vfp2sp", "dsp"}),
    ("armv7e-m", "cortex-m7", ("+fp-armv8d16",), "cortex-m4", SP, {"fp64", "fp_armv8d16"}),
    ("armv7e-m", "cortex-m7", ("+fp-armv8d16",), "cortex-m7", ("+fp-armv8d16",), set()),
    ("armv7e-m", "cortex-m55", M55, "cortex-m7", ("+fp-armv8d16",), {"mve", "lob"}),
    ("armv8.1-m", "cortex-m55", M55, "cortex-m55", M55, set()),
    ("armv8.1-m", "cortex-m55", M55, "cortex-m55", ("+mve",), {"mve_fp", "vfp2sp"}),
    ("armv8.1-m", "cortex-m85", ("+mve",), "cortex-m55", ("+mve",), set()),
    ("armv8.1-m", "cortex-m55", ("+mve",), "cortex-m55", (), {"mve"}),
    ("wasm32", "generic", ("+simd128",), "generic", ("+simd128",), set()),
    ("wasm32", "generic", ("+simd128",), "generic", (), {"simd128"}),
    ("wasm32", "generic", ("+atomics",), "mvp", (), {"atomics"}),
    ("x86_64", "x86-64", (), "x86-64", (), set()),
    ("x86_64", "x86-64-v2", (), "x86-64", (), {"popcnt", "sse3", "sse4_1"}),
    ("x86_64", "x86-64-v3", (), "x86-64-v3", (), set()),
    ("x86_64", "haswell", (), "x86-64-v2", (), {"avx", "avx2", "bmi", "f16c", "fma"}),
    ("x86_64", "x86-64-v3", ("+avxvnni",), "x86-64-v3", (), {"avxvnni"}),
    ("x86_64", "znver5", (), "x86-64-v3", (), {"avx512f", "avx512vnni", "avxvnni"}),
    ("x86_64", "znver5", (), "znver5", (), set()),
]

CORTEX_M3 = frozenset({"hwdiv", "thumb2"})

# One instruction of each extension that plain C does not reach.
ASSEMBLY = [
    ("aarch64", "crc", "crc32b w0, w1, w2"),
    ("aarch64", "lse", "casal x0, x1, [x2]"),
    ("aarch64", "lse", "casp x0, x1, x2, x3, [x4]"),
    ("aarch64", "rcpc", "ldapr x0, [x1]"),
    ("aarch64", "rcpc_immo", "ldapur x0, [x1, #8]"),
    ("aarch64", "rdm", "sqrdmlah v0.4s, v1.4s, v2.4s"),
    ("aarch64", "rdm", "sqrdmlsh v0.4s, v1.4s, v2.s[1]"),
    ("aarch64", "dotprod", "udot v0.4s, v1.16b, v2.4b[3]"),
    ("aarch64", "i8mm", "smmla v0.4s, v1.16b, v2.16b"),
    ("aarch64", "i8mm", "usdot v0.4s, v1.16b, v2.4b[1]"),
    ("aarch64", "sve", "cntb x0"),
    ("aarch64", "sve", "fmla z0.s, z1.s, z2.s[1]"),
    ("aarch64", "sve", "sdot z0.s, z1.b, z2.b"),
    ("aarch64", "sve", "udot z0.s, z1.b, z2.b[1]"),
    ("aarch64", "sve2", "sqrdmulh z0.s, z1.s, z2.s"),
    ("aarch64", "sve2", "mul z0.s, z1.s, z2.s"),
    ("aarch64", "sve2", "srshl z0.s, p0/m, z0.s, z1.s"),
    ("aarch64", "sve2", "sqxtnb z0.h, z1.s"),
    ("aarch64", "sve2", "eor3 z0.d, z0.d, z1.d, z2.d"),
    ("aarch64", "sve2", "xar z0.s, z0.s, z1.s, #3"),
    ("aarch64", "bf16", "bfmmla v0.4s, v1.8h, v2.8h"),
    ("aarch64", "bf16", "bfdot v0.4s, v1.8h, v2.2h[1]"),
    ("aarch64", "bf16", "bfcvt h0, s1"),
    ("aarch64", "complxnum", "fcmla v0.4s, v1.4s, v2.4s, #90"),
    ("aarch64", "complxnum", "fcadd v0.4s, v1.4s, v2.4s, #90"),
    ("aarch64", "jsconv", "fjcvtzs w0, d0"),
    ("aarch64", "fptoint", "frint32z s0, s1"),
    ("aarch64", "fullfp16", "fmla v0.8h, v1.8h, v2.h[1]"),
    ("aarch64", "fullfp16", "fmax v0.8h, v1.8h, v2.8h"),
    ("aarch64", "fullfp16", "fsqrt v0.8h, v1.8h"),
    ("aarch64", "fullfp16", "fmov v0.8h, #1.0"),
    ("aarch64", "fullfp16", "fmaxv h0, v1.8h"),
    ("aarch64", "fp16fml", "fmlal v0.4s, v1.4h, v2.4h"),
    ("aarch64", "fp16fml", "fmlsl2 v0.4s, v1.4h, v2.h[0]"),
    ("aarch64", "aes", "aese v0.16b, v1.16b"),
    ("aarch64", "sha2", "sha256h q0, q1, v2.4s"),
    ("aarch64", "sha3", "eor3 v0.16b, v1.16b, v2.16b, v3.16b"),
    ("aarch64", "pauth", "pacia x0, x1"),
    ("aarch64", "pauth", "braa x0, x1"),
    ("aarch64", "pauth", "ldraa x0, [x1]"),
    ("aarch64", "mte", "stg x0, [x1]"),
    ("aarch64", "cssc", "smax x0, x1, x2"),
    ("aarch64", "mops", "cpyfp [x0]!, [x1]!, x2!"),
    ("aarch64", "sme", "smstart sm\nfmopa za0.s, p0/m, p0/m, z0.s, z0.s"),
    ("riscv64", "v", "vle8.v v0, (a0)"),
    ("riscv64", "v", "vse32.v v0, (a0)"),
    ("riscv64", "v", "vle64.v v0, (a0)"),
    ("riscv64", "zbs", "bset a0, a1, a2"),
    ("riscv64", "zbs", "bexti a0, a1, 3"),
    ("riscv64", "zbc", "clmul a0, a1, a2"),
    ("riscv64", "zbb", "orc.b a0, a1"),
    ("riscv64", "zbb", "roriw a0, a1, 3"),
    ("riscv64", "zba", "slli.uw a0, a1, 3"),
    ("riscv64", "zicond", "czero.eqz a0, a1, a2"),
    ("riscv64", "zfa", "fli.s fa0, 0.5"),
    ("riscv64", "zfhmin", "fcvt.s.h fa0, fa1"),
    ("riscv64", "zicbom", "cbo.clean (a0)"),
    ("riscv64", "zacas", "amocas.w a0, a1, (a2)"),
]


def cpu(arch: str, model: str, features: tuple[str, ...] = ()) -> Cpu:
    """A CPU of which only the instruction set matters."""
    return Cpu(
        arch=arch,
        model=model,
        features=features,
        cores=1,
        clock_mhz=1000,
        cache=Cache(l1d_bytes=32768, l2_bytes=262144),
        macs_per_cycle_f32=1,
        macs_per_cycle_int8=1,
    )


def compile_for(target: Cpu, source: Path) -> Path:
    """An object for ``target``."""
    added = (feature[0] + re.sub("[-.]", "_", feature[1:]) for feature in target.features)
    mcpu = target.model.replace("-", "_") + "".join(added)
    out = source.with_suffix(".o")
    triple = cputarget.triple(target).zig
    process.run(
        [
            *(*compiler.zig(), "cc", "-target", triple, f"-mcpu={mcpu}"),
            *("-O3", "-ffast-math", "-fno-sanitize=undefined", "-c", source, "-o", out),
        ],
        what="compile",
    )
    return out


@pytest.mark.parametrize(("arch", "model", "more", "checked", "its", "missing"), CASES)
def test_object_for_another_cpu(tmp_path, arch, model, more, checked, its, missing):
    source = tmp_path / "kernels.c"
    source.write_text(SOURCE)
    data = compile_for(cpu(arch, model, more), source).read_bytes()
    found = disassembly.foreign(data, arch, disassembly.features(cpu(arch, checked, its)))
    assert missing <= {each.feature for each in found}
    assert bool(missing) == bool(found)


@pytest.mark.parametrize(("arch", "feature", "instruction"), ASSEMBLY)
def test_each_extension_is_known(tmp_path, arch, feature, instruction):
    source = tmp_path / "one.c"
    source.write_text(f'__asm__("{instruction}");'.replace("\n", "\\n"))
    base = ("generic", ()) if arch == "aarch64" else ("generic-rv64", RV)
    plus = (*base[1], f"+{feature}")
    data = compile_for(cpu(arch, base[0], plus), source).read_bytes()
    found = disassembly.foreign(data, arch, disassembly.features(cpu(arch, *base)))
    assert feature in {each.feature for each in found}
    assert not disassembly.foreign(data, arch, disassembly.features(cpu(arch, base[0], plus)))


THUMB = {
    "dsp": (
        "smlad r0, r1, r2, r3; smmlar r0, r1, r2, r3; sxtb16 r0, r1, ror #8; sxtab r0, r1, r2; "
        "smlalbb r0, r1, r2, r3; umaal r0, r1, r2, r3; qadd r0, r1, r2; sadd8 r0, r1, r2; "
        "pkhbt r0, r1, r2, lsl #3; ssat16 r0, #7, r1; sel r0, r1, r2; usad8 r0, r1, r2"
    ),
    "": (
        "ssat r0, #8, r1; ssat r0, #8, r1, asr #3; sxth.w r8, r1; uxtb.w r0, r9; rev16.w r8, r1; "
        "clz r0, r1; mla r0, r1, r2, r3; mls r0, r1, r2, r3; smlal r0, r1, r2, r3; bx lr; "
        "umull r0, r1, r2, r3; lsl.w r0, r1, r2; ldrexb r0, [r1]; add.w r0, r1, r2, lsl #3; b.w .; "
        "tbb [r0, r1]; sdiv r0, r1, r2"
    ),
    "fpregs": "vldr d0, [r0]; vmov s0, r0; vpush {d0-d3}; vmov.f32 s0, s1; vmov.f64 d0, d1",
    "vfp2sp": "vmla.f32 s0, s1, s2; vcvt.f32.s32 s0, s1",
    "vfp4d16sp": "vfma.f32 s0, s1, s2; vfms.f32 s0, s1, s2; vfnma.f32 s0, s1, s2",
    "fp64": "vadd.f64 d0, d1, d2; vfma.f64 d0, d1, d2; vcvt.f64.s32 d0, s1",
    "fp_armv8d16sp": "vrintz.f32 s0, s1; vmaxnm.f32 s0, s1, s2; vseleq.f32 s0, s1, s2",
    "fp_armv8d16": "vmaxnm.f64 d0, d1, d2; vrintx.f64 d0, d1",
    "acquire_release": "lda r0, [r1]; stlexb r0, r1, [r2]",
    "lob": "dls lr, r0; wls lr, r0, 1f; 1: le lr, 1b; le 1b",
    "8msecext": "bxns lr; sg",
    "has_v8m_main": "tt r0, r1",
    "has_v8_1m_main": "cset r0, eq",
    "mve": (
        "vadd.i32 q0, q1, q2; vldrw.u32 q0, [r0]; vmlava.s8 r0, q1, q2; vqrdmulh.s32 q0, q1, q2; "
        "vrshl.s32 q0, q1, q2; vadd.i32 q0, q1, r2; vmla.s32 q0, q1, r2; vshr.s32 q0, q1, #31; "
        "vmov q0[2], q0[0], r1, r2; vstrb.32 q0, [r0]; vmullb.s8 q0, q1, q2; vdup.32 q0, r0; "
        "vldrb.u8 q0, [r0, q1]; vcmp.i32 eq, q0, q1; vabs.s8 q0, q1; vmovlb.s8 q0, q1; "
        "vpsel q0, q1, q2; vpnot; vpst; vaddt.i32 q0, q1, q2; "
        "dlstp.32 lr, r0; wlstp.8 lr, r0, 1f; 1: letp lr, 1b; vctp.32 r0; "
        "vshl.u32 q2, r0; vqshl.s16 q2, r3; vrshl.u8 q3, r1; vqrshl.s32 q2, r0; "
        "vmul.i32 q2, q4, r0; vmlas.s16 q0, q1, r2; vsub.i8 q0, q1, r2; vhadd.s8 q0, q1, r2; "
        "vhsub.u32 q0, q1, r2; vqadd.s32 q0, q1, r2; vqsub.u8 q0, q1, r2; vbrsr.32 q0, q1, r2; "
        "vqdmulh.s32 q0, q1, r2; vqrdmulh.s16 q0, q1, r2; vqdmlah.s32 q0, q1, r2; "
        "vqrdmlah.s8 q0, q1, r2; vqdmlash.s32 q0, q1, r2; vqrdmlash.s16 q0, q1, r2; "
        "vqdmullb.s32 q2, q1, r2; vqdmullt.s16 q0, q1, q2; vshlc q0, r1, #3; vshllb.s8 q0, q1, #2; "
        "vshllt.u16 q0, q1, #16; vshrnb.i32 q0, q1, #3; vqshrunt.s32 q0, q1, #3; "
        "vsli.32 q0, q1, #3; vqrshrnb.s16 q0, q1, #3; vsri.8 q0, q1, #3; vqmovnb.s32 q0, q1; "
        "vqmovunt.s16 q0, q1; "
        "vmovnb.i32 q0, q1; vmovlt.u16 q0, q1; vmin.s8 q0, q1, q2; vmax.u32 q0, q1, q2; "
        "vmina.s8 q0, q1; vminv.s8 r0, q1; vmaxav.s16 r0, q1; vabd.s8 q0, q1, q2; "
        "vrhadd.u8 q0, q1, q2; vmvn q0, q1; vand q0, q1, q2; vbic.i32 q0, #255; vorn q0, q1, q2; "
        "vmov.i32 q0, #255; vmov.i8 q0, #1; vmov q0[3], q0[1], r1, r2; "
        "vrev32.8 q0, q1; vclz.i32 q0, q1; vcls.s8 q0, q1; vqabs.s8 q0, q1; "
        "vqneg.s32 q0, q1; vcadd.i32 q0, q1, q2, #90; vhcadd.s8 q0, q1, q2, #270; "
        "vqdmladh.s32 q0, q1, q2; vqrdmlsdhx.s16 q0, q1, q2; vidup.u32 q0, r0, #4; "
        "viwdup.u8 q0, r0, r1, #2; vadc.i32 q0, q1, q2; vsbci.i32 q0, q1, q2; vaddv.s8 r0, q1; "
        "vaddlva.u32 r0, r1, q1; vmladavax.s16 r0, q1, q2; vmlaldav.s32 r0, r1, q1, q2; "
        "vrmlaldavha.s32 r0, r1, q1, q2; vabav.u8 r0, q1, q2; vld20.8 {q0, q1}, [r0]; "
        "vst43.32 {q0, q1, q2, q3}, [r0]; vldrw.u32 q0, [q1, #4]; vstrh.16 q0, [r0, q1, uxtw #1]; "
        "vcmp.s8 gt, q0, r1; vcmp.u32 cs, q0, q1; vmulh.u8 q0, q1, q2; vrmulh.s32 q0, q1, q2; "
        "vmullt.p8 q0, q1, q2; vpte.i32 eq, q0, r1; vaddt.i32 q0, q1, q2; vadde.i32 q0, q1, q2"
    ),
    "mve_fp": (
        "vfma.f32 q0, q1, q2; vfma.f32 q0, q1, r2; vfmas.f32 q0, q1, r2; vadd.f32 q0, q1, q2; "
        "vsub.f16 q0, q1, q2; vmul.f32 q0, q1, q2; vmul.f32 q0, q1, r2; vadd.f32 q0, q1, r2; "
        "vabd.f32 q0, q1, q2; vmaxnm.f32 q0, q1, q2; vcvt.f32.s32 q0, q1; vcvta.s32.f32 q0, q1; "
        "vcvt.f32.s32 q0, q1, #3; vrinta.f32 q0, q1; vabs.f32 q0, q1; vneg.f32 q0, q1; "
        "vcmp.f32 gt, q0, q1; vcmp.f32 gt, q0, r1; vcmul.f32 q0, q1, q2, #90; "
        "vcmla.f32 q0, q1, q2, #90; vcadd.f32 q0, q1, q2, #90; vmaxnma.f32 q0, q1; "
        "vmaxnmv.f32 r0, q1; vcvtb.f16.f32 q0, q1"
    ),
}


@pytest.mark.parametrize("feature", sorted(THUMB))
def test_each_extension_of_thumb_is_known(tmp_path, feature):
    source = tmp_path / "one.c"
    source.write_text(f'__asm__("{THUMB[feature]}");')
    data = compile_for(cpu("armv8.1-m", "cortex-m55", M55), source).read_bytes()
    found = disassembly.foreign(data, "armv8.1-m", CORTEX_M3)
    count = len(THUMB[feature].split(";")) if feature else 0
    assert [each.feature for each in found] == [feature] * count


def test_constants_between_instructions_are_no_instructions(tmp_path):
    source = tmp_path / "one.c"
    source.write_text('__asm__("nop; .word 0xfb20fb20; .short 0x4704; nop; smlad r0, r1, r2, r3");')
    data = compile_for(cpu("armv7e-m", "cortex-m4"), source).read_bytes()
    found = disassembly.foreign(data, "armv7e-m", CORTEX_M3)
    assert [(each.offset, each.feature) for each in found] == [(10, "dsp")]


WASM_FUNCTION = bytes([0, 97, 115, 109, 1, 0, 0, 0, 10])


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("41 00 2d 00 04 1a 0b", []),
        ("41 00 fd 00 04 00 1a 0b", ["simd128"]),
        ("fd 0c 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 1a 0b", ["simd128"]),
        ("fd 54 44 00 03 07 1a 0b", ["simd128"]),
        ("fd 93 02 1a 0b", ["relaxed_simd"]),
        ("44 00 00 00 00 00 00 f0 3f fc 02 1a 0b", ["nontrapping_fptoint"]),
        ("fc 0a 00 00 0b", ["bulk_memory"]),
        ("fc 0f 00 0b", ["reference_types"]),
        ("fc 7f 0b", ["unknown"]),
        ("c0 1a 0b", ["sign_ext"]),
        ("12 80 01 0b", ["tail_call"]),
        ("02 40 0e 02 00 01 00 0b 0b", []),
        ("1c 01 7f 0b", ["reference_types"]),
        ("06 40 07 00 0b 0b", ["exception_handling", "exception_handling"]),
        ("fe 10 02 00 0b", ["atomics"]),
        ("28 42 01 08 1a 0b", []),
        ("f5 0b", ["unknown"]),
    ],
)
def test_webassembly(code, needed):
    body = bytes([1, 1, 0x7F]) + bytes.fromhex(code)
    section = bytes([1, len(body)]) + body
    data = WASM_FUNCTION + bytes([len(section)]) + section
    found = disassembly.foreign(data, "wasm32", frozenset())
    assert [each.feature for each in found] == needed


def test_bytes_that_are_no_instruction(tmp_path):
    source = tmp_path / "data.c"
    source.write_text('__asm__(".byte 0x06, 0x06, 0x06");')
    data = compile_for(cpu("x86_64", "x86-64"), source).read_bytes()
    found = disassembly.foreign(data, "x86_64", frozenset())
    assert {each.feature for each in found} == {"unknown"}


def test_check_says_what_and_where(tmp_path):
    source = tmp_path / "kernels.c"
    source.write_text(SOURCE)
    target = cpu("aarch64", "cortex-a76")
    path = compile_for(target, source)
    disassembly.check(path, target)
    with pytest.raises(EdgebuildError, match=r"cortex-a53 lacks: \.text\+0x.* needs dotprod") as e:
        disassembly.check(path, cpu("aarch64", "cortex-a53"))
    assert e.value.kind.code == "E282"


def test_the_build_looks_at_every_bundle(tmp_path, monkeypatch):
    source = tmp_path / "kernels.c"
    source.write_text(SOURCE)
    made = compile_for(cpu("aarch64", "cortex-a76"), source)

    def compile_anyway(model, wanted, out, *, name):
        out.mkdir(parents=True)
        made.rename(out / f"{name}.o")

    monkeypatch.setattr(bundle, "compile", compile_anyway)
    step = SimpleNamespace(parameters={"model": "kws"}, sources=["kws.tflite"])
    context = SimpleNamespace(
        work=tmp_path, out=tmp_path / "out", step=step, cpu=lambda: cpu("aarch64", "cortex-a72")
    )
    with pytest.raises(
        EdgebuildError, match=r"kws\.o holds instructions that cortex-a72 lacks"
    ) as e:
        chapters.bundle(context)
    assert e.value.kind.code == "E282"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x7fELF\x01\x02" + bytes(60),
        b"\x7fELF\x01\x01" + b"\xff" * 60,
        b"\x7fELF\x02\x01" + b"\xff" * 60,
        b"\0asm\x01\0\0\0\x0a\xff",
    ],
)
def test_not_an_object(data):
    with pytest.raises(EdgebuildError) as error:
        list(disassembly.executable_sections(data))
    assert error.value.kind.code == "E285"
