/* SPDX-License-Identifier: Apache-2.0 */
/* Law: time never goes back across a restart, even on a board without a clock of its own. */
#include "edge-init.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static const char SAVED[] = "/data/system/clock";

/* The kernel has read a real-time clock by now, if there is one. What is older than the image
 * itself, or than the last time that was saved, cannot be right. */
void clock_start(int64_t floor_s) {
  char text[32];
  int64_t saved = read_file(SAVED, text, sizeof text) > 0 ? strtoll(text, NULL, 10) : 0;
  int64_t least = saved > floor_s ? saved : floor_s;
  if ((int64_t)time(NULL) >= least) return;
  struct timeval now = {.tv_sec = (time_t)least};
  if (settimeofday(&now, NULL) == 0)
    log_line("clock", "no usable clock; continuing from %s", saved > floor_s ? "the last run" : "the image's date");
}

void clock_save(void) {
  char text[32];
  snprintf(text, sizeof text, "%lld\n", (long long)time(NULL));
  if (write_file("/data/system/clock.new", text)) rename("/data/system/clock.new", SAVED);
}
