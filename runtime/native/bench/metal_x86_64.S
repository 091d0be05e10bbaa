/* SPDX-License-Identifier: Apache-2.0 */
/* From QEMU's PVH entry (32-bit protected mode, no paging) to main in long mode with AVX on.
 * Sources: Xen's PVH start info specification; Intel SDM volume 3, chapters 4, 11 and 15. */
    .section .note.metal, "a", @note
    .balign 4
    .long 4, 8, 18                  /* sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad metal_start

    .section .text
    .code32
    .globl metal_start
metal_start:
    cli
    movl $metal_stack_end, %esp
    movl $metal_pages, %edi         /* the first GiB, mapped as it is, in pages of 2 MiB */
    movl $0x83, %eax
    movl $512, %ecx
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    decl %ecx
    jnz 1b
    movl $metal_tables, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x40620, %eax              /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
    movl %eax, %cr4
    movl $0xc0000080, %ecx          /* EFER.LME */
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    andl $0xfffffffb, %eax          /* no emulation of the FPU */
    orl $0x80000003, %eax           /* paging, monitor, protection */
    movl %eax, %cr0
    lgdt metal_gdt_pointer
    ljmp $8, $metal_long

    .code64
metal_long:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %ecx, %ecx
    xgetbv
    orl $7, %eax                    /* x87, SSE and AVX state */
    xsetbv
    call main
    lidt metal_no_handlers          /* a fault without handlers resets: with -no-reboot, the end */
    int3

    .section .data
    .balign 4096
metal_tables:
    .quad metal_directory + 3
    .zero 4088
metal_directory:
    .quad metal_pages + 3
    .zero 4088
metal_pages:
    .zero 4096
metal_gdt:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
metal_gdt_pointer:
    .word 23
    .quad metal_gdt
metal_no_handlers:
    .zero 10

    .section .bss
    .balign 4096
    .zero 262144
metal_stack_end:
    .globl metal_heap
    .section .bss.metal_heap, "aw", @nobits
    .balign 64
metal_heap:
    .zero METAL_HEAP_BYTES
