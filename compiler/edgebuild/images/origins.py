# SPDX-License-Identifier: Apache-2.0
"""Names the package that a file of an image is from."""

from __future__ import annotations

from edgebuild.errors.images import PACKAGE_INCOMPLETE
from edgebuild.model.lock import Lock


def package(lock: Lock, group: str, prefix: str) -> str:
    """The package URL of the group's first package whose name begins so. Raises E402."""
    for candidate in lock.groups.get(group, ()):
        if candidate.name.startswith(prefix) and candidate.files:
            return candidate.files[0].purl
    raise PACKAGE_INCOMPLETE(f"the lock's group {group} has no package {prefix}")
