# SPDX-License-Identifier: Apache-2.0
"""A module whose last name is also that of another."""


def name() -> str:
    return "linux"
