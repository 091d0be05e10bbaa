# SPDX-License-Identifier: Apache-2.0
"""Which extension an instruction word of AArch64 or RISC-V belongs to.

Rows are (mask, value, feature): the first row with ``word & mask == value`` decides. Features
have LLVM's names; "" is the base set. Sources: Arm Architecture Reference Manual for A-profile,
"A64 instruction set encoding"; The RISC-V Instruction Set Manual, volume I, opcode listings.
"""

from __future__ import annotations

Row = tuple[int, int, str]

AARCH64: tuple[Row, ...] = (
    # Whole groups: bits 28-25
    (0x9E000000, 0x80000000, "sme"),
    (0x1E000000, 0x04000000, "sve"),
    # Loads, stores and atomics
    (0x3FFFFC00, 0x38BFC000, "rcpc"),
    (0x3F200C00, 0x19000000, "rcpc_immo"),
    (0x3B200C00, 0x19000400, "mops"),
    (0x3F200C00, 0x38200000, "lse"),
    (0x3FA07C00, 0x08A07C00, "lse"),
    (0xBFA07C00, 0x08207C00, "lse"),
    (0xFF200000, 0xD9200000, "mte"),
    (0xFF200400, 0xF8200400, "pauth"),
    (0xFE9FF800, 0xD61F0800, "pauth"),
    (0xFFFF0000, 0xDAC10000, "pauth"),
    # Scalar integer
    (0x7FE0E000, 0x1AC04000, "crc"),
    (0xFFE07C10, 0xBA000400, "flagm"),
    (0x7FFFFC00, 0x5AC01800, "cssc"),
    (0x7FFFFC00, 0x5AC01C00, "cssc"),
    (0x7FFFFC00, 0x5AC02000, "cssc"),
    (0x7FE0F000, 0x1AC06000, "cssc"),
    (0x7FC00000, 0x11C00000, "cssc"),
    # Integer dot products and matrices, bfloat16
    (0xBFE0FC00, 0x0E809C00, "i8mm"),
    (0xFFE0F400, 0x4E80A400, "i8mm"),
    (0xFFE0FC00, 0x6E80A400, "i8mm"),
    (0xBFC0F400, 0x0F80F000, "i8mm"),
    (0xBFC0F400, 0x0F00F000, "i8mm"),
    (0x9F20FC00, 0x0E009400, "dotprod"),
    (0x9F00F400, 0x0F00E000, "dotprod"),
    (0xBFE0FC00, 0x2E40FC00, "bf16"),
    (0xBFC0F400, 0x0F40F000, "bf16"),
    (0xFFE0FC00, 0x6E40EC00, "bf16"),
    (0xBFE0FC00, 0x2EC0FC00, "bf16"),
    (0xFFFFFC00, 0x1E634000, "bf16"),
    (0xBFFFFC00, 0x0EA16800, "bf16"),
    # Rounding doubling multiply-accumulate
    (0xBF20F400, 0x2E008400, "rdm"),
    (0xFF20F400, 0x7E008400, "rdm"),
    (0xAF00D400, 0x2F00D000, "rdm"),
    # Complex numbers, JavaScript's conversion, rounding to 32 and 64 bits
    (0xBF20E400, 0x2E00C400, "complxnum"),
    (0xBF20EC00, 0x2E00E400, "complxnum"),
    (0xBF009400, 0x2F001000, "complxnum"),
    (0xFFFFFC00, 0x1E7E0000, "jsconv"),
    (0xFFBE7C00, 0x1E284000, "fptoint"),
    # Half precision; conversions from and to it are in the base set
    (0xFFFF7C00, 0x1EE24000, ""),
    (0x7EC00000, 0x1EC00000, "fullfp16"),
    (0x9F60C400, 0x0E400400, "fullfp16"),
    (0xDF60C400, 0x5E400400, "fullfp16"),
    (0x9F7E0C00, 0x0E780800, "fullfp16"),
    (0xDF7E0C00, 0x5E780800, "fullfp16"),
    (0xBFC0B400, 0x0F001000, "fullfp16"),
    (0x9FC0F400, 0x0F009000, "fullfp16"),
    (0xFFC0B400, 0x5F001000, "fullfp16"),
    (0xDFC0F400, 0x5F009000, "fullfp16"),
    (0xBF3FFC00, 0x0E30C800, "fullfp16"),
    (0xBF3FFC00, 0x0E30F800, "fullfp16"),
    (0xBFF8FC00, 0x0F00FC00, "fullfp16"),
    (0xBF20FC00, 0x0E20EC00, "fp16fml"),
    (0xBF20FC00, 0x2E20CC00, "fp16fml"),
    (0xBFC0B400, 0x0F800000, "fp16fml"),
    (0xBFC0B400, 0x2F808000, "fp16fml"),
    # Cryptography
    (0xFF3E0C00, 0x4E280800, "aes"),
    (0xBFE0FC00, 0x0EE0E000, "aes"),
    (0xFF208C00, 0x5E000000, "sha2"),
    (0xFF3E0C00, 0x5E280800, "sha2"),
    (0xFF000000, 0xCE000000, "sha3"),
)

