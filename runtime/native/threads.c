/* SPDX-License-Identifier: Apache-2.0 */
/* See threads.h. Linux only: waiting is a futex, so that a sleeping helper costs nothing.
 *
 * A job is cut into parts, of which every thread has a share: the same rows of one operator and of
 * the next, which then are in its core's cache. Whoever is done with his own share takes from the
 * other end of another's: a helper that the scheduler wakes late, or never, delays nobody. A
 * share's word carries the job's number beside the parts that are left, so a helper that is late
 * for a job cannot take a part of the one that follows; and a job does not end before every part
 * that was taken is done, so `job` is stable for whoever holds a part.
 *
 * Where other programs want the cores, help may cost more than it is worth: a helper that was
 * woken for nothing, or that the system set aside while it held a part. The caller keeps account of
 * what he lost and gained, and if he loses works alone for so long that it was little of the whole.
 * A helper that finds itself on the caller's core would only be in the way, and sleeps on.
 */
#define _GNU_SOURCE
#include "threads.h"

#if EDGE_THREADS > 1

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    HELPERS = EDGE_THREADS - 1,
    PARTS_PER_THREAD = 4,     /* evens out cores of unequal speed */
    SPINS = 4000,             /* about 20 µs: longer than most gaps between two kernels */
    STACK_BYTES = 256 * 1024, /* kernels keep big buffers in the arena */
    DEBT_NS = 50000,          /* what waking helpers may cost before they have helped */
    ALONE_FOR = 32,           /* times what help cost: no more than 3 % are lost to it */
};

static struct {
    edge_task task;
    void *context;
    int32_t tasks;
    int32_t parts;
} job;

/* Words that different threads write are on cache lines of their own. */
#define OWN_LINE _Alignas(64)
static struct {
    OWN_LINE _Atomic uint64_t left; /* job number << 32 | first part << 16 | one after the last */
} shares[EDGE_THREADS];
static OWN_LINE _Atomic uint32_t announced;  /* job number: the word helpers sleep on */
static OWN_LINE _Atomic uint32_t done;       /* parts done: the word the caller sleeps on */
static OWN_LINE _Atomic uint32_t asleep;     /* helpers sleeping, or about to */
static OWN_LINE _Atomic bool caller_asleep;
static OWN_LINE _Atomic bool taken;          /* a job, a start or a stop is going on */
static _Atomic bool more_follows;            /* another job is near: spinning pays */
static _Atomic bool stopping;
static _Atomic int32_t helpers;              /* that are running */
static _Atomic int32_t caller_core;
static bool started;                         /* only the one who holds `taken` looks */
static int64_t debt_ns, alone_until_ns;      /* likewise */
static pthread_t threads[HELPERS];

static void futex_wait(_Atomic uint32_t *word, uint32_t while_it_is) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_it_is, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* yield is a no-op on cores without threads; isb waits a little */
#elif defined(__riscv)
    __asm__ volatile(".4byte 0x0100000f"); /* pause: a hint, a no-op where it is not known */
#endif
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool on_callers_core(void) {
#ifdef EDGE_THREADS_ALWAYS
    return false;
#endif
    return sched_getcpu() == atomic_load(&caller_core);
}

/* Take a part of a share, the owner the first and others the last one; -1: none is left. */
static int32_t take(int32_t share, bool own, uint32_t number) {
    _Atomic uint64_t *left = &shares[share].left;
    uint64_t seen = atomic_load(left);
    for (;;) {
        int32_t first = (int32_t)(seen >> 16 & 0xffff), end = (int32_t)(seen & 0xffff);
        if ((uint32_t)(seen >> 32) != number || first == end) return -1;
        if (atomic_compare_exchange_weak(left, &seen, own ? seen + (1 << 16) : seen - 1))
            return own ? first : end - 1;
    }
}

static void work_on(int32_t part) {
    int32_t begin = (int32_t)((int64_t)job.tasks * part / job.parts);
    int32_t end = (int32_t)((int64_t)job.tasks * (part + 1) / job.parts);
    uint32_t parts = (uint32_t)job.parts;
    job.task(job.context, begin, end);
    if (atomic_fetch_add(&done, 1) + 1 == parts && atomic_load(&caller_asleep)) futex_wake(&done);
}

/* Do parts of the job until none is left; answers how many. `me`: the share to begin with. */
static int32_t help(uint32_t number, int32_t me) {
    int32_t parts = 0;
    for (int32_t i = 0; i < EDGE_THREADS; i++) {
        int32_t share = (me + i) % EDGE_THREADS, part;
        for (; (part = take(share, i == 0, number)) >= 0; parts++) work_on(part);
    }
    return parts;
}

