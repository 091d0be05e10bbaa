/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the instructions of one inference on a bare emulated machine.
 *
 * No operating system: nothing but the bundle runs between two readings of the counter, so the
 * count is exact and the same every time. QEMU runs it with `-icount shift=0`, where one
 * instruction is one tick. Compiled with -DEDGE_MODEL, -DEDGE_ARENA_BYTES, -DEDGE_INPUT_BYTES
 * and -DEDGE_OUTPUT_BYTES (lists), -DEDGE_INPUT_KINDS (a list of 'f' or 'i').
 *
 * Writes to the console: "status N", "total N", with -DEDGE_PROFILE "operator I N" for each
 * operator, "sum N" (a checksum of the outputs), and "end".
 */
#include <stddef.h>
#include <stdint.h>

#define JOIN3(a, b, c) a##b##c
#define NAME(model, what) JOIN3(edge_, model, what)
#define MODEL(what) NAME(EDGE_MODEL, what)
#if defined(__arm__)
#include "metal_thumb.h"
#endif

/* Instructions in a number of ticks. Where the counter is too slow to tell one from the next, QEMU
 * runs so slowly that it is not: 128 ns for each (-icount shift=7), a tick every 40 or 31.25. */
#if defined(__arm__) && __ARM_ARCH >= 8
#define INSTRUCTIONS(ticks) (((ticks) * 125 + 256) / 512)
#elif defined(__arm__)
#define INSTRUCTIONS(ticks) (((ticks) * 5 + 8) / 16)
#else
#define INSTRUCTIONS(ticks) (ticks)
#endif

int32_t MODEL(_run)(const void *const *inputs, void *const *outputs, void *arena);
int main(void);

static const uint32_t input_bytes[] = {EDGE_INPUT_BYTES}, output_bytes[] = {EDGE_OUTPUT_BYTES};
static const char input_kinds[] = {EDGE_INPUT_KINDS};
enum {
    INPUTS = sizeof input_bytes / sizeof *input_bytes,
    OUTPUTS = sizeof output_bytes / sizeof *output_bytes,
    ALIGNMENT = 64,
    MAX_OPERATORS = 4096,
};

/* Grows with every instruction. */
static inline uint64_t ticks(void) {
    uint64_t value;
#if defined(__aarch64__)
    __asm__ volatile("mrs %0, pmccntr_el0" : "=r"(value) : : "memory");
#elif defined(__riscv)
    __asm__ volatile("csrr %0, minstret" : "=r"(value) : : "memory");
#elif defined(__x86_64__)
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    value = (uint64_t)high << 32 | low;
#elif defined(__arm__) && __ARM_ARCH >= 8
    value = *(volatile uint32_t *)(METAL_CLOCK + 8);
#elif defined(__arm__)
    value = ~*(volatile uint32_t *)(METAL_CLOCK + 4);
#endif
    return value;
}

static void put(char character) {
#if defined(__aarch64__)
    *(volatile uint32_t *)0x09000000 = (uint32_t)character; /* PL011 of QEMU's virt machine */
#elif defined(__riscv)
    *(volatile uint8_t *)0x10000000 = (uint8_t)character; /* 16550 of QEMU's virt machine */
#elif defined(__x86_64__)
    __asm__ volatile("outb %0, %1" : : "a"(character), "Nd"((uint16_t)0x3f8)); /* COM1 */
#elif defined(__arm__)
    *(volatile uint32_t *)METAL_UART = (uint32_t)character;
#endif
}

static void print(const char *text) {
    while (*text) put(*text++);
}

static void print_number(int64_t number) {
    char digits[24];
    int count = 0;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do digits[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0) put('-');
    while (count) put(digits[--count]);
}

static void report(const char *word, int64_t number) {
    print(word);
    put(' ');
    print_number(number);
    put('\n');
}

#ifdef EDGE_PROFILE
static uint64_t spent[MAX_OPERATORS], last_mark;
static int32_t most;

void edge_profile_mark(int32_t operator_index);
void edge_profile_mark(int32_t operator_index) {
    uint64_t now = ticks();
    if (operator_index >= 0 && operator_index < MAX_OPERATORS) {
        spent[operator_index] += INSTRUCTIONS(now - last_mark);
        if (operator_index >= most) most = operator_index + 1;
    }
    last_mark = ticks();
}
#endif

static _Alignas(ALIGNMENT) uint8_t arena[EDGE_ARENA_BYTES + ALIGNMENT];
extern uint8_t metal_heap[]; /* from here to the end of memory */

/* Reproducible values in the range that models expect. */
static void fill(uint8_t *to, uint32_t bytes, char kind, uint32_t *state) {
    for (uint32_t i = 0; i < bytes; i += kind == 'f' ? 4 : 1) {
        *state = *state * 1664525u + 1013904223u;
        if (kind == 'f')
            *(float *)(void *)(to + i) = (float)((int32_t)*state >> 8) / 8388608.0f;
        else if (kind == 'i') /* indices: small, in every byte order and width */
            to[i] = i % 4 ? 0 : (uint8_t)(*state >> 31);
        else
            to[i] = (uint8_t)(*state >> 24);
    }
}

int main(void) {
    const void *inputs[INPUTS];
    void *outputs[OUTPUTS];
    uint8_t *heap = metal_heap;
    uint32_t state = 1, sum = 0;
    for (int i = 0; i < INPUTS; i++) {
        fill(heap, input_bytes[i], input_kinds[i], &state);
        inputs[i] = heap;
        heap += (input_bytes[i] + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    for (int i = 0; i < OUTPUTS; i++) {
        outputs[i] = heap;
        heap += (output_bytes[i] + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
#ifdef EDGE_PROFILE
    edge_profile_mark(-1);
    edge_profile_mark(0);
    uint64_t own = spent[0]; /* what a mark itself adds */
    spent[0] = 0;
#endif
    uint64_t begin = ticks();
    int32_t status = MODEL(_run)(inputs, outputs, arena);
    uint64_t end = ticks();
    report("status", status);
    report("total", (int64_t)INSTRUCTIONS(end - begin));
#ifdef EDGE_PROFILE
    for (int32_t i = 0; i < most; i++) {
        print("operator ");
        print_number(i);
        report("", (int64_t)(spent[i] - own));
    }
#endif
    for (int i = 0; i < OUTPUTS; i++)
        for (uint32_t j = 0; j < output_bytes[i]; j++) sum = sum * 31 + ((uint8_t *)outputs[i])[j];
    report("sum", sum);
    print("end\n");
    return 0;
}
