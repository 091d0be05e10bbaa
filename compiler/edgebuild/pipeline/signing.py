# SPDX-License-Identifier: Apache-2.0
"""Who signs a release: the named key, the development key, or the identity of a CI job."""

from __future__ import annotations

import os
from pathlib import Path

from edgebuild.pipeline.password import password
from edgebuild.trust import bundle, keyless, keys
from edgebuild.trust.bundle import Verifier
from edgebuild.trust.keys import Signer
from edgebuild.trust.verify import verify


def open_signer() -> Signer:
    """The signer that the environment names."""
    if "EDGEBUILD_KEYLESS" in os.environ:
        return keyless.KeylessSigner()
    named = os.environ.get("EDGEBUILD_KEY")
    return keys.load_or_make(Path(named) if named else None, password)


def check(release: Path, signer: Signer) -> None:
    """Refuse to publish what a user's ``verify`` would refuse. Raises E507."""
    if isinstance(signer, keys.Key):
        verifier: Verifier = bundle.KeyVerifier(signer.public_key_pem())
    else:
        verifier = keyless.claimed((release / "SHA256SUMS.sigstore.json").read_bytes())
    verify(release, verifier).require()
