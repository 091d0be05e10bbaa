# SPDX-License-Identifier: Apache-2.0
"""The password of an encrypted key: from the environment, never from a command line."""

from __future__ import annotations

import os

from edgebuild.trust.keys import PASSWORD_VARIABLE


def password() -> bytes | None:
    """The password, if there is one."""
    given = os.environ.get(PASSWORD_VARIABLE)
    return given.encode() if given else None
