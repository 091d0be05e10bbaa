/* SPDX-License-Identifier: Apache-2.0 */
/* The timing loop around one bundle, as a shared object that the bench worker loads.
 *
 * Compiled with -DEDGE_MODEL=<name>. The clock is read outside of the loop, so that what is
 * timed is the bundle and nothing else. With -DEDGE_PROFILE the bundle's driver calls
 * edge_profile_mark after every operator, and the ticks between two marks are added up.
 */
#include <stdint.h>
#include <stddef.h>
#include <time.h>

#define JOIN3(a, b, c) a##b##c
#define NAME(model, what) JOIN3(edge_, model, what)
#define MODEL(what) NAME(EDGE_MODEL, what)
#define EXPORT __attribute__((visibility("default")))

size_t MODEL(_arena_bytes)(void);
int32_t MODEL(_run)(const void *const *inputs, void *const *outputs, void *arena);

EXPORT size_t edge_bench_arena_bytes(void) { return MODEL(_arena_bytes)(); }

/* One thread's own time leaves out when the system ran something else; several threads need
 * the wall's. */
static clockid_t clock_used = CLOCK_MONOTONIC;

EXPORT void edge_bench_own_time(void) { clock_used = CLOCK_THREAD_CPUTIME_ID; }

static int64_t read_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Run `repetitions` times; nanoseconds in all, or the bundle's negative error. In *wall_ns the
 * wall's nanoseconds: a guest's system takes time that its host stole off a thread's own time in
 * lumps, so that of single samples only the wall's may be called the shortest. */
EXPORT int64_t edge_bench_run(const void *const *inputs, void *const *outputs, void *arena,
                              int64_t repetitions, int64_t *wall_ns) {
    int64_t own = read_ns(clock_used), wall = read_ns(CLOCK_MONOTONIC);
    for (int64_t i = 0; i < repetitions; i++) {
        int32_t status = MODEL(_run)(inputs, outputs, arena);
        if (status != 0) return status;
    }
    *wall_ns = read_ns(CLOCK_MONOTONIC) - wall;
    return read_ns(clock_used) - own;
}

#ifdef EDGE_PROFILE
/* Cycle counters cost a few nanoseconds to read where clock_gettime costs tens. What was begun
 * before has ended when they are read, and what comes later has not begun: otherwise a small
 * operator would hide behind the reading, and seem to take no time. */
static inline uint64_t ticks(void) {
#if defined(__x86_64__)
    __builtin_ia32_lfence();
    uint64_t value = __builtin_ia32_rdtsc();
    __builtin_ia32_lfence();
    return value;
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ volatile("isb\n mrs %0, cntvct_el0\n isb" : "=r"(value) : : "memory");
    return value;
#else
    return (uint64_t)read_ns(CLOCK_MONOTONIC);
#endif
}

enum { MAX_OPERATORS = 4096 };
static uint64_t spent[MAX_OPERATORS];
static uint64_t last_mark;

void edge_profile_mark(int32_t operator_index);
void edge_profile_mark(int32_t operator_index) {
    uint64_t now = ticks();
    if (operator_index >= 0 && operator_index < MAX_OPERATORS)
        spent[operator_index] += now - last_mark;
    last_mark = ticks();
}

/* What a mark itself adds to an operator's ticks. */
static double mark_ticks(void) {
    enum { TIMES = 1000 };
    spent[0] = 0;
    edge_profile_mark(-1);
    for (int i = 0; i < TIMES; i++) edge_profile_mark(0);
    return (double)spent[0] / TIMES;
}

/* Like edge_bench_run, and the wall's nanoseconds of operator i, all repetitions together, in
 * nanoseconds[i]. */
EXPORT int64_t edge_bench_profile(const void *const *inputs, void *const *outputs, void *arena,
                                  int64_t repetitions, int64_t *wall_ns, int32_t operators,
                                  double *nanoseconds) {
    if (operators < 0 || operators > MAX_OPERATORS) return -1;
    double own = mark_ticks() * (double)repetitions;
    for (int32_t i = 0; i < operators; i++) spent[i] = 0;
    uint64_t first = ticks();
    int64_t elapsed = edge_bench_run(inputs, outputs, arena, repetitions, wall_ns);
    double per_tick = (double)*wall_ns / (double)(ticks() - first);
    for (int32_t i = 0; i < operators; i++) {
        double ticks_of_operator = (double)spent[i] - own;
        nanoseconds[i] = ticks_of_operator > 0 ? ticks_of_operator * per_tick : 0;
    }
    return elapsed;
}
#endif
