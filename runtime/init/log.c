/* SPDX-License-Identifier: Apache-2.0 */
/* Law: a log can lose lines but never fills the data partition or blocks the system. */
#include "edge-init.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOG_BYTES_MAX = 256 * 1024 };

static int log_fd = -1;
static char log_path[128];
static off_t log_bytes;

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void log_open(const char *path) {
  struct stat info;
  snprintf(log_path, sizeof log_path, "%s", path);
  log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  log_bytes = log_fd >= 0 && fstat(log_fd, &info) == 0 ? info.st_size : 0;
}

void log_close(void) {
  if (log_fd >= 0) {
    fsync(log_fd);
    close(log_fd);
  }
  log_fd = -1;
}

/* Two files of LOG_BYTES_MAX each: the newest lines and those before them. */
static void rotate(void) {
  char older[sizeof log_path + 2];
  snprintf(older, sizeof older, "%s.1", log_path);
  close(log_fd);
  rename(log_path, older);
  log_open(log_path);
}

void log_line(const char *who, const char *format, ...) {
  char text[400];
  int64_t at = now_ms();
  int head = snprintf(text, sizeof text, "[%5lld.%03lld] %s: ", (long long)(at / 1000),
                      (long long)(at % 1000), who);
  va_list arguments;
  va_start(arguments, format);
  int body = vsnprintf(text + head, sizeof text - (size_t)head - 1, format, arguments);
  va_end(arguments);
  size_t bytes = (size_t)head + (size_t)(body < 0 ? 0 : body);
  if (bytes > sizeof text - 2) bytes = sizeof text - 2;
  text[bytes++] = '\n';
  (void)!write(STDOUT_FILENO, text, bytes);
  if (log_fd < 0) return;
  if (log_bytes + (off_t)bytes > LOG_BYTES_MAX) rotate();
  if (log_fd >= 0 && write(log_fd, text, bytes) > 0) log_bytes += (off_t)bytes;
}
