/* SPDX-License-Identifier: Apache-2.0 */
/* Says which feature this CPU lacks, in place of dying of an illegal instruction.
 *
 * Law: this file and main.c are compiled for the architecture's baseline and run before any code
 * that is compiled for the profile's CPU.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Whether the kernel keeps the vector registers (XCR0: bits 1 and 2, AVX-512 also 5 to 7). */
static int kernel_keeps(uint32_t mask)
{
    uint32_t a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27)))
        return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & mask) == mask;
}

static int has(const struct edge_need *need)
{
    uint32_t words[4];
    if (!__get_cpuid_count(need->where, need->sub, &words[0], &words[1], &words[2], &words[3]))
        return 0;
    if (!(words[need->word] >> need->bit & 1))
        return 0;
    if (need->name[0] == 'a' && need->name[1] == 'v')
        return kernel_keeps(need->name[3] == '5' ? 0xe6 : 0x06);
    return 1;
}
#else
#include <sys/auxv.h>

static int has(const struct edge_need *need)
{
    return getauxval(need->where) >> need->bit & 1;
}
#endif

void edge_require_cpu(void)
{
    int missing = 0;
    for (const struct edge_need *need = edge_needs; need->name; need++) {
        if (has(need))
            continue;
        fputs(missing++ ? ", " : "error: this gateway was built for a CPU that has ", stderr);
        fputs(need->name, stderr);
    }
    if (missing) {
        fputs("; this one has not\n  hint:  build it for the target that this device is\n",
              stderr);
        _Exit(1);
    }
}
