/* SPDX-License-Identifier: Apache-2.0 */
/* In the root file system: sets the machine up, then watches over it in one loop.
 * Law: every wait has an end, and the watchdog is fed between any two of them. */
#include "edge-init.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  GATEWAY_UID = 65532,
  ARGUMENTS_MAX = 16,
  BUTTONS_MAX = 4,
  TICK_MS = 5000,
  CLOCK_SAVE_MS = 600000,
  GRACE_MS = 5000,
};

enum { DHCP, GATEWAY, SHELL, SERVICES };

static char *gateway_argv[ARGUMENTS_MAX + 1];
static char *shell_argv[] = {NULL, (char *)"sh", NULL};
static char *dhcp_argv[] = {(char *)"/sbin/dhcpcd", (char *)"--nobackground", (char *)"--config",
                            (char *)"/etc/dhcpcd.conf", NULL};
static struct service services[SERVICES] = {
    [DHCP] = {.name = "dhcpcd", .argv = dhcp_argv, .output_fd = -1},
    [GATEWAY] = {.name = "gateway", .argv = gateway_argv, .uid = GATEWAY_UID, .output_fd = -1},
    [SHELL] = {.name = "shell", .argv = shell_argv, .on_console = true, .output_fd = -1},
};
static char watchdog_path[64];

static void set_hostname(const char *name) { sethostname(name, strlen(name)); }

/* /etc/edge/init.conf: one `key value` a line, written by the image's build. */
static void read_configuration(void) {
  static char text[4096];
  int arguments = 0;
  char *rest = text;
  if (read_file("/etc/edge/init.conf", text, sizeof text) < 0)
    log_line("init", "no /etc/edge/init.conf");
  for (char *line; (line = strsep(&rest, "\n"));) {
    char *key = strsep(&line, " ");
    if (!line) continue;
    if (strcmp(key, "hostname") == 0) set_hostname(line);
    if (strcmp(key, "clock-floor") == 0) clock_start(strtoll(line, NULL, 10));
    if (strcmp(key, "watchdog") == 0) snprintf(watchdog_path, sizeof watchdog_path, "%s", line);
    if (strcmp(key, "gateway") == 0 && arguments < ARGUMENTS_MAX) gateway_argv[arguments++] = line;
    if (strcmp(key, "insecure-debug-shell") == 0) shell_argv[0] = line;
  }
}

static void harden_kernel(void) {
  static const char *const settings[][2] = {
      {"kernel/panic", "10"}, /* restart instead of standing still */
      {"kernel/panic_on_oops", "1"},
      {"kernel/kptr_restrict", "2"},
      {"kernel/dmesg_restrict", "1"},
      {"kernel/unprivileged_bpf_disabled", "1"},
      {"kernel/sysrq", "0"},
      {"fs/protected_symlinks", "1"},
      {"fs/protected_hardlinks", "1"},
      {"net/ipv4/conf/all/accept_redirects", "0"},
      {"net/ipv6/conf/all/accept_redirects", "0"},
  };
  char path[96];
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    snprintf(path, sizeof path, "/proc/sys/%s", settings[i][0]);
    write_file(path, settings[i][1]);
  }
}

static void bring_up_loopback(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  request.ifr_flags = IFF_UP;
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
    log_line("network", "cannot bring up the loopback interface: %s", strerror(errno));
  if (fd >= 0) close(fd);
}

static void set_up(void) {
  const unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  mount("tmpfs", "/run", "tmpfs", safe, "mode=0755,size=10%");
  mount("tmpfs", "/tmp", "tmpfs", safe, "mode=1777,size=10%");
  write_file("/proc/self/oom_score_adj", "-900");
  make_directory("/data/system", 0755, 0);
  make_directory("/data/system/dhcp", 0755, 0);
  make_directory("/data/log", 0750, 0);
  make_directory("/data/gateway", 0700, GATEWAY_UID);
  log_open("/data/log/system.log");
  write_file("/run/resolv.conf", "");
  harden_kernel();
  bring_up_loopback();
  read_configuration();
  if (!modules_read("/usr/lib/edge/modules")) log_line("init", "no module manifest");
  modules_coldplug(true);
}

