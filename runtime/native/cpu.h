/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EDGE_CPU_H
#define EDGE_CPU_H

#include <stdint.h>

/* One feature: on x86 bit `bit` of register `word` (EAX, EBX, ECX, EDX) of CPUID leaf `where`,
 * subleaf `sub`; elsewhere bit `bit` of the auxiliary vector's entry `where`. */
struct edge_need {
    const char *name;
    uint32_t where;
    uint32_t sub;
    uint32_t word;
    uint32_t bit;
};

extern const struct edge_need edge_needs[]; /* ended by a null name */

/* Prints what is missing and ends the program, or returns. */
void edge_require_cpu(void);

#endif
