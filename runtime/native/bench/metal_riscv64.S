/* SPDX-License-Identifier: Apache-2.0 */
/* From reset in machine mode on QEMU's virt machine to main. Register layouts: The RISC-V
 * Instruction Set Manual, volume II. */
    .section .text
    .globl metal_start
metal_start:
    csrr t0, mhartid
    bnez t0, 1f
    la sp, metal_stack_end
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    li t0, 0x6600                   /* mstatus.FS and VS: dirty, so the units are on */
    csrs mstatus, t0
    call main
    li t0, 0x100000                 /* the test device: 0x5555 ends the machine */
    li t1, 0x5555
    sw t1, 0(t0)
1:  wfi
    j 1b

    .section .bss
    .balign 4096
    .zero 262144
metal_stack_end:
    .globl metal_heap
    .section .bss.metal_heap, "aw", @nobits
    .balign 64
metal_heap:
    .zero METAL_HEAP_BYTES
