/* SPDX-License-Identifier: Apache-2.0 */
/* Where QEMU's MPS boards have their serial line (a CMSDK UART) and what counts time. */
#if __ARM_ARCH >= 8
#define METAL_UART 0x59303000  /* AN547, UART 0, secure */
#define METAL_CLOCK 0x58100000 /* system counter, secure: 32 MHz, up; enabled by its first word */
#else
#define METAL_UART 0x40004000  /* AN386, AN500: UART 0 */
#define METAL_CLOCK 0x40000000 /* timer 0: 25 MHz, down */
#endif
