/* SPDX-License-Identifier: Apache-2.0 */
/* One program under three names: /init in the initramfs, /sbin/init in the root file system,
 * and the hook that dhcpcd runs. */
#include "edge-init.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  const char *name = argc > 0 ? argv[0] : "";
  if (strcmp(name, "/sbin/dhcp-hook") == 0) return dhcp_hook_main();
  if (getpid() == 1 && strcmp(name, "/init") == 0) return stage1_main();
  if (getpid() == 1) return system_main();
  fputs("this is the first process of a firmware image; it does nothing as any other\n", stderr);
  return 1;
}
