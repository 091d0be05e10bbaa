# SPDX-License-Identifier: Apache-2.0
"""The small static C program that runs a bundle once, so that its answers can be compared.

Inputs come on standard input, outputs go to standard output. It also runs the model with buffers
at odd addresses, with too small an arena and with a misaligned one, and watches the bytes behind
the arena. It needs no C library, whose first build would take a minute for each processor. The
first byte it writes names the first of these that went wrong, 0 for none.
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


_STATIC = r"""
typedef unsigned char byte;
#if defined(__x86_64__)
#define READ 0
#define WRITE 1
#define EXIT 60
__asm__(".globl _start\n_start: xor %ebp, %ebp\n and $-16, %rsp\n call begin\n");
static long call3(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
#define READ 63
#define WRITE 64
#define EXIT 93
__asm__(".globl _start\n_start: bl begin\n");
static long call3(long number, long a, long b, long c) {
  register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b,
                   x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
}
#elif defined(__riscv)
#define READ 63
#define WRITE 64
#define EXIT 93
__asm__(".globl _start\n_start: call begin\n");
static long call3(long number, long a, long b, long c) {
  register long a7 __asm__("a7") = number, a0 __asm__("a0") = a, a1 __asm__("a1") = b,
                   a2 __asm__("a2") = c;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
  return a0;
}
#elif defined(__arm__) /* metal_thumb.S started it: a serial line, and semihosting to end */
#include "metal_thumb.h"
#define READ 0
#define WRITE 1
#define EXIT 2
static void begin(void);
int main(void) {
  begin();
  return 0;
}
static long call3(long number, long a, long b, long c) {
  volatile uint32_t *const uart = (volatile uint32_t *)METAL_UART;
  (void)a, (void)c;
  if (number == EXIT) {
    register long r0 __asm__("r0") = 0x18, r1 __asm__("r1") = 0x20026;
    __asm__ volatile("bkpt #0xab" : : "r"(r0), "r"(r1) : "memory");
  }
  while (number == READ ? !(uart[1] & 2) : uart[1] & 1) {}
  if (number == READ) *(byte *)b = (byte)uart[0];
  else uart[0] = *(const byte *)b;
  return 1;
}
#elif defined(__wasm__)
#define READ 0
#define WRITE 1
#define EXIT 2
#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))
typedef struct { const void *at; size_t size; } part;
WASI("fd_read") int wasi_read(int file, const part *parts, int count, size_t *done);
WASI("fd_write") int wasi_write(int file, const part *parts, int count, size_t *done);
WASI("proc_exit") _Noreturn void wasi_exit(int code);
static void begin(void);
__attribute__((export_name("_start"))) void start(void) { begin(); }
static long call3(long number, long a, long b, long c) {
  part whole = {(const void *)b, (size_t)c};
  size_t done = 0;
  if (number == EXIT) wasi_exit(0);
  int error = (number == READ ? wasi_read : wasi_write)((int)a, &whole, 1, &done);
  return error ? -1 : (long)done;
}
#endif

void *memcpy(void *to, const void *from, size_t size) {
  for (size_t i = 0; i < size; i++) ((byte *)to)[i] = ((const byte *)from)[i];
  return to;
}
void *memmove(void *to, const void *from, size_t size) {
  if ((uintptr_t)to <= (uintptr_t)from) return memcpy(to, from, size);
  while (size--) ((byte *)to)[size] = ((const byte *)from)[size];
  return to;
}
void *memset(void *to, int value, size_t size) {
  for (size_t i = 0; i < size; i++) ((byte *)to)[i] = (byte)value;
  return to;
}
static int differ(const byte *a, const byte *b, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (a[i] != b[i]) return 1;
  return 0;
}
static int get(void *to, size_t size) {
  for (size_t done = 0; done < size;) {
    long part = call3(READ, 0, (long)to + (long)done, (long)(size - done));
    if (part <= 0) return 0;
    done += (size_t)part;
  }
  return 1;
}
static void put(const void *from, size_t size) {
  for (size_t done = 0; done < size;) {
    long part = call3(WRITE, 1, (long)from + (long)done, (long)(size - done));
    if (part <= 0) return;
    done += (size_t)part;
  }
}

/* Point at copy `copy` of the buffers, `shift` bytes away from an aligned address. */
static void place(int copy, size_t shift) {
  size_t at = 0;
  for (int i = 0; i < INPUTS; at += (input_bytes[i++] + 127) / 64 * 64)
    in[i] = input[copy] + at + shift;
  at = 0;
  for (int i = 0; i < OUTPUTS; at += (output_bytes[i++] + 127) / 64 * 64)
    out[i] = output[copy] + at + shift;
}

static int guarded(void) {
  for (size_t i = 0; i < GUARD; i++)
    if (arena[ARENA + i] != 0xa5) return 0;
  return 1;
}

static int checked(void) {
  place(0, 0);
  for (int i = 0; i < INPUTS; i++)
    if (!get((void *)in[i], input_bytes[i])) return 10;
  memset(arena, 0xa5, sizeof arena);
  memset(output, 0x5a, sizeof output);
  if (RUN(in, out, arena + 1) != EDGE_ERROR_ARENA_ALIGNMENT) return 14;
  if (RUN(in, NULL, arena) != EDGE_ERROR_NULL) return 14;
  if (ARENA && RUN_IN(in, out, arena, ARENA - 1) != EDGE_ERROR_ARENA_SIZE) return 14;
  for (size_t i = 0; i < sizeof output; i++)
    if (((byte *)output)[i] != 0x5a) return 15;
  if (RUN(in, out, arena) != 0) return 11;
  if (!guarded()) return 12;
  const void *first_in[INPUTS + 1];
  void *first_out[OUTPUTS + 1];
  for (int i = 0; i < INPUTS; i++) first_in[i] = in[i];
  for (int i = 0; i < OUTPUTS; i++) first_out[i] = out[i];
  place(1, ODD);
  for (int i = 0; i < INPUTS; i++) memcpy((void *)in[i], first_in[i], input_bytes[i]);
  if (RUN_IN(in, out, arena, ARENA) != 0) return 11;
  if (!guarded()) return 12;
  for (int i = 0; i < OUTPUTS; i++)
    if (differ(first_out[i], out[i], output_bytes[i])) return 13;
  return 0;
}

#if !defined(__arm__) && !defined(__wasm__)
__attribute__((used))
#else
static
#endif
void begin(void) {
  byte status = (byte)checked();
  put(&status, 1);
  place(0, 0);
  for (int i = 0; i < OUTPUTS; i++) put(out[i], output_bytes[i]);
  for (;;) call3(EXIT, 0, 0, 0);
}
"""


def source(name: str, card: dict[str, Any]) -> str:
    """C for the bundle ``name`` with this card."""
    inputs = [int(entry["bytes"]) for entry in card["inputs"]]
    outputs = [int(entry["bytes"]) for entry in card["outputs"]]
    return f"""\
#include <stddef.h>
#include <stdint.h>
#include "{name}.h"
#define INPUTS {len(inputs)}
#define OUTPUTS {len(outputs)}
#define ARENA {card["arena_bytes"]}
#define RUN edge_{name}_run
#define RUN_IN edge_{name}_run_in
#define GUARD 256
#define ODD 3
static const size_t input_bytes[] = {{{_list(inputs)}}};
static const size_t output_bytes[] = {{{_list(outputs)}}};
static _Alignas(64) unsigned char arena[ARENA + 2 * GUARD];
static _Alignas(64) unsigned char input[2][{_room(inputs)}], output[2][{_room(outputs)}];
static const void *in[INPUTS + 1];
static void *out[OUTPUTS + 1];
{_STATIC}"""


def _list(sizes: list[int]) -> str:
    return ", ".join(str(size) for size in (*sizes, 0))


def _room(sizes: list[int]) -> int:
    return sum((size + 127) // 64 * 64 for size in sizes) + 128
