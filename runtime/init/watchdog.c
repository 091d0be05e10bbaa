/* SPDX-License-Identifier: Apache-2.0 */
/* Law: the hardware watchdog is fed by PID 1's main loop alone, so a stuck PID 1 restarts it. */
#include "edge-init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TIMEOUT_S = 15 }; /* the Raspberry Pi's counter ends at 15 s */

static int watchdog_fd = -1;

/* Quiet when there is none yet: a driver may bring it later, and this is called again. */
void watchdog_open(const char *path) {
  int timeout_s = TIMEOUT_S;
  if (watchdog_fd >= 0) return;
  watchdog_fd = open(path, O_WRONLY | O_CLOEXEC);
  if (watchdog_fd < 0) return;
  if (ioctl(watchdog_fd, WDIOC_SETTIMEOUT, &timeout_s) != 0)
    log_line("watchdog", "cannot set the time-out: %s", strerror(errno));
  log_line("watchdog", "%s restarts the device after %d s without a sign of life", path, timeout_s);
}

void watchdog_feed(void) {
  if (watchdog_fd >= 0) ioctl(watchdog_fd, WDIOC_KEEPALIVE, 0);
}

/* Armed while restarting: a restart that hangs is ended by the watchdog. */
void watchdog_close(bool keep_armed) {
  if (watchdog_fd < 0) return;
  if (!keep_armed) (void)!write(watchdog_fd, "V", 1);
  close(watchdog_fd);
  watchdog_fd = -1;
}
