/* SPDX-License-Identifier: Apache-2.0 */
/* What dhcpcd runs when a lease changes. It stands in for dhcpcd's shell scripts: the image has
 * no shell. dhcpcd describes the change in environment variables (dhcpcd-run-hooks(8)). */
#include "edge-init.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_address(const char *word) {
  return *word && strspn(word, "0123456789abcdefABCDEF.:%") == strlen(word);
}

static size_t add_servers(char *out, size_t at, size_t room, const char *variable) {
  char words[512];
  const char *value = getenv(variable);
  snprintf(words, sizeof words, "%s", value ? value : "");
  for (char *save = NULL, *word = strtok_r(words, " ", &save); word;
       word = strtok_r(NULL, " ", &save))
    if (is_address(word) && at < room)
      at += (size_t)snprintf(out + at, room - at, "nameserver %s\n", word);
  return at;
}

int dhcp_hook_main(void) {
  char text[1024] = "";
  const char *reason = getenv("reason");
  static const char *const bound[] = {"BOUND",  "RENEW",  "REBIND", "REBOOT", "INFORM",
                                      "BOUND6", "RENEW6", "REBIND6", "ROUTERADVERT"};
  bool has_lease = false;
  for (size_t i = 0; reason && i < sizeof bound / sizeof *bound; i++)
    has_lease |= strcmp(reason, bound[i]) == 0;
  if (!has_lease) return 0;
  size_t at = add_servers(text, 0, sizeof text, "new_domain_name_servers");
  at = add_servers(text, at, sizeof text, "new_dhcp6_name_servers");
  at = add_servers(text, at, sizeof text, "nd1_rdnss1_servers");
  if (at == 0) return 0;
  if (!write_file("/run/resolv.conf.new", text)) return 1;
  return rename("/run/resolv.conf.new", "/run/resolv.conf") == 0 ? 0 : 1;
}
