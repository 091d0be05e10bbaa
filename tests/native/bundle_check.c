/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller may do to a bundle, right and wrong; built with sanitizers where there are any.
 *
 * Kernels come as machine code that no sanitizer instruments: so every buffer lies once against
 * a page that may not be touched at its end, and once at its beginning.
 * Compiled with -DEDGE_MODEL=<name>, -DEDGE_INPUT_BYTES and -DEDGE_OUTPUT_BYTES (lists).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define JOIN3(a, b, c) a##b##c
#define NAME(model, what) JOIN3(edge_, model, what)
#define MODEL(what) NAME(EDGE_MODEL, what)

size_t MODEL(_arena_bytes)(void);
int32_t MODEL(_run)(const void *const *inputs, void *const *outputs, void *arena);
int32_t MODEL(_run_in)(const void *const *inputs, void *const *outputs, void *arena, size_t bytes);

static const size_t input_bytes[] = {EDGE_INPUT_BYTES}, output_bytes[] = {EDGE_OUTPUT_BYTES};
enum {
    INPUTS = sizeof input_bytes / sizeof *input_bytes,
    OUTPUTS = sizeof output_bytes / sizeof *output_bytes,
    BUFFERS = INPUTS + OUTPUTS + 1,
    CALLERS = 2,
    CALLS = 20,
};

#define CHECK(condition)                                           \
    do {                                                           \
        if (!(condition)) {                                        \
            printf("line %d: %s\n", __LINE__, #condition);         \
            exit(1);                                               \
        }                                                          \
    } while (0)

struct buffers {
    const void *inputs[INPUTS];
    void *outputs[OUTPUTS];
    void *arena;
};

/* `bytes` bytes between two pages that may not be touched: at the end of what lies between, or
 * at its beginning. The end of an arena is rounded to its alignment. */
static uint8_t *guarded(size_t bytes, int at_end, size_t alignment) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t middle = (bytes + page - 1) / page * page + (bytes == 0 ? page : 0);
    uint8_t *all = mmap(NULL, middle + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(all != MAP_FAILED);
    CHECK(mprotect(all + page, middle, PROT_READ | PROT_WRITE) == 0);
    size_t skip = at_end ? (middle - bytes) / alignment * alignment : 0;
    return all + page + skip;
}

static void fill(uint8_t *to, size_t bytes) {
    uint32_t state = 7;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        /* Small both as int8 and as the bytes of a float: bits 30 and 29 of no float are set
         * together, so that none is infinite. */
        to[i] = (uint8_t)(state >> 24) & 0xbf;
    }
}

static struct buffers make(int at_end, size_t offset) {
    struct buffers made;
    for (int i = 0; i < INPUTS; i++) {
        uint8_t *buffer = guarded(input_bytes[i] + offset, at_end, 1) + offset;
        fill(buffer, input_bytes[i]);
        made.inputs[i] = buffer;
    }
    for (int i = 0; i < OUTPUTS; i++)
        made.outputs[i] = guarded(output_bytes[i] + offset, at_end, 1) + offset;
    made.arena = guarded(MODEL(_arena_bytes)(), at_end, 64);
    return made;
}

static int same(const struct buffers *a, const struct buffers *b) {
    for (int i = 0; i < OUTPUTS; i++)
        if (memcmp(a->outputs[i], b->outputs[i], output_bytes[i]) != 0) return 0;
    return 1;
}

static int32_t run(const struct buffers *b) {
    return MODEL(_run)(b->inputs, b->outputs, b->arena);
}

static void *call_often(void *context) {
    struct buffers *mine = context;
    for (int i = 0; i < CALLS; i++) CHECK(run(mine) == 0);
    return NULL;
}

static void wrong_calls(const struct buffers *right) {
    struct buffers b = *right;
    for (int i = 0; i < OUTPUTS; i++) memset(b.outputs[i], 0x5a, output_bytes[i]);
    CHECK(MODEL(_run)(NULL, b.outputs, b.arena) < 0);
    CHECK(MODEL(_run)(b.inputs, NULL, b.arena) < 0);
    if (MODEL(_arena_bytes)() > 0) {
        CHECK(MODEL(_run)(b.inputs, b.outputs, NULL) < 0);
        CHECK(MODEL(_run)(b.inputs, b.outputs, (uint8_t *)b.arena + 1) < 0);
        CHECK(MODEL(_run_in)(b.inputs, b.outputs, b.arena, MODEL(_arena_bytes)() - 1) < 0);
        CHECK(MODEL(_run_in)(b.inputs, b.outputs, b.arena, 0) < 0);
    }
    b.inputs[0] = NULL;
    CHECK(run(&b) < 0);
    b.inputs[0] = right->inputs[0];
    b.outputs[0] = NULL;
    CHECK(run(&b) < 0);
    b.outputs[0] = right->outputs[0];
    for (int i = 0; i < OUTPUTS; i++)
        for (size_t j = 0; j < output_bytes[i]; j++)
            CHECK(((uint8_t *)b.outputs[i])[j] == 0x5a); /* nothing was written */
}

int main(void) {
    struct buffers first = make(0, 0), last = make(1, 0), odd = make(0, 1), odd_end = make(1, 3);
    CHECK(run(&first) == 0);
    CHECK(run(&last) == 0 && same(&first, &last));
    CHECK(run(&odd) == 0 && same(&first, &odd));
    CHECK(run(&odd_end) == 0 && same(&first, &odd_end));
    CHECK(MODEL(_run_in)(last.inputs, last.outputs, last.arena, MODEL(_arena_bytes)()) == 0);
    CHECK(same(&first, &last));

    memset(first.arena, 0xff, MODEL(_arena_bytes)()); /* what an arena held before is nothing */
    CHECK(run(&first) == 0 && same(&first, &last));

    struct buffers own[CALLERS];
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        own[i] = make(i % 2, 0);
        CHECK(pthread_create(&threads[i], NULL, call_often, &own[i]) == 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(same(&first, &own[i]));
    }
    wrong_calls(&odd);

    uint32_t sum = 0;
    for (int i = 0; i < OUTPUTS; i++)
        for (size_t j = 0; j < output_bytes[i]; j++)
            sum = sum * 31 + ((uint8_t *)first.outputs[i])[j];
    printf("ok %u\n", (unsigned)sum);
    return 0;
}