static int open_signals(void) {
  sigset_t all;
  sigemptyset(&all);
  sigaddset(&all, SIGCHLD);
  sigaddset(&all, SIGTERM);
  sigaddset(&all, SIGINT);
  sigprocmask(SIG_BLOCK, &all, NULL);
  signal(SIGPIPE, SIG_IGN);
  reboot(RB_DISABLE_CAD); /* Ctrl-Alt-Delete becomes SIGINT */
  return signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void reap(void) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
    for (int i = 0; i < SERVICES; i++)
      if (services[i].pid == pid) service_exited(&services[i], status);
}

/* Starts what is due; returns how long nothing is due. */
static int start_due(void) {
  int64_t now = now_ms(), wait = TICK_MS;
  for (int i = 0; i < SERVICES; i++) {
    if (!services[i].argv[0] || services[i].pid > 0) continue;
    if (services[i].start_at_ms <= now) service_start(&services[i]);
    else if (services[i].start_at_ms - now < wait) wait = services[i].start_at_ms - now;
  }
  return (int)wait;
}

static _Noreturn void stop(int how) {
  log_line("init", how == RB_AUTOBOOT ? "restarting" : "powering off");
  service_stop(&services[GATEWAY], GRACE_MS);
  service_stop(&services[DHCP], GRACE_MS);
  kill(-1, SIGKILL);
  clock_save();
  log_close();
  sync();
  if (umount2("/data", 0) != 0) mount(NULL, "/data", NULL, MS_REMOUNT | MS_RDONLY, NULL);
  watchdog_close(how == RB_AUTOBOOT);
  reboot(how);
  for (;;) pause();
}

/* 0, or the way in which the system is to stop. */
static int read_signals(int fd) {
  struct signalfd_siginfo info;
  int how = 0;
  while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGTERM) how = RB_POWER_OFF;
    if (info.ssi_signo == SIGINT) how = RB_AUTOBOOT;
  }
  reap();
  return how;
}

static void watch(int signal_fd, int uevent_fd) {
  int buttons[BUTTONS_MAX], button_count = power_open(buttons, BUTTONS_MAX), how = 0;
  int64_t save_at_ms = now_ms() + CLOCK_SAVE_MS;
  while (how == 0) {
    int wait_ms = start_due();
    struct pollfd polled[2 + SERVICES + BUTTONS_MAX] = {{.fd = signal_fd, .events = POLLIN},
                                                        {.fd = uevent_fd, .events = POLLIN}};
    for (int i = 0; i < SERVICES; i++)
      polled[2 + i] = (struct pollfd){.fd = services[i].output_fd, .events = POLLIN};
    for (int i = 0; i < button_count; i++)
      polled[2 + SERVICES + i] = (struct pollfd){.fd = buttons[i], .events = POLLIN};
    poll(polled, (nfds_t)(2 + SERVICES + button_count), wait_ms);
    watchdog_open(watchdog_path);
    watchdog_feed();
    for (int i = 0; i < SERVICES; i++)
      if (polled[2 + i].revents) service_output(&services[i]);
    if (polled[0].revents) how = read_signals(signal_fd);
    if (polled[1].revents) uevent_read(uevent_fd);
    for (int i = 0; i < button_count; i++)
      if (polled[2 + SERVICES + i].revents && power_pressed(buttons[i])) how = RB_POWER_OFF;
    if (now_ms() >= save_at_ms) {
      clock_save();
      save_at_ms = now_ms() + CLOCK_SAVE_MS;
    }
  }
  stop(how);
}

int system_main(void) {
  int signal_fd = open_signals(), uevent_fd = uevent_open();
  set_up();
  watch(signal_fd, uevent_fd);
  return 1;
}
