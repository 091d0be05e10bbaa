/* SPDX-License-Identifier: Apache-2.0 */
/* Law: a driver is loaded when a device asks for it, after what it depends on, and once.
 *
 * The manifest has one line per module, fields separated by tabs: file, line numbers of what it
 * depends on (comma separated, or -), `always`, `match` or `depend`, then device aliases. */
#include "edge-init.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MODULES_MAX = 256, PATTERNS_MAX = 16384, WORKERS = 3 };

struct module {
  char *file, *depends, *policy;
  int first_pattern, end_pattern;
  bool tried;
};

static struct module modules[MODULES_MAX];
static int module_count;
static char *patterns[PATTERNS_MAX];
static int pattern_count;
static char module_directory[96];

static char *next_field(char **rest) {
  char *field = strsep(rest, "\t");
  return field ? field : (char *)"";
}

/* The initramfs has loaded most before the root file system's turn; the kernel would check a
 * module's signature before it says that it has the module already. */
static bool is_loaded(const struct module *module) {
  char path[256];
  size_t bytes = strcspn(module->file, ".");
  snprintf(path, sizeof path, "/sys/module/%.*s/initstate", (int)bytes, module->file);
  return access(path, F_OK) == 0;
}

bool modules_read(const char *directory) {
  char path[128];
  struct stat info;
  snprintf(module_directory, sizeof module_directory, "%s", directory);
  snprintf(path, sizeof path, "%s/manifest", directory);
  if (stat(path, &info) != 0) return false;
  char *text = malloc((size_t)info.st_size + 1); /* kept: the table points into it */
  if (!text || read_file(path, text, (size_t)info.st_size + 1) < 0) return false;
  module_count = pattern_count = 0;
  for (char *line; module_count < MODULES_MAX && (line = strsep(&text, "\n")) && *line;) {
    struct module *module = &modules[module_count++];
    module->file = next_field(&line);
    module->depends = next_field(&line);
    module->policy = next_field(&line);
    module->first_pattern = pattern_count;
    while (line && pattern_count < PATTERNS_MAX) patterns[pattern_count++] = strsep(&line, "\t");
    module->end_pattern = pattern_count;
    module->tried = is_loaded(module);
  }
  return true;
}

static bool load(struct module *module, int depth) {
  char path[256];
  if (module->tried || depth > 16) return false;
  module->tried = true;
  if (is_loaded(module)) return false; /* by another worker, by now */
  for (char *at = module->depends; *at && *at != '-';) {
    long index = strtol(at, &at, 10);
    if (index >= 0 && index < module_count) load(&modules[index], depth + 1);
    if (*at == ',') at++;
  }
  snprintf(path, sizeof path, "%s/%s", module_directory, module->file);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  long result = fd < 0 ? -1 : syscall(SYS_finit_module, fd, "", 0);
  if (result != 0 && errno != EEXIST)
    log_line("modules", "%s: %s", module->file, strerror(errno));
  if (fd >= 0) close(fd);
  return result == 0;
}

/* Nearly all patterns differ from an alias before their first wildcard: deciding that here, and
 * not in fnmatch, takes a second off the start of an emulated machine. */
static bool matches(const char *pattern, const char *alias) {
  size_t at = 0;
  while (pattern[at] && pattern[at] != '*' && pattern[at] != '?' && pattern[at] != '[') {
    if (pattern[at] != alias[at]) return false;
    at++;
  }
  return fnmatch(pattern + at, alias + at, 0) == 0;
}

static bool wants(const struct module *module, const char *alias) {
  for (int i = module->first_pattern; i < module->end_pattern; i++)
    if (matches(patterns[i], alias)) return true;
  return false;
}

static void mark(const char *alias, bool *wanted) {
  for (int i = 0; i < module_count; i++)
    if (!modules[i].tried && !wanted[i]) wanted[i] = wants(&modules[i], alias);
}

static void mark_all(const char *pattern, bool *wanted) {
  glob_t found;
  char alias[2048];
  if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0) return;
  for (size_t i = 0; i < found.gl_pathc; i++) {
    if (read_file(found.gl_pathv[i], alias, sizeof alias) <= 0) continue;
    alias[strcspn(alias, "\n")] = 0;
    mark(alias, wanted);
  }
  globfree(&found);
}

/* Checking signatures and probing devices takes most of the time: share it among CPUs. The
 * kernel copes with two processes that load one module. Returns how many were to be loaded. */
static int load_wanted(const bool *wanted) {
  pid_t workers[WORKERS];
  int count = 0;
  for (int worker = 0; worker < WORKERS; worker++) {
    workers[worker] = fork();
    if (workers[worker] > 0) continue;
    for (int i = 0, turn = 0; i < module_count; i++)
      if (wanted[i] && (turn++ % WORKERS == worker || workers[worker] < 0)) load(&modules[i], 0);
    if (workers[worker] == 0) _exit(0);
  }
  for (int i = 0; i < module_count; i++) {
    modules[i].tried |= wanted[i];
    count += wanted[i];
  }
  for (int worker = 0; worker < WORKERS; worker++)
    if (workers[worker] > 0) waitpid(workers[worker], NULL, 0);
  return count;
}

void modules_match(const char *alias) {
  for (int i = 0; i < module_count; i++)
    if (!modules[i].tried && wants(&modules[i], alias)) load(&modules[i], 0);
}

int modules_coldplug(bool always) {
  bool wanted[MODULES_MAX] = {false};
  bool any = false;
  for (int i = 0; always && i < module_count; i++)
    wanted[i] = !modules[i].tried && strcmp(modules[i].policy, "always") == 0;
  mark_all("/sys/bus/*/devices/*/modalias", wanted);
  mark_all("/sys/class/input/*/modalias", wanted);
  mark_all("/sys/devices/system/cpu/modalias", wanted);
  for (int i = 0; i < module_count; i++) any |= wanted[i];
  return any ? load_wanted(wanted) : 0;
}

int uevent_open(void) {
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
  int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    close(fd);
    fd = -1;
  }
  return fd;
}

void uevent_read(int socket_fd) {
  char text[8192];
  ssize_t bytes;
  while ((bytes = recv(socket_fd, text, sizeof text - 1, 0)) > 0) {
    text[bytes] = 0;
    if (strncmp(text, "add@", 4) != 0 && strncmp(text, "bind@", 5) != 0) continue;
    for (char *at = text; at < text + bytes; at += strlen(at) + 1)
      if (strncmp(at, "MODALIAS=", 9) == 0) modules_match(at + 9);
  }
  /* The kernel drops announcements when it must: look at everything again. */
  if (bytes < 0 && errno == ENOBUFS) modules_coldplug(false);
}
