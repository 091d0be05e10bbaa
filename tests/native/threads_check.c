/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs of many sizes on the pool, from one caller and from several: every task done once. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "threads.h"

enum { MOST_TASKS = 300, ROUNDS = 200, CALLERS = 3 };

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

int main(void) {
    int wrong[CALLERS + 1] = {0};
    pthread_t threads[CALLERS];
    int32_t workers = edge_threads_start();
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