# Words of four bytes; those of two are the compressed set, "c".
RISCV64: tuple[Row, ...] = (
    # Vector: OP-V, and the loads and stores whose width is no scalar's
    (0x0000007F, 0x00000057, "v"),
    (0x0000705F, 0x00000007, "v"),
    (0x0000505F, 0x00005007, "v"),
    (0x0000705F, 0x00006007, "v"),
    (0x0000705F, 0x00001007, "zfh"),
    (0x0000705F, 0x00002007, "f"),
    (0x0000705F, 0x00003007, "d"),
    # Atomics, multiplication
    (0xF800007F, 0x2800002F, "zacas"),
    (0x0000007F, 0x0000002F, "a"),
    (0xFE000077, 0x02000033, "m"),
    # Scalar floating point, by the format field
    (0xFFF0007F, 0x40200053, "zfhmin"),
    (0xFFF0007F, 0x42200053, "zfhmin"),
    (0xFFE0007F, 0x44000053, "zfhmin"),
    (0xFFF0707F, 0xE4000053, "zfhmin"),
    (0xFFF0707F, 0xF4000053, "zfhmin"),
    (0xF800607F, 0x28002053, "zfa"),
    (0xF9F0707F, 0xF0100053, "zfa"),
    (0xF9E0007F, 0x40400053, "zfa"),
    (0xF800607F, 0xA0004053, "zfa"),
    (0x06000073, 0x00000043, "f"),
    (0x06000073, 0x02000043, "d"),
    (0x06000073, 0x04000043, "zfh"),
    (0x0600007F, 0x00000053, "f"),
    (0x0600007F, 0x02000053, "d"),
    (0x0600007F, 0x04000053, "zfh"),
    # Bit manipulation: register with register
    (0xFE000077, 0x00000033, ""),
    (0xFE00707F, 0x40004033, "zbb"),
    (0xFE00707F, 0x40006033, "zbb"),
    (0xFE00707F, 0x40007033, "zbb"),
    (0xFE000077, 0x40000033, ""),
    (0xFE001077, 0x20000033, "zba"),
    (0xFE00707F, 0x0800003B, "zba"),
    (0xFE004077, 0x0A004033, "zbb"),
    (0xFE000077, 0x0A000033, "zbc"),
    (0xFE000077, 0x60000033, "zbb"),
    (0xFFF0707F, 0x0800403B, "zbb"),
    (0xFE000077, 0x08000033, "zbkb"),
    (0xFE00007F, 0x48000033, "zbs"),
    (0xFE00007F, 0x68000033, "zbs"),
    (0xFE00007F, 0x28000033, "zbs"),
    (0xFE00007F, 0x0E000033, "zicond"),
    # Bit manipulation: register with immediate
    (0xFC00707F, 0x00001013, ""),
    (0xFC00707F, 0x00005013, ""),
    (0xFC00707F, 0x40005013, ""),
    (0xFC00707F, 0x28001013, "zbs"),
    (0xFC00707F, 0x48001013, "zbs"),
    (0xFC00707F, 0x68001013, "zbs"),
    (0xFC00707F, 0x48005013, "zbs"),
    (0x0000307F, 0x00001013, "zbb"),
    (0xFC00707F, 0x0800101B, "zba"),
    (0xFE00307F, 0x0000101B, ""),
    (0xFE00707F, 0x4000501B, ""),
    (0x0000307F, 0x0000101B, "zbb"),
    # Fences and cache blocks
    (0x0000707F, 0x0000200F, "zicbom"),
    # What is left of the base set's opcodes
    (0x0000007F, 0x00000003, ""),
    (0x0000007F, 0x0000000F, ""),
    (0x0000007F, 0x00000013, ""),
    (0x0000007F, 0x00000017, ""),
    (0x0000007F, 0x0000001B, ""),
    (0x0000007F, 0x00000023, ""),
    (0x0000007F, 0x00000037, ""),
    (0x0000007F, 0x00000063, ""),
    (0x0000007F, 0x00000067, ""),
    (0x0000007F, 0x0000006F, ""),
    (0x0000007F, 0x00000073, ""),
    (0x00000000, 0x00000000, "unknown"),
)
