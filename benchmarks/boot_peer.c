// SPDX-License-Identifier: Apache-2.0
// The least that can answer HTTP on a machine: PID 1 that loads the network's modules, takes the
// address that QEMU's network expects, and answers. It has no DHCP, no disk and no supervision.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void load_modules(void) {
  char path[128];
  FILE *list = fopen("/modules/list", "r");
  while (list && fgets(path, sizeof path, list)) {
    path[strcspn(path, "\n")] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (syscall(SYS_finit_module, fd, "", 0) != 0) perror(path);
    close(fd);
  }
  if (list) fclose(list);
}

static int interface_up(const char *name, const char *address) {
  struct ifreq request = {0};
  struct sockaddr_in *place = (struct sockaddr_in *)&request.ifr_addr;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  place->sin_family = AF_INET;
  inet_pton(AF_INET, address, &place->sin_addr);
  int result = ioctl(fd, SIOCSIFADDR, &request);
  inet_pton(AF_INET, "255.255.255.0", &place->sin_addr);
  if (result == 0) result = ioctl(fd, SIOCSIFNETMASK, &request);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (result == 0) result = ioctl(fd, SIOCSIFFLAGS, &request);
  close(fd);
  return result;
}

int main(void) {
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(8080)};
  load_modules();
  while (interface_up("eth0", "10.0.2.15") != 0) usleep(1000);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 8)) perror("bind");
  for (;;) {
    char request[4096];
    int peer = accept(listener, NULL, NULL);
    if (peer >= 0 && read(peer, request, sizeof request) > 0)
      if (write(peer, answer, sizeof answer - 1) < 0) perror("write");
    if (peer >= 0) close(peer);
  }
}
