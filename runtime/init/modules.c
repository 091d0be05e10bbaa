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
#include <unistd.h>

enum { MODULES_MAX = 256 };

struct module {
  char *file, *depends, *policy, *aliases; /* aliases: tab separated */
  bool tried;
};

static struct module modules[MODULES_MAX];
static int module_count;
static char module_directory[96];

static char *next_field(char **rest) {
  char *field = strsep(rest, "\t");
  return field ? field : (char *)"";
}

bool modules_read(const char *directory) {
  char path[128];
  struct stat info;
  snprintf(module_directory, sizeof module_directory, "%s", directory);
  snprintf(path, sizeof path, "%s/manifest", directory);
  if (stat(path, &info) != 0) return false;
  char *text = malloc((size_t)info.st_size + 1); /* kept: the table points into it */
  if (!text || read_file(path, text, (size_t)info.st_size + 1) < 0) return false;
  module_count = 0;
  for (char *line; module_count < MODULES_MAX && (line = strsep(&text, "\n")) && *line;) {
    struct module *module = &modules[module_count++];
    module->file = next_field(&line);
    module->depends = next_field(&line);
    module->policy = next_field(&line);
    module->aliases = line ? line : (char *)"";
  }
  return true;
}

static bool load(struct module *module, int depth) {
  char path[256];
  if (module->tried || depth > 16) return false;
  module->tried = true;
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

void modules_load_always(void) {
  for (int i = 0; i < module_count; i++)
    if (strcmp(modules[i].policy, "always") == 0) load(&modules[i], 0);
}

static bool wants(const struct module *module, const char *alias) {
  char pattern[256];
  for (const char *at = module->aliases; *at;) {
    size_t bytes = strcspn(at, "\t");
    if (bytes < sizeof pattern) {
      memcpy(pattern, at, bytes);
      pattern[bytes] = 0;
      if (fnmatch(pattern, alias, 0) == 0) return true;
    }
    at += bytes + (at[bytes] == '\t');
  }
  return false;
}

int modules_match(const char *alias) {
  int loaded = 0;
  for (int i = 0; i < module_count; i++)
    if (!modules[i].tried && wants(&modules[i], alias)) loaded += load(&modules[i], 0);
  return loaded;
}

static int match_all(const char *pattern) {
  glob_t found;
  char alias[2048];
  int loaded = 0;
  if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0) return 0;
  for (size_t i = 0; i < found.gl_pathc; i++) {
    if (read_file(found.gl_pathv[i], alias, sizeof alias) <= 0) continue;
    alias[strcspn(alias, "\n")] = 0;
    loaded += modules_match(alias);
  }
  globfree(&found);
  return loaded;
}

int modules_coldplug(void) {
  return match_all("/sys/bus/*/devices/*/modalias") + match_all("/sys/class/input/*/modalias") +
         match_all("/sys/devices/system/cpu/modalias");
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
  if (bytes < 0 && errno == ENOBUFS) modules_coldplug();
}
