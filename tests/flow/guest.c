// SPDX-License-Identifier: Apache-2.0
// Stands in for the gateway in boot tests: answers /health, says what it is allowed to do, and
// ends in the ways that a gateway can end.
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void line_of(const char *file, const char *start, char *out, size_t room) {
  char line[512];
  FILE *in = fopen(file, "r");
  out[0] = 0;
  while (in && fgets(line, sizeof line, in))
    if (strstr(line, start)) snprintf(out, room, "%.*s", (int)strcspn(line, "\n\t"), line);
  if (in) fclose(in);
}

static int can_write(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

static void status_of(const char *key, char *out, size_t room) {
  char line[128];
  FILE *in = fopen("/proc/self/status", "r");
  out[0] = 0;
  while (in && fgets(line, sizeof line, in))
    if (strncmp(line, key, strlen(key)) == 0)
      snprintf(out, room, "%.*s", (int)strcspn(line + strlen(key) + 2, "\n"),
               line + strlen(key) + 2);
  if (in) fclose(in);
}

static int facts(char *out, size_t room) {
  char privileges[32], capabilities[32], data[256], server[128], host[64] = "";
  status_of("NoNewPrivs", privileges, sizeof privileges);
  status_of("CapBnd", capabilities, sizeof capabilities);
  line_of("/proc/self/mounts", " /data ", data, sizeof data);
  line_of("/etc/resolv.conf", "nameserver", server, sizeof server);
  gethostname(host, sizeof host - 1);
  return snprintf(out, room,
                  "{\"uid\":%d,\"no_new_privileges\":\"%s\",\"capabilities\":\"%s\","
                  "\"writes_root\":%d,\"writes_data\":%d,\"writes_tmp\":%d,\"reads_log\":%d,"
                  "\"shell\":%d,\"data\":\"%s\",\"server\":\"%s\",\"host\":\"%s\",\"time\":%lld,"
                  "\"pid\":%d}",
                  getuid(), privileges, capabilities, can_write("/etc/x"),
                  can_write("/data/gateway/x"), can_write("/tmp/x"),
                  access("/data/log/system.log", R_OK) == 0, access("/usr/bin/sh", X_OK) == 0, data,
                  server, host, (long long)time(NULL), getpid());
}

int main(void) {
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 8)) return 9;
  fprintf(stderr, "listening\n");
  for (;;) {
    char request[2048], body[1024] = "{\"status\":\"ok\"}", answer[1400];
    int peer = accept(listener, NULL, NULL);
    ssize_t bytes = peer < 0 ? -1 : read(peer, request, sizeof request - 1);
    if (bytes > 0) {
      request[bytes] = 0;
      if (strncmp(request, "GET /exit", 9) == 0) {
        fprintf(stderr, "asked to \033[2Jend\n");
        return 3;
      }
      if (strncmp(request, "GET /crash", 10) == 0) abort();
      if (strncmp(request, "GET /facts", 10) == 0) facts(body, sizeof body);
      int size = snprintf(answer, sizeof answer,
                          "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                          strlen(body), body);
      if (write(peer, answer, (size_t)size) < 0) perror("write");
    }
    if (peer >= 0) close(peer);
  }
}
