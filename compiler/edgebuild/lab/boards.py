# SPDX-License-Identifier: Apache-2.0
"""What QEMU's models of boards lack, by QEMU's name of the machine.

Where a kernel's driver faults on a device that is not modelled, or waits for it for ever, the
lab takes the device out of the device tree. The image itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """``disable``: compatible strings of nodes; ``drop``: properties; ``words``: what the kernel's
    command line gets, such as the name of the first serial port."""

    disable: tuple[str, ...]
    drop: tuple[str, ...]
    words: str


BOARDS: Mapping[str, Board] = {
    # QEMU 10.0: reading the level-2 interrupt controllers, the HDMI blocks' I2C and clocks is an
    # external abort; the firmware's GPIO expander, which switches the card's and the radio's
    # power, answers with an error; the card is at the first SD host controller, not the second;
    # arming the watchdog resets the machine at once.
    "raspi4b": Board(
        disable=(
            "brcm,l2-intc",
            "brcm,bcm7271-l2-intc",
            "brcm,bcm2711-hdmi-i2c",
            "brcm,brcm2711-dvp",
            "brcm,bcm2711-hdmi0",
            "brcm,bcm2711-hdmi1",
            "brcm,bcm2711-vc5",
            "brcm,bcm2711-hvs",
        ),
        drop=("vqmmc-supply", "vmmc-supply", "mmc-pwrseq"),
        words="console=ttyAMA0,115200 module_blacklist=bcm2835_wdt",
    ),
}
