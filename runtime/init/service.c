/* SPDX-License-Identifier: Apache-2.0 */
/* Law: a service that ends is started again, ever later while it keeps failing, and why it
 * ended is logged. */
#include "edge-init.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKOFF_MIN_MS = 200, BACKOFF_MAX_MS = 30000, SETTLED_MS = 60000 };

static char *const environment[] = {"PATH=/usr/bin:/sbin", "HOME=/data/gateway", "LANG=C.UTF-8",
                                    NULL};

static void limit(int what, rlim_t value) {
  const struct rlimit both = {value, value};
  setrlimit(what, &both);
}

/* What the gateway may never do, whatever it is made to execute: gain a privilege, see another
 * program's /tmp, dump memory to disk. Any step that fails ends the child: better no service
 * than one with the rights of root. */
static bool drop_privileges(uid_t uid) {
  if (unshare(CLONE_NEWNS) != 0) return false;
  mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
  if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=25%") != 0)
    return false;
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, 4096);
  limit(RLIMIT_NPROC, 256);
  for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) return false;
  return setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 &&
         setresuid(uid, uid, uid) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         chdir("/data/gateway") == 0;
}

static _Noreturn void become(const struct service *service, int output_fd) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  int input_fd = open(service->on_console ? "/dev/console" : "/dev/null", O_RDWR | O_CLOEXEC);
  if (service->on_console) {
    ioctl(input_fd, TIOCSCTTY, 1);
    output_fd = input_fd;
  }
  dup2(input_fd, STDIN_FILENO);
  dup2(output_fd, STDOUT_FILENO);
  dup2(output_fd, STDERR_FILENO);
  umask(service->uid ? 077 : 022);
  if (service->uid) write_file("/proc/self/oom_score_adj", "0");
  if (service->uid && !drop_privileges(service->uid)) {
    dprintf(STDERR_FILENO, "cannot give up privileges: %s\n", strerror(errno));
    _exit(126);
  }
  execve(service->argv[0], service->argv, environment);
  dprintf(STDERR_FILENO, "cannot start %s: %s\n", service->argv[0], strerror(errno));
  _exit(127);
}

static void restart_later(struct service *service) {
  service->start_at_ms = now_ms() + service->backoff_ms;
  service->backoff_ms *= 2;
  if (service->backoff_ms > BACKOFF_MAX_MS) service->backoff_ms = BACKOFF_MAX_MS;
}

void service_start(struct service *service) {
  int ends[2];
  if (service->backoff_ms == 0) service->backoff_ms = BACKOFF_MIN_MS;
  service->pid = 0;
  if (pipe2(ends, O_CLOEXEC) == 0) {
    service->pid = fork();
    if (service->pid == 0) become(service, ends[1]);
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    if (service->output_fd >= 0) close(service->output_fd);
    service->output_fd = ends[0];
  }
  if (service->pid <= 0) {
    log_line(service->name, "cannot start: %s", strerror(errno));
    service->pid = 0;
    restart_later(service);
    return;
  }
  service->started_ms = now_ms();
  service->start_at_ms = 0;
  log_line(service->name, "started as process %d", (int)service->pid);
}

void service_exited(struct service *service, int status) {
  int64_t ran_ms = now_ms() - service->started_ms;
  service_output(service); /* its last words come before its end in the log */
  service->pid = 0;
  if (ran_ms >= SETTLED_MS) service->backoff_ms = BACKOFF_MIN_MS;
  int wait_ms = service->backoff_ms;
  restart_later(service);
  if (WIFSIGNALED(status))
    log_line(service->name, "killed by signal %d (%s) after %lld ms; again in %d ms",
             WTERMSIG(status), strsignal(WTERMSIG(status)), (long long)ran_ms, wait_ms);
  else
    log_line(service->name, "exited with status %d after %lld ms; again in %d ms",
             WEXITSTATUS(status), (long long)ran_ms, wait_ms);
}

static void flush_line(struct service *service) {
  service->line[service->line_bytes] = 0;
  if (service->line_bytes) log_line(service->name, "%s", service->line);
  service->line_bytes = 0;
}

/* Takes what the service has written so far, whole lines at a time. */
void service_output(struct service *service) {
  char text[1024];
  ssize_t bytes = 0;
  while (service->output_fd >= 0 && (bytes = read(service->output_fd, text, sizeof text)) > 0) {
    for (ssize_t i = 0; i < bytes; i++) {
      unsigned char byte = (unsigned char)text[i];
      if (byte == '\n' || service->line_bytes == sizeof service->line - 1) flush_line(service);
      /* Control characters would let a request write to the console's terminal. */
      if (byte >= ' ' && byte != 127) service->line[service->line_bytes++] = (char)byte;
    }
  }
  if (service->output_fd >= 0 && bytes == 0) {
    flush_line(service);
    close(service->output_fd);
    service->output_fd = -1;
  }
}

void service_stop(struct service *service, int grace_ms) {
  int64_t end = now_ms() + grace_ms;
  service->start_at_ms = 0;
  if (service->pid <= 0) return;
  kill(service->pid, SIGTERM);
  while (waitpid(service->pid, NULL, WNOHANG) == 0) {
    service_output(service);
    watchdog_feed();
    if (now_ms() >= end) kill(service->pid, SIGKILL);
    usleep(10000);
  }
  service_output(service);
  log_line(service->name, "stopped");
  service->pid = 0;
}
