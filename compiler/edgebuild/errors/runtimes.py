# SPDX-License-Identifier: Apache-2.0
"""E3xx the compiled gateway runtime."""

from __future__ import annotations

from edgebuild.errors.base import code

UNSUPPORTED_CPU = code(
    "E301",
    "no runtime can be built for this CPU",
    "The gateway's runtime is linked from Debian's static libraries. Debian, or edgebuild, does "
    "not have them for the architecture that the profile names.",
)
BAD_BUNDLE = code(
    "E302",
    "a model bundle cannot be linked",
    "A bundle is a folder with one description NAME.json and one object NAME.o. The folder lacks "
    "one of them, holds several, or its description is not of the expected form.",
)
DUPLICATE_MODEL = code(
    "E303",
    "two models have the same name",
    "A model's name becomes a C symbol and a tool's name, so it must be unique in one gateway.",
)
MISSING_IMPORT = code(
    "E304",
    "the gateway imports a module that the executable will not have",
    "A static executable holds exactly the modules found at build time: the gateway's own, those "
    "of the standard library, and those compiled into it. A device has nowhere else to look.",
)
INCOMPLETE_SYSROOT = code(
    "E305",
    "a locked package lacks a file that linking needs",
    "The static library or start file is not where Debian's packages for this architecture put "
    "it. The lock names another release of Debian than this version of edgebuild knows.",
)
BAD_OBJECTS = code(
    "E306",
    "the runtime's objects cannot be used",
    "The folder was not written by this version of edgebuild, is incomplete, or is for another "
    "architecture.",
)
UNREVIEWED_LICENCE = code(
    "E307",
    "a linked package has no reviewed licence",
    "Every package whose code is in the executable has an entry, made by a person, in the licence "
    "table. Without it the bill of materials would guess.",
)
