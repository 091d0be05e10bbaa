# SPDX-License-Identifier: Apache-2.0
"""E1xx downloads, cache, lock and host tools."""

from __future__ import annotations

from edgebuild.errors.base import code

NO_MIRROR = code(
    "E101",
    "no Debian mirror is known",
    "The lock names files by their place in a Debian archive. This machine's apt settings name "
    "no Debian mirror, so edgebuild cannot know where to fetch them.",
)
UNREACHABLE = code(
    "E102",
    "a download failed",
    "The mirror could not be reached, or the connection broke every time it was tried. What was "
    "already received is kept, and the next run goes on from there.",
)
GONE = code(
    "E103",
    "the mirror no longer has a locked file",
    "Debian mirrors drop old versions after a stable update. A snapshot archive, a mirror of "
    "your own or a new lock solves it.",
)
WRONG_CONTENT = code(
    "E104",
    "a download is not what the lock says",
    "The bytes received have another size or SHA-256 than the lock's. They were thrown away.",
)
OFFLINE = code(
    "E105",
    "a locked file is not in the cache, and --offline forbids fetching it",
    "Run the same command once without --offline, or point EDGEBUILD_CACHE at a filled cache.",
)
DISK_FULL = code(
    "E106",
    "no space left on the device",
    "A file could not be written. Nothing half-written was left behind.",
)
UNUSABLE_DIRECTORY = code(
    "E107",
    "a directory cannot be used",
    "The cache or the output directory cannot be created, read or written.",
)
BAD_PACKAGE = code(
    "E108",
    "a package is malformed",
    "A package's archive is damaged, or holds a path that would leave the place it is unpacked to.",
)
BAD_LOCK = code(
    "E109",
    "the lock file cannot be used",
    "The lock file is missing, is not JSON of the expected form, or holds a value that no lock "
    "may hold. `edgebuild lock` writes a new one.",
)
NOT_LOCKED = code(
    "E110",
    "something is not in the lock",
    "A build step asks for a group, package or tool that the lock does not hold.",
)
NO_TOOL = code(
    "E111",
    "a tool cannot be run on this machine",
    "Locked tools are programs for one kind of machine, and this one is of another kind.",
)
TOOL_FAILED = code(
    "E112",
    "a program failed",
    "A program that a step started ended with an error. Its last lines are shown.",
)
TOOL_TIMED_OUT = code(
    "E113",
    "a program took too long",
    "A program that a step started was ended because it ran past its time limit.",
)
TOOL_MISSING = code(
    "E114",
    "a program could not be started",
    "The program does not exist or may not be executed.",
)
BAD_SIGNATURE = code(
    "E115",
    "the archive's signature does not verify",
    "The mirror's InRelease file is not signed by the Debian archive keys that edgebuild ships.",
)
BAD_INDEX = code(
    "E116",
    "an index of the archive is wrong",
    "An index file does not match the signed Release file, or cannot be parsed.",
)
UNRESOLVED = code(
    "E117",
    "a package cannot be resolved",
    "A package of locks/inputs.toml, or one that it depends on, is not in the archive.",
)
BAD_INPUTS = code(
    "E118",
    "locks/inputs.toml is wrong",
    "The list of what to lock has an unknown key or a value of the wrong kind.",
)
BAD_PATCH = code(
    "E119",
    "a source package's patch does not apply",
    "A patch that Debian ships with a source does not fit that source.",
)
