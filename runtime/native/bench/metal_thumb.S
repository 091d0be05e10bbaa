/* SPDX-License-Identifier: Apache-2.0 */
/* From reset on QEMU's MPS boards to main: floating point and vectors on, serial line and clock
 * started. Sources: Armv7-M Architecture Reference Manual, B1.5 and B3.2; Arm Cortex-M System Design
 * Kit (timer, UART); Arm SSE-300 (system counter); Arm semihosting specification (the end). */
#include "metal_thumb.h"
    .syntax unified
    .thumb
    .section .vectors, "a"
    .word metal_stack_end
    .word metal_start               /* reset */
    .word metal_fault               /* NMI */
    .word metal_fault               /* hard fault: all others come here too */

    .section .text
    .globl metal_start
    .type metal_start, %function
metal_start:
    ldr r0, =0xe000ed88             /* CPACR: coprocessors 10 and 11 */
    ldr r1, =0x00f00000
    str r1, [r0]
    dsb
    isb
    ldr r0, =METAL_UART             /* divider, then transmit and receive on */
    movs r1, #16
    str r1, [r0, #16]
    movs r1, #3
    str r1, [r0, #8]
    ldr r0, =METAL_CLOCK
#if __ARM_ARCH < 8
    mov r1, #-1                     /* the timer begins here */
    str r1, [r0, #8]
    str r1, [r0, #4]
#endif
    movs r1, #1
    str r1, [r0]
#if __ARM_ARCH >= 8
    ldr r0, =0xe000e010             /* SysTick, without interrupts: QEMU looks for input when a */
    movw r1, #32000                 /* timer runs out, and here nothing else has one */
    str r1, [r0, #4]
    movs r1, #5
    str r1, [r0]
#endif
    bl main
    .type metal_fault, %function
metal_fault:
    movs r0, #0x18                  /* SYS_EXIT: the application ended */
    ldr r1, =0x20026
    bkpt #0xab
1:  b 1b

    .section .bss
    .balign 8
    .zero 65536
metal_stack_end:
#ifdef METAL_HEAP_BYTES
    .globl metal_heap
    .section .bss.metal_heap, "aw", %nobits
    .balign 64
metal_heap:
    .zero METAL_HEAP_BYTES
#endif
