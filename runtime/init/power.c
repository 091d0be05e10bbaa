/* SPDX-License-Identifier: Apache-2.0 */
#include "edge-init.h"

#include <fcntl.h>
#include <linux/input.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Opens the input devices that have a power key. Returns how many. */
int power_open(int *fds, int room) {
  char path[32];
  int count = 0;
  for (int i = 0; i < 16 && count < room; i++) {
    unsigned char keys[KEY_MAX / 8 + 1] = {0};
    snprintf(path, sizeof path, "/dev/input/event%d", i);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) continue;
    if (ioctl(fd, EVIOCGBIT(EV_KEY, sizeof keys), keys) >= 0 &&
        (keys[KEY_POWER / 8] >> (KEY_POWER % 8) & 1))
      fds[count++] = fd;
    else
      close(fd);
  }
  return count;
}

bool power_pressed(int fd) {
  struct input_event event;
  bool pressed = false;
  while (read(fd, &event, sizeof event) == (ssize_t)sizeof event)
    pressed |= event.type == EV_KEY && event.code == KEY_POWER && event.value == 1;
  return pressed;
}