static void *helper(void *share) {
    int32_t me = (int32_t)(intptr_t)share;
    uint32_t seen = 0;
    while (!atomic_load(&stopping)) {
        int spins = atomic_load(&more_follows) && !on_callers_core() ? SPINS : 0;
        for (int spin = 0; spin < spins && atomic_load(&announced) == seen; spin++) relax();
        if (atomic_load(&announced) == seen) {
            /* Counted before looking again: the caller announces first and then counts. */
            atomic_fetch_add(&asleep, 1);
            while (atomic_load(&announced) == seen) futex_wait(&announced, seen);
            atomic_fetch_sub(&asleep, 1);
        }
        seen = atomic_load(&announced);
        if (!on_callers_core()) help(seen, me);
    }
    return NULL;
}

static void announce(uint32_t number) {
    atomic_store(&announced, number);
    if (atomic_load(&asleep) != 0) futex_wake(&announced);
}

static int32_t usable_cores(void) {
#ifdef EDGE_THREADS_ALWAYS /* tests: helpers even where there are no cores for them */
    return EDGE_THREADS;
#endif
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return CPU_COUNT(&set);
}

/* The holder of `taken` calls this. Fewer helpers than asked for, or none, is no error. */
static void start(void) {
    int32_t wanted = usable_cores() - 1;
    if (wanted > HELPERS) wanted = HELPERS;
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    started = true;
    if (wanted <= 0 || pthread_attr_init(&attributes) != 0) return;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the gateway's loop's */
    int32_t running = 0;
    while (running < wanted && pthread_create(&threads[running], &attributes, helper,
                                              (void *)(intptr_t)(running + 1)) == 0)
        running++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    atomic_store(&helpers, running);
}

/* Put on account by how much a job took longer, or less long, than the caller alone would have
 * taken, who did `own` of its parts from `announced_ns` to `idle_ns`. */
static void reckon(int64_t begin_ns, int64_t announced_ns, int64_t idle_ns, int32_t own) {
    if (own == 0) return; /* the caller was late himself */
    int64_t end_ns = now_ns(), alone_ns = (idle_ns - announced_ns) * job.parts / own;
    debt_ns += end_ns - begin_ns - alone_ns;
    if (debt_ns < 0) debt_ns = 0;
    if (debt_ns <= DEBT_NS) return;
    alone_until_ns = end_ns + debt_ns * ALONE_FOR;
    debt_ns = 0;
}

static void wait_for_parts(uint32_t parts) {
    for (int spin = 0; spin < SPINS && atomic_load(&done) != parts; spin++) relax();
    if (atomic_load(&done) == parts) return;
    atomic_store(&caller_asleep, true);
    for (uint32_t now = atomic_load(&done); now != parts; now = atomic_load(&done))
        futex_wait(&done, now);
    atomic_store(&caller_asleep, false);
}

void edge_parallel(edge_task task, void *context, int32_t tasks, int32_t grain, int32_t more) {
    if (tasks <= 0) return;
    int32_t most = grain > 1 ? tasks / grain + (tasks % grain != 0) : tasks;
    if (most <= 1 || atomic_exchange(&taken, true)) {
        task(context, 0, tasks);
        return;
    }
    if (!started) start();
    int32_t workers = atomic_load(&helpers) + 1;
    int64_t begin_ns = now_ns();
    if (workers == 1 || begin_ns < alone_until_ns) {
        atomic_store(&taken, false);
        task(context, 0, tasks);
        return;
    }
    int32_t parts = workers * PARTS_PER_THREAD;
    if (parts > most) parts = most;
    uint32_t number = atomic_load(&announced) + 1;
    job.task = task;
    job.context = context;
    job.tasks = tasks;
    job.parts = parts;
    atomic_store(&more_follows, more != 0);
    atomic_store(&caller_core, sched_getcpu());
    atomic_store(&done, 0);
    for (int32_t i = 0; i < workers; i++) {
        uint32_t first = (uint32_t)(parts * i / workers);
        uint32_t end = (uint32_t)(parts * (i + 1) / workers);
        atomic_store(&shares[i].left, (uint64_t)number << 32 | first << 16 | end);
    }
    announce(number);
    int64_t announced_ns = now_ns();
    int32_t own = help(number, 0);
    int64_t idle_ns = now_ns();
    wait_for_parts((uint32_t)parts);
    reckon(begin_ns, announced_ns, idle_ns, own);
    atomic_store(&taken, false);
}

int32_t edge_threads_start(void) {
    if (!atomic_exchange(&taken, true)) {
        if (!started) start();
        atomic_store(&taken, false);
    }
    return atomic_load(&helpers) + 1;
}

void edge_threads_stop(void) {
    if (atomic_exchange(&taken, true)) return;
    int32_t running = atomic_load(&helpers);
    atomic_store(&stopping, true);
    announce(atomic_load(&announced) + 1);
    for (int32_t i = 0; i < running; i++) pthread_join(threads[i], NULL);
    atomic_store(&stopping, false);
    atomic_store(&helpers, 0);
    started = false;
    atomic_store(&taken, false);
}

#else
typedef int edge_threads_unused; /* a translation unit may not be empty */
#endif
