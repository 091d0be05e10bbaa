/* SPDX-License-Identifier: Apache-2.0 */
#include "edge-init.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t read_file(const char *path, char *out, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t bytes = 0;
  ssize_t got = 0;
  while (bytes + 1 < room && (got = read(fd, out + bytes, room - 1 - bytes)) > 0)
    bytes += (size_t)got;
  close(fd);
  out[bytes] = 0;
  return got < 0 ? -1 : (ssize_t)bytes;
}

bool write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return false;
  bool whole = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  close(fd);
  return whole;
}

/* The value of `key=value` on the kernel's command line; the last one wins. */
bool kernel_argument(const char *key, char *out, size_t room) {
  char line[4096];
  bool found = false;
  size_t key_bytes = strlen(key);
  if (read_file("/proc/cmdline", line, sizeof line) < 0) return false;
  for (char *save = NULL, *word = strtok_r(line, " \n", &save); word;
       word = strtok_r(NULL, " \n", &save)) {
    if (strncmp(word, key, key_bytes) != 0 || word[key_bytes] != '=') continue;
    found = strlen(word + key_bytes + 1) < room;
    if (found) strcpy(out, word + key_bytes + 1);
  }
  return found;
}

/* Owner and mode are set on a directory that exists too: the data partition may be older. */
bool make_directory(const char *path, mode_t mode, uid_t owner) {
  if (mkdir(path, mode) != 0 && errno != EEXIST) return false;
  return lchown(path, owner, owner) == 0 && chmod(path, mode) == 0;
}
