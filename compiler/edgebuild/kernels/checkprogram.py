# SPDX-License-Identifier: Apache-2.0
"""The small static C program that runs a bundle once, so that its answers can be compared.

Inputs come on standard input, outputs go to standard output. It also runs the model with buffers
at odd addresses, with too small an arena and with a misaligned one, and watches the bytes behind
the arena; the first byte it writes names the first of these that went wrong, 0 for none.
"""

from __future__ import annotations

from typing import Any

FAILURES = {
    10: "the inputs were not read",
    11: "the model returned an error",
    12: "the model wrote behind its arena",
    13: "buffers at odd addresses gave another result",
    14: "a missing, small or misaligned arena was not refused",
    15: "a refused run wrote into an output",
}


def source(name: str, card: dict[str, Any]) -> str:
    """C for the bundle ``name`` with this card."""
    inputs = [int(entry["bytes"]) for entry in card["inputs"]]
    outputs = [int(entry["bytes"]) for entry in card["outputs"]]
    arena = max(int(card["arena_bytes"]), 1)
    return f"""\
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "{name}.h"
#define INPUTS {len(inputs)}
#define OUTPUTS {len(outputs)}
#define GUARD 256
#define ODD 3
static const size_t input_bytes[] = {{{_list(inputs)}}};
static const size_t output_bytes[] = {{{_list(outputs)}}};
static _Alignas(64) unsigned char arena[{arena} + 2 * GUARD];
static _Alignas(64) unsigned char input[2][{_room(inputs)}], output[2][{_room(outputs)}];
static const void *in[INPUTS + 1];
static void *out[OUTPUTS + 1];

/* Point at copy `copy` of the buffers, `shift` bytes away from an aligned address. */
static void place(int copy, size_t shift) {{
  size_t at = 0;
  for (int i = 0; i < INPUTS; at += (input_bytes[i++] + 127) / 64 * 64)
    in[i] = input[copy] + at + shift;
  at = 0;
  for (int i = 0; i < OUTPUTS; at += (output_bytes[i++] + 127) / 64 * 64)
    out[i] = output[copy] + at + shift;
}}

static int guarded(void) {{
  for (size_t i = 0; i < GUARD; i++)
    if (arena[{arena} + i] != 0xa5) return 0;
  return 1;
}}

static int checked(void) {{
  place(0, 0);
  for (int i = 0; i < INPUTS; i++)
    if (fread((void *)in[i], 1, input_bytes[i], stdin) != input_bytes[i]) return 10;
  memset(arena, 0xa5, sizeof arena);
  memset(output, 0x5a, sizeof output);
  if (edge_{name}_run(in, out, arena + 1) != EDGE_ERROR_ARENA_ALIGNMENT) return 14;
  if (edge_{name}_run(in, NULL, arena) != EDGE_ERROR_NULL) return 14;
  if ({card["arena_bytes"]} &&
      edge_{name}_run_in(in, out, arena, {card["arena_bytes"]} - 1) != EDGE_ERROR_ARENA_SIZE)
    return 14;
  for (size_t i = 0; i < sizeof output; i++)
    if (((unsigned char *)output)[i] != 0x5a) return 15;
  if (edge_{name}_run(in, out, arena) != 0) return 11;
  if (!guarded()) return 12;
  const void *first_in[INPUTS + 1];
  void *first_out[OUTPUTS + 1];
  memcpy(first_in, in, sizeof in);
  memcpy(first_out, out, sizeof out);
  place(1, ODD);
  for (int i = 0; i < INPUTS; i++) memcpy((void *)in[i], first_in[i], input_bytes[i]);
  if (edge_{name}_run_in(in, out, arena, {card["arena_bytes"]}) != 0) return 11;
  if (!guarded()) return 12;
  for (int i = 0; i < OUTPUTS; i++)
    if (memcmp(first_out[i], out[i], output_bytes[i])) return 13;
  return 0;
}}

int main(void) {{
  int status = checked();
  putchar(status);
  place(0, 0);
  for (int i = 0; i < OUTPUTS; i++) fwrite(out[i], 1, output_bytes[i], stdout);
  return 0;
}}
"""


def _list(sizes: list[int]) -> str:
    return ", ".join(str(size) for size in (*sizes, 0))


def _room(sizes: list[int]) -> int:
    return sum((size + 127) // 64 * 64 for size in sizes) + 128
