# SPDX-License-Identifier: Apache-2.0
"""Refuses a program that cannot run in an image: there is no loader and no library in it."""

from __future__ import annotations

import struct

from edgebuild.errors.images import EXECUTABLE_UNFIT

_MACHINES = {"amd64": 62, "arm64": 183, "riscv64": 243}  # e_machine
_KINDS = (2, 3)  # ET_EXEC; ET_DYN is a static-pie here
_INTERPRETER = 3  # PT_INTERP


def check_executable(program: bytes, debian_arch: str, name: str) -> None:
    """Raises E408 unless ``program`` is a static ELF executable for the architecture."""
    try:
        kind, machine = struct.unpack_from("<HH", program, 16)
        (table,) = struct.unpack_from("<Q", program, 32)
        size, count = struct.unpack_from("<HH", program, 54)
        heads = {struct.unpack_from("<I", program, table + size * i)[0] for i in range(count)}
    except struct.error as error:
        raise EXECUTABLE_UNFIT("the file is too short for a program", where=name) from error
    if program[:6] != b"\x7fELF\x02\x01" or machine != _MACHINES[debian_arch] or kind not in _KINDS:
        raise EXECUTABLE_UNFIT(f"this is not a program for {debian_arch}", where=name)
    if _INTERPRETER in heads:
        raise EXECUTABLE_UNFIT(
            "the program needs a dynamic loader", where=name, hint="link it with -static"
        )
