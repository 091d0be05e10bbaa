# SPDX-License-Identifier: Apache-2.0
"""E0xx: the command line, profiles, configuration and the build as a whole."""

from edgebuild.errors.base import code

UNKNOWN_TARGET = code(
    "E001", "unknown target", "No profile has this name. The message lists the nearest names."
)
UNREADABLE_FILE = code("E002", "unreadable file", "A named file is missing or cannot be read.")
INVALID_TOML = code("E003", "invalid TOML", "A profile or configuration is not valid TOML.")
UNKNOWN_KEY = code(
    "E004", "unknown key", "A profile or configuration has a key that nothing reads."
)
MISSING_KEY = code("E005", "missing key", "A profile lacks a key that has no default.")
INVALID_VALUE = code(
    "E006", "invalid value", "A value has the wrong type or is outside its bounds."
)
STEP_FAILED = code("E010", "failed step", "One step of the plan failed. Its last lines are shown.")
UNKNOWN_STEP = code("E011", "unknown step", "The plan has no step of this name.")
INVALID_PLAN = code("E012", "invalid plan", "A plan file cannot be read; build again to remake it.")
SAME_NAME = code(
    "E013", "two models of one name", "Model names come from file names and must differ."
)
NO_OUTPUT = code("E014", "no such release", "The folder is not a release that edgebuild made.")
GATEWAY_REFUSES = code(
    "E016",
    "the gateway would not start",
    "The gateway's own start-up check refuses this configuration with these models.",
)
STALE_LOCK = code("E015", "stale lock", "`edgebuild lock --check` found newer packages.")
SYSTEM_REFUSES = code(
    "E017",
    "the system refuses",
    "A file cannot be written or read: no space, no permission, or a read-only place.",
)
UNFORESEEN = code(
    "E099",
    "internal error",
    "A defect of edgebuild. The details are in the named log; please report it.",
    exit_status=70,
)
