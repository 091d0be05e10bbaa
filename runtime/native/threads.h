/* SPDX-License-Identifier: Apache-2.0 */
/* A static pool of threads for kernels that are split over cores.
 *
 * EDGE_THREADS is the greatest number of threads that work at once, the caller's included. Where
 * it is 1 or not defined (WebAssembly, microcontrollers, one core) edge_parallel is a plain call
 * and nothing here needs threads.
 */
#ifndef EDGE_THREADS_H
#define EDGE_THREADS_H

#include <stdint.h>

#ifndef EDGE_THREADS
#define EDGE_THREADS 1
#endif

/* Does the tasks begin … end - 1 of a job. Which thread does a task never shows in its result. */
typedef void (*edge_task)(void *context, int32_t begin, int32_t end);

#if EDGE_THREADS > 1

/* Do the tasks 0 … tasks - 1 and return when all are done. Starts the pool at first use.
 * About `grain` tasks or more are done at a time. `more` says that another job follows within
 * microseconds: helpers stay awake for it, otherwise they sleep. While helpers cost more than they
 * gain, because other programs have the cores, the caller does without.
 *
 * Safe to call from several threads: one job has the pool at a time, and a caller that finds it
 * taken does its tasks itself. Never fails: without helpers the caller does everything. */
void edge_parallel(edge_task task, void *context, int32_t tasks, int32_t grain, int32_t more);

/* Start the helpers now. Answers how many threads work at once, the caller's included. */
int32_t edge_threads_start(void);

/* End the helpers; no job may be running. A later job starts them again. */
void edge_threads_stop(void);

#else

static inline void edge_parallel(edge_task task, void *context, int32_t tasks, int32_t grain,
                                 int32_t more) {
    (void)grain;
    (void)more;
    if (tasks > 0) task(context, 0, tasks);
}
static inline int32_t edge_threads_start(void) { return 1; }
static inline void edge_threads_stop(void) {}

#endif
#endif
