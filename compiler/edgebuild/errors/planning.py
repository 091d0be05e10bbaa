# SPDX-License-Identifier: Apache-2.0
"""E6xx: what is decided before anything is built."""

from edgebuild.errors.base import code

TOO_LITTLE_MEMORY = code(
    "E601",
    "does not fit in memory",
    "Weights, arena and gateway need more memory than the profile leaves free.",
    exit_status=4,
)
TOO_LITTLE_STORAGE = code(
    "E602",
    "does not fit in storage",
    "The image and the data partition need more than the profile's storage.",
    exit_status=4,
)
