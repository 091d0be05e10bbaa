# SPDX-License-Identifier: Apache-2.0
"""E4xx images, and E45x the lab that boots them."""

from __future__ import annotations

from edgebuild.errors.base import code

MODULE_UNKNOWN = code(
    "E401",
    "unknown kernel module",
    "The profile names a kernel module that the locked kernel neither has as a file nor has "
    "built in.",
)
PACKAGE_INCOMPLETE = code(
    "E402",
    "a locked package lacks a file",
    "A file that the image needs is not in the package that the lock names for it; the package "
    "has changed its layout, or the profile names a file that does not exist.",
)
IMAGE_TOO_LARGE = code(
    "E403",
    "the image does not fit the medium",
    "The partitions together are larger than the smallest medium that the profile supports.",
)
PARTITION_FULL = code(
    "E404",
    "a partition is too small",
    "The files of the boot partition need more room than that partition has.",
)
BOOT_METHOD_UNKNOWN = code(
    "E405",
    "unknown boot method",
    "The profile asks for a boot method that this version cannot make an image for.",
)
BINARY_MALFORMED = code(
    "E406",
    "a file is not what its package says",
    "A kernel module or an EFI stub cannot be parsed, so the image cannot be assembled from it.",
)
NAME_UNFIT = code(
    "E407",
    "a file name cannot be stored",
    "A name cannot be written to a FAT boot partition: it is empty, too long, or has characters "
    "that FAT does not allow.",
)
EXECUTABLE_UNFIT = code(
    "E408",
    "not an executable for this target",
    "The program given for the image is not a static ELF executable for the target's CPU.",
)

EMULATOR_ENDED = code(
    "E451",
    "the emulator ended",
    "QEMU stopped before the gateway answered.",
)
NO_ANSWER = code(
    "E452",
    "the gateway did not answer",
    "The machine started, but its gateway gave no answer on /health within the time allowed.",
)
PORT_BUSY = code(
    "E453",
    "the port is in use",
    "Another program on this machine listens on the port that was asked for.",
)
IMAGE_UNREADABLE = code(
    "E454",
    "the image cannot be read",
    "The firmware image is missing, damaged, or lacks a partition or file that booting needs.",
)
NOT_MODELLED = code(
    "E455",
    "no emulator for this board",
    "The profile names no emulated machine of the kind that was asked for.",
)
