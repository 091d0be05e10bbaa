/* SPDX-License-Identifier: Apache-2.0 */
/* In the initramfs: find the root partition by the name the kernel was told, and move into it.
 * Law: nothing is mounted by device name, for device names depend on what else is plugged in. */
#include "edge-init.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOT_WAIT_MS = 60000, RETRY_MS = 100 };

static bool field_is(const char *uevent, const char *key, const char *value) {
  const char *at = strstr(uevent, key);
  return at && strncmp(at + strlen(key), value, strlen(value)) == 0 &&
         at[strlen(key) + strlen(value)] == '\n';
}

/* The disk that a partition is on: the name of its parent folder in sysfs. */
static bool disk_of(const char *partition, char *out, size_t room) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/sys/class/block/%.32s/..", partition);
  if (!realpath(link, path)) return false;
  snprintf(out, room, "%s", strrchr(path, '/') + 1);
  return true;
}

/* Finds a partition by GPT name; on the same disk as `beside` when that is given. */
static bool find_partition(const char *name, const char *beside, char *out, size_t room) {
  char disk[64] = "", other[64] = "", path[300], uevent[1024];
  if (beside && !disk_of(beside, disk, sizeof disk)) return false;
  DIR *all = opendir("/sys/class/block");
  bool found = false;
  for (struct dirent *entry; all && !found && (entry = readdir(all));) {
    snprintf(path, sizeof path, "/sys/class/block/%s/uevent", entry->d_name);
    if (entry->d_name[0] == '.' || read_file(path, uevent, sizeof uevent) <= 0) continue;
    if (!field_is(uevent, "PARTNAME=", name)) continue;
    if (beside && (!disk_of(entry->d_name, other, sizeof other) || strcmp(disk, other) != 0))
      continue;
    found = strlen(entry->d_name) < room;
    if (found) strcpy(out, entry->d_name);
  }
  if (all) closedir(all);
  return found;
}

static bool wait_for_partition(const char *name, char *out, size_t room) {
  struct pollfd events = {.fd = uevent_open(), .events = POLLIN};
  int64_t end = now_ms() + ROOT_WAIT_MS;
  do {
    while (modules_coldplug(true) > 0) continue; /* a bus driver shows new devices */
    if (find_partition(name, NULL, out, room)) break;
    poll(&events, 1, RETRY_MS);
    if (events.fd >= 0) uevent_read(events.fd);
  } while (now_ms() < end);
  if (events.fd >= 0) close(events.fd);
  return out[0] != 0;
}

static bool mount_partition(const char *partition, const char *where, const char *type,
                            unsigned long flags) {
  char device[64];
  snprintf(device, sizeof device, "/dev/%.40s", partition);
  if (mount(device, where, type, flags, "") == 0) return true;
  log_line("init", "cannot mount %s (%s) at %s: %s", device, type, where, strerror(errno));
  return false;
}

static void mount_data(const char *root) {
  char data[64] = "";
  const unsigned long flags = MS_NODEV | MS_NOSUID | MS_NOEXEC | MS_NOATIME;
  if (find_partition("edge-data", root, data, sizeof data) &&
      mount_partition(data, "/sysroot/data", "ext4", flags))
    return;
  /* Serving without memory of the past beats not serving; the log says which it is. */
  log_line("init", "no data partition: /data is lost at power-off");
  mount("tmpfs", "/sysroot/data", "tmpfs", flags, "mode=0755,size=16m");
}

/* The initramfs's files would stay in memory for ever. */
static void remove_tree(const char *path) {
  char child[512];
  DIR *all = opendir(path);
  for (struct dirent *entry; all && (entry = readdir(all));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
    unlink(child);
  }
  if (all) closedir(all);
}

static _Noreturn void give_up(const char *why) {
  log_line("init", "%s; restarting in 10 s", why);
  sleep(10);
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}

static void switch_root(void) {
  static const char *const moved[] = {"/dev", "/proc", "/sys"};
  char target[24];
  remove_tree("/modules");
  unlink("/init");
  for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
    snprintf(target, sizeof target, "/sysroot%s", moved[i]);
    mount(moved[i], target, NULL, MS_MOVE, NULL);
  }
  if (chdir("/sysroot") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 ||
      chdir("/") != 0)
    give_up("cannot move into the root file system");
  execl("/sbin/init", "/sbin/init", (char *)NULL);
  give_up("the root file system has no /sbin/init");
}

int stage1_main(void) {
  char name[64], root[64] = "";
  const unsigned long safe = MS_NOSUID | MS_NOEXEC | MS_NODEV;
  mount("proc", "/proc", "proc", safe, "");
  mount("sysfs", "/sys", "sysfs", safe, "");
  mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755");
  if (!kernel_argument("edge.root", name, sizeof name)) give_up("no edge.root= was given");
  if (!modules_read("/modules")) log_line("init", "no module manifest");
  if (!wait_for_partition(name, root, sizeof root)) give_up("the root partition did not appear");
  if (!mount_partition(root, "/sysroot", "erofs", MS_RDONLY | MS_NODEV | MS_NOSUID))
    give_up("cannot mount the root file system");
  mount_data(root);
  log_line("init", "root is %s on %s", name, root);
  switch_root();
  return 1;
}
