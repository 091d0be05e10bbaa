# SPDX-License-Identifier: Apache-2.0
"""Who signs a release: the named key, the development key, or the identity of a CI job."""

from __future__ import annotations

import os
from pathlib import Path

from edgebuild.trust import bundle, keys
from edgebuild.trust.bundle import Verifier
from edgebuild.trust.keys import Signer
from edgebuild.trust.verify import verify


def open_signer() -> tuple[Signer, Verifier]:
    """The signer that the environment names, and who checks its work."""
    if "EDGEBUILD_KEYLESS" in os.environ:
        from edgebuild.trust import keyless

        return keyless.open_signer()
    named = os.environ.get("EDGEBUILD_KEY")
    key = keys.load_or_make(Path(named) if named else None, password)
    return key, bundle.KeyVerifier(key.public_key_pem())


def password() -> bytes | None:
    """The password of an encrypted key; from the environment, never from a command line."""
    given = os.environ.get(keys.PASSWORD_VARIABLE)
    return given.encode() if given else None


def check(release: Path, verifier: Verifier) -> None:
    """Refuse to publish what a user's ``verify`` would refuse. Raises E507."""
    verify(release, verifier).require()
