/* SPDX-License-Identifier: Apache-2.0 */
/* What the CPU must have: compiled for the profile's CPU, data alone, so that it can be read on any.
 *
 * Where a bit is: x86 CPUID (Intel SDM 2A, CPUID), Linux AT_HWCAP and AT_HWCAP2
 * (arch/arm64/include/uapi/asm/hwcap.h; RISC-V: one bit for each letter).
 */
#include "cpu.h"

const struct edge_need edge_needs[] = {
#if defined(__x86_64__)
#define EAX 0
#define EBX 1
#define ECX 2
#define EDX 3
#ifdef __SSE3__
    {"sse3", 1, 0, ECX, 0},
#endif
#ifdef __SSSE3__
    {"ssse3", 1, 0, ECX, 9},
#endif
#ifdef __FMA__
    {"fma", 1, 0, ECX, 12},
#endif
#ifdef __SSE4_1__
    {"sse4.1", 1, 0, ECX, 19},
#endif
#ifdef __SSE4_2__
    {"sse4.2", 1, 0, ECX, 20},
#endif
#ifdef __MOVBE__
    {"movbe", 1, 0, ECX, 22},
#endif
#ifdef __POPCNT__
    {"popcnt", 1, 0, ECX, 23},
#endif
#ifdef __AVX__
    {"avx", 1, 0, ECX, 28},
#endif
#ifdef __F16C__
    {"f16c", 1, 0, ECX, 29},
#endif
#ifdef __BMI__
    {"bmi", 7, 0, EBX, 3},
#endif
#ifdef __AVX2__
    {"avx2", 7, 0, EBX, 5},
#endif
#ifdef __BMI2__
    {"bmi2", 7, 0, EBX, 8},
#endif
#ifdef __AVX512F__
    {"avx512f", 7, 0, EBX, 16},
#endif
#ifdef __AVX512DQ__
    {"avx512dq", 7, 0, EBX, 17},
#endif
#ifdef __AVX512BW__
    {"avx512bw", 7, 0, EBX, 30},
#endif
#ifdef __AVX512VL__
    {"avx512vl", 7, 0, EBX, 31},
#endif
#ifdef __AVX512VNNI__
    {"avx512vnni", 7, 0, ECX, 11},
#endif
#ifdef __AVXVNNI__
    {"avxvnni", 7, 1, EAX, 4},
#endif
#ifdef __AVXVNNIINT8__
    {"avxvnniint8", 7, 1, EDX, 4},
#endif
#ifdef __LZCNT__
    {"lzcnt", 0x80000001, 0, ECX, 5},
#endif
#elif defined(__aarch64__)
#ifdef __ARM_FEATURE_AES
    {"aes", 16, 0, 0, 3},
#endif
#ifdef __ARM_FEATURE_CRC32
    {"crc", 16, 0, 0, 7},
#endif
#ifdef __ARM_FEATURE_ATOMICS
    {"lse", 16, 0, 0, 8},
#endif
#ifdef __ARM_FEATURE_FP16_VECTOR_ARITHMETIC
    {"fp16", 16, 0, 0, 10},
#endif
#ifdef __ARM_FEATURE_DOTPROD
    {"dotprod", 16, 0, 0, 20},
#endif
#ifdef __ARM_FEATURE_SVE
    {"sve", 16, 0, 0, 22},
#endif
#ifdef __ARM_FEATURE_MATMUL_INT8
    {"i8mm", 26, 0, 0, 13},
#endif
#ifdef __ARM_FEATURE_BF16
    {"bf16", 26, 0, 0, 14},
#endif
#elif defined(__riscv)
#ifdef __riscv_v
    {"v", 16, 0, 0, 'V' - 'A'},
#endif
#endif
    {0},
};
