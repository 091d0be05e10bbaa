/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of a firmware image. Law: it never exits and never waits for one thing only. */
#ifndef EDGE_INIT_H
#define EDGE_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* log.c: lines go to the console at once, and to a bounded file once there is a place for it. */
void log_open(const char *path);
void log_close(void);
void log_line(const char *who, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t now_ms(void);

/* files.c */
ssize_t read_file(const char *path, char *out, size_t room); /* bytes read, always terminated; -1 */
bool write_file(const char *path, const char *text);
bool kernel_argument(const char *key, char *out, size_t room);
bool make_directory(const char *path, mode_t mode, uid_t owner);

/* modules.c: drivers named in a manifest, loaded when a device asks for them. */
bool modules_read(const char *directory);
void modules_match(const char *alias);
int modules_coldplug(bool always); /* for the devices that are there; how many it loaded */
int uevent_open(void);
void uevent_read(int socket_fd); /* matches what new devices announce */

/* stage1.c and system.c: each ends in exec or in a reboot. */
int stage1_main(void);
int system_main(void);
int dhcp_hook_main(void);

/* clock.c */
void clock_start(int64_t floor_s);
void clock_save(void);

/* watchdog.c */
void watchdog_open(const char *path);
void watchdog_feed(void);
void watchdog_close(bool keep_armed);

/* power.c: power buttons. */
int power_open(int *fds, int room);
bool power_pressed(int fd);

/* service.c */
struct service {
  const char *name;
  char *const *argv;
  uid_t uid;        /* 0 keeps root */
  bool on_console;  /* talks to the console, not to the log */
  pid_t pid;        /* 0 when not running */
  int output_fd;    /* its stdout and stderr; -1 when closed */
  int64_t started_ms;
  int64_t start_at_ms; /* when to start it; 0 when it is running */
  int backoff_ms;
  char line[240];
  size_t line_bytes;
};
void service_start(struct service *service);
void service_exited(struct service *service, int status);
void service_output(struct service *service);
void service_stop(struct service *service, int grace_ms);

#endif
