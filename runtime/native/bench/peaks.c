/* SPDX-License-Identifier: Apache-2.0 */
/* What one core of this machine can do at most: clock, multiply-adds, bandwidth by working set.
 *
 * Compiled for the CPU that bench compiles kernels for, so that the peak is that of the
 * instructions which the kernels may use. Every figure is the median of many short rounds, as
 * the times are that predictions are held against: what a machine does on its best day is no use
 * to compare with. Writes "NAME VALUE" lines; rates are per second.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

enum {
    LANES = VECTOR_BYTES / 4,
    CHAINS = 12, /* enough for latency times two pipes on all cores known, few enough to fit */
    ROUNDS = 51,
    STEPS = 5000,
};

typedef float floats __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t words __attribute__((vector_size(VECTOR_BYTES)));

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The compiler may not know what is in a register afterwards. */
#if defined(__x86_64__)
#define OPAQUE(vector) __asm__ volatile("" : "+x"(vector))
#elif defined(__aarch64__)
#define OPAQUE(vector) __asm__ volatile("" : "+w"(vector))
#else
#define OPAQUE(vector) __asm__ volatile("" : "+m"(vector))
#endif

/* Hertz: additions that wait for one another take a cycle each. */
static double clock_hz(void) {
    uint64_t value = 1, step = 3;
    double begin = now_s();
    for (int i = 0; i < STEPS; i++)
        for (int j = 0; j < 8; j++) {
            value += step;
            __asm__ volatile("" : "+r"(value), "+r"(step));
        }
    return STEPS * 8 / (now_s() - begin);
}

static double macs_f32(void) {
    floats sums[CHAINS] = {{0}}, a, b;
    for (int i = 0; i < LANES; i++) a[i] = 1.0f, b[i] = 1e-6f * (float)i;
    OPAQUE(a);
    OPAQUE(b);
    double begin = now_s();
    for (int i = 0; i < STEPS; i++)
#pragma unroll
        for (int c = 0; c < CHAINS; c++) {
            sums[c] = a * b + sums[c]; /* contracted into one multiply-add where there is one */
            OPAQUE(sums[c]);
        }
    return (double)STEPS * CHAINS * LANES / (now_s() - begin);
}

/* One step: as many int8 products added to int32 lanes as one instruction or pair does. */
#if defined(__AVX512VNNI__)
enum { PRODUCTS = 64 };
#define DOT(sum, a, b) ((words)_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b)))
#elif defined(__AVXVNNI__)
enum { PRODUCTS = 32 };
#define DOT(sum, a, b) ((words)_mm256_dpbusd_avx_epi32((__m256i)(sum), (__m256i)(a), (__m256i)(b)))
#elif defined(__AVX512BW__)
enum { PRODUCTS = 32 };
#define DOT(sum, a, b) ((sum) + (words)_mm512_madd_epi16((__m512i)(a), (__m512i)(b)))
#elif defined(__AVX2__)
enum { PRODUCTS = 16 };
#define DOT(sum, a, b) ((sum) + (words)_mm256_madd_epi16((__m256i)(a), (__m256i)(b)))
#elif defined(__ARM_FEATURE_DOTPROD)
enum { PRODUCTS = 16 };
#define DOT(sum, a, b) ((words)vdotq_s32((int32x4_t)(sum), (int8x16_t)(a), (int8x16_t)(b)))
#elif defined(__aarch64__)
enum { PRODUCTS = 8 };
#define DOT(sum, a, b) \
    ((words)vpadalq_s16((int32x4_t)(sum), vmull_s8(vget_low_s8((int8x16_t)(a)), \
                                                   vget_low_s8((int8x16_t)(b)))))
#else
enum { PRODUCTS = LANES };
#define DOT(sum, a, b) ((sum) + (a) * (b))
#endif

static double macs_int8(void) {
    words sums[CHAINS] = {{0}}, a = {1, 2, 3, 4}, b = {5, 6, 7, 8};
    OPAQUE(a);
    OPAQUE(b);
    double begin = now_s();
    for (int i = 0; i < STEPS; i++)
#pragma unroll
        for (int c = 0; c < CHAINS; c++) {
            sums[c] = DOT(sums[c], a, b);
            OPAQUE(sums[c]);
        }
    return (double)STEPS * CHAINS * PRODUCTS / (now_s() - begin);
}

/* Bytes per second that a core reads from `bytes` that it has read before. */
static double read_rate(const char *data, size_t bytes) {
    enum { AT_ONCE = 8 };
    size_t blocks = bytes / (VECTOR_BYTES * AT_ONCE);
    size_t times = (4u << 20) / bytes + 1;
    floats sums[AT_ONCE] = {{0}};
    double begin = now_s();
    for (size_t t = 0; t < times; t++) {
        const floats *from = (const floats *)(const void *)data;
        for (size_t i = 0; i < blocks; i++, from += AT_ONCE)
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++) {
                floats loaded = from[j];
                OPAQUE(loaded);
                sums[j] = loaded;
            }
    }
    double elapsed = now_s() - begin;
    for (int j = 0; j < AT_ONCE; j++) OPAQUE(sums[j]);
    return (double)(blocks * VECTOR_BYTES * AT_ONCE * times) / elapsed;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#define MEDIAN(name, expression)                                              \
    do {                                                                      \
        double rates[ROUNDS];                                                 \
        for (int round = 0; round < ROUNDS; round++) rates[round] = (expression); \
        qsort(rates, ROUNDS, sizeof rates[0], ascending);                     \
        printf("%s %.6g\n", name, rates[ROUNDS / 2]);                         \
    } while (0)

int main(void) {
    const size_t most = 64u << 20;
    char *data = aligned_alloc(4096, most), name[32];
    if (data == NULL) return 1;
    memset(data, 0, most);
    MEDIAN("clock_hz", clock_hz());
    MEDIAN("macs_f32", macs_f32());
    MEDIAN("macs_int8", macs_int8());
    for (size_t bytes = 8u << 10; bytes <= most; bytes *= 2)
        for (size_t half = 2; half <= 3 && bytes / 2 * half <= most; half++) {
            snprintf(name, sizeof name, "read_%zu", bytes / 2 * half);
            MEDIAN(name, read_rate(data, bytes / 2 * half));
        }
    free(data);
    return 0;
}
