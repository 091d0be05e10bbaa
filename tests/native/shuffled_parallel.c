/* SPDX-License-Identifier: Apache-2.0 */
/* A pool without threads that cuts every job at random and does the parts in random order: what
 * a scheduler could make of it, and what no scheduler is likely to. EDGE_SEED says which. */
#include <stdint.h>
#include <stdlib.h>

enum { MOST_PARTS = 64 };

static uint32_t state;

static uint32_t next(uint32_t below) {
    if (state == 0) {
        const char *seed = getenv("EDGE_SEED");
        state = seed == NULL ? 1 : (uint32_t)strtoul(seed, NULL, 10) * 2654435761u + 1;
    }
    state = state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(state >> 8) * below) >> 24);
}

void edge_parallel(void (*task)(void *, int32_t, int32_t), void *context, int32_t tasks,
                   int32_t grain, int32_t more);
void edge_parallel(void (*task)(void *, int32_t, int32_t), void *context, int32_t tasks,
                   int32_t grain, int32_t more) {
    int32_t ends[MOST_PARTS + 1] = {0};
    int32_t order[MOST_PARTS], parts = 0;
    (void)grain;
    (void)more;
    while (ends[parts] < tasks) {
        int32_t left = tasks - ends[parts];
        int32_t taken = parts == MOST_PARTS - 1 ? left : 1 + (int32_t)next((uint32_t)left);
        ends[parts + 1] = ends[parts] + taken;
        order[parts] = parts;
        parts++;
    }
    for (int32_t i = parts - 1; i > 0; i--) {
        int32_t j = (int32_t)next((uint32_t)i + 1), other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
    for (int32_t i = 0; i < parts; i++) task(context, ends[order[i]], ends[order[i] + 1]);
}
