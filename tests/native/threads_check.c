/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs of many sizes on the pool, from one caller and from several: every task done once. And the
 * caller works alone for a while after helpers kept him waiting. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "threads.h"

enum { MOST_TASKS = 300, ROUNDS = 200, CALLERS = 3, TRIES = 1000, SLOW_NS = 20000000 };

struct work {
    int32_t times_done[MOST_TASKS];
    float sums[MOST_TASKS];
};

static void count(void *context, int32_t begin, int32_t end) {
    struct work *work = context;
    for (int32_t task = begin; task < end; task++) {
        float sum = 0.0f;
        for (int i = 1; i < 50; i++) sum += 1.0f / (float)(i * (task + 1));
        work->sums[task] = sum;
        work->times_done[task]++;
    }
}

static void *caller(void *result) {
    struct work *work = malloc(sizeof *work), *alone = malloc(sizeof *alone);
    for (int round = 0; round < ROUNDS; round++) {
        int32_t tasks = round * 7 % MOST_TASKS;
        memset(work, 0, sizeof *work);
        memset(alone, 0, sizeof *alone);
        edge_parallel(count, work, tasks, 1 + round % 5, round % 3);
        count(alone, 0, tasks);
        if (memcmp(work, alone, sizeof *work) != 0) *(int *)result = 1;
    }
    free(work);
    free(alone);
    return NULL;
}

static pthread_t first;
static _Atomic int calls;

/* What a helper does takes long. */
static void slow(void *context, int32_t begin, int32_t end) {
    (void)context, (void)begin, (void)end;
    atomic_fetch_add(&calls, 1);
    if (pthread_equal(pthread_self(), first)) return;
    nanosleep(&(struct timespec){.tv_nsec = SLOW_NS}, NULL);
}

/* Parts of a job: 25 tasks in thirteens are two. */
static int parts(void) {
    atomic_store(&calls, 0);
    edge_parallel(slow, NULL, 25, 13, 1);
    return atomic_load(&calls);
}

static int helpers_that_are_slow(int32_t workers) {
    if (parts() != (workers > 1 ? 2 : 1)) return 1;
    for (int i = 0; i < TRIES; i++)
        if (parts() == 1) return 0;
    return 1;
}

int main(void) {
    int wrong[CALLERS + 1] = {0};
    pthread_t threads[CALLERS];
    first = pthread_self();
    int32_t workers = edge_threads_start();
    if (helpers_that_are_slow(workers)) return 2;
    caller(&wrong[CALLERS]);
    edge_threads_stop();
    for (int i = 0; i < CALLERS; i++) pthread_create(&threads[i], NULL, caller, &wrong[i]);
    for (int i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
    edge_threads_stop();
    for (int i = 0; i <= CALLERS; i++)
        if (wrong[i]) return 1;
    printf("%d\n", workers);
    return 0;
}
