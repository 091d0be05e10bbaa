/* SPDX-License-Identifier: Apache-2.0 */
/* From reset at EL1 on QEMU's virt machine to main: floating point, an identity map (the
 * kernels may load from odd addresses, which device memory, all there is without a map, forbids)
 * and the cycle counter. Register layouts: Arm Architecture Reference Manual for A-profile. */
    .section .text
    .globl metal_start
metal_start:
    adrp x0, metal_stack_end
    add x0, x0, :lo12:metal_stack_end
    mov sp, x0

    mov x0, #(3 << 20)              /* CPACR_EL1.FPEN, and ZEN for SVE */
    orr x0, x0, #(3 << 16)
    msr cpacr_el1, x0
    isb
    mrs x0, id_aa64pfr0_el1
    ubfx x0, x0, #32, #4
    cbz x0, 2f
    mov x0, #15                     /* ZCR_EL1.LEN: vectors as long as the core has them */
    msr s3_0_c1_c2_0, x0
    isb
2:

    ldr x0, =0x000000000000ff00     /* MAIR: 0 device-nGnRnE, 1 normal write-back */
    msr mair_el1, x0
    ldr x0, =0x0000000100003519     /* TCR: T0SZ 25, 4 KiB, write-back, inner, 36-bit PA */
    msr tcr_el1, x0
    adrp x0, metal_table
    add x0, x0, :lo12:metal_table
    msr ttbr0_el1, x0
    dsb ish
    isb
    mrs x0, sctlr_el1
    mov x1, #0x1005                 /* I, C, M */
    orr x0, x0, x1
    bic x0, x0, #2                  /* A: no alignment faults */
    msr sctlr_el1, x0
    isb

    mov x0, #0x41                   /* PMCR.E, LC */
    msr pmcr_el0, x0
    mov x0, #0x80000000
    msr pmcntenset_el0, x0
    msr pmccfiltr_el0, xzr
    isb

    bl main
    ldr x0, =0x84000008             /* PSCI SYSTEM_OFF */
    hvc #0
1:  b 1b

    .section .data
    .balign 4096
metal_table:                        /* level 1: blocks of 1 GiB */
    .quad 0x00000401 | (1 << 54)    /* 0 … 1 GiB: devices, AF, block, no execute */
    .quad 0x40000705                /* 1 … 2 GiB: memory, AF, inner shareable, index 1 */
    .quad 0x80000705
    .zero 4096 - 24

    .section .bss
    .balign 4096
    .zero 262144
metal_stack_end:
    .globl metal_heap
    .section .bss.metal_heap, "aw", @nobits
    .balign 64
metal_heap:
    .zero METAL_HEAP_BYTES
