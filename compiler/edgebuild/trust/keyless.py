# SPDX-License-Identifier: Apache-2.0
"""Keyless signing and verification with Sigstore, behind ``keys.Signer`` and ``bundle.Verifier``.

Signing takes the ambient OpenID identity of a CI job; there is no browser flow, because a release
is signed by a pipeline and not by whoever sits before it. Its bundles hold a certificate, a log
entry and a time, so a keyless release is not reproducible byte by byte: its artifacts are.
Needs the extra ``edgebuild[keyless]``, imported on use only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgebuild.errors import EdgebuildError
from edgebuild.errors.trust import KEYLESS_UNAVAILABLE
from edgebuild.trust import canonical, dsse
from edgebuild.trust.bundle import NotProven

if TYPE_CHECKING:
    from sigstore.hashes import Hashed
    from sigstore.models import Bundle
    from sigstore.verify import Verifier

logging.getLogger("sigstore").addHandler(logging.NullHandler())  # else its notes reach stderr

# Fulcio's extension with the OpenID issuer, as plain text (sigstore/fulcio, docs/oid-info.md).
_ISSUER = "1.3.6.1.4.1.57264.1.1"

_GITHUB_HINT = "on GitHub give the job `permissions: id-token: write`; elsewhere sign with --key"


class KeylessSigner:
    """Signs with a short-lived certificate for the CI job's identity."""

    def __init__(self) -> None:
        """Get the job's identity and a certificate for it. Raises E505."""
        with _plainly("sign"):
            from sigstore.models import ClientTrustConfig
            from sigstore.oidc import IdentityToken, detect_credential
            from sigstore.sign import Signer, SigningContext

            credential = detect_credential()
            if credential is None:
                raise KEYLESS_UNAVAILABLE(
                    "there is no ambient identity to sign with", hint=_GITHUB_HINT
                )
            self._token = IdentityToken(credential)
            context = SigningContext.from_trust_config(ClientTrustConfig.production())
            self._signer = Signer(self._token, context)

    def identity(self) -> str:
        return f"{self._token.identity} ({self._token.federated_issuer})"

    def message(self, digest: bytes) -> bytes:
        with _plainly("sign"):
            return encode(self._signer.sign_artifact(_hashed(digest)))

    def statement(self, payload: bytes) -> bytes:
        with _plainly("sign"):
            from sigstore.dsse import Statement

            return encode(self._signer.sign_dsse(Statement(payload)))


class KeylessVerifier:
    """Trusts exactly one identity (an e-mail address or a workflow's URI) of one OpenID issuer."""

    def __init__(self, identity: str, issuer: str, verifier: Verifier | None = None) -> None:
        """Use Sigstore's trusted root as cached on this machine. Raises E505."""
        self._identity, self._issuer = identity, issuer
        with _plainly("verify"):
            from sigstore.verify import Verifier, policy

            self._verifier = verifier or Verifier.production(offline=True)
            self._policy = policy.Identity(identity=identity, issuer=issuer)

    def identity(self) -> str:
        return f"{self._identity} ({self._issuer})"

    def message(self, data: bytes, digest: bytes) -> None:
        with _not_proven():
            self._verifier.verify_artifact(_hashed(digest), decode(data), self._policy)

    def statement(self, data: bytes) -> bytes:
        with _not_proven():
            kind, payload = self._verifier.verify_dsse(decode(data), self._policy)
        if kind != dsse.IN_TOTO:
            raise NotProven("the envelope does not hold an in-toto statement")
        return bytes(payload)


def claimed(data: bytes) -> KeylessVerifier:
    """A verifier for whom the bundle's own certificate names.

    It shows that a release is whole, not who made it: for the builder's check of its own work.
    Raises NotProven for what is no bundle, E505.
    """
    from cryptography import x509

    with _not_proven():
        certificate = decode(data).signing_certificate
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        issuer = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(_ISSUER)).value
        name, claim = str(names[0].value), issuer.public_bytes()
    return KeylessVerifier(name, claim.decode("ascii"))


def encode(bundle: Bundle) -> bytes:
    """A bundle's one spelling in a release."""
    return canonical.document(canonical.parse(bundle.to_json().encode()))


def decode(data: bytes) -> Bundle:
    """Read a bundle. Raises NotProven unless its bytes are its one spelling."""
    from sigstore.models import Bundle

    with _not_proven():
        bundle = Bundle.from_json(data)
    if encode(bundle) != data:
        raise NotProven("the bundle is not in its one form, or holds what nobody checks")
    return bundle


def _hashed(digest: bytes) -> Hashed:
    from sigstore.hashes import Hashed
    from sigstore_models.common.v1 import HashAlgorithm

    return Hashed(algorithm=HashAlgorithm.SHA2_256, digest=digest)


@contextmanager
def _plainly(what: str) -> Iterator[None]:
    """Tell failures of the library, the network or the identity as E505."""
    try:
        yield
    except EdgebuildError:
        raise
    except ImportError as error:
        raise KEYLESS_UNAVAILABLE(
            f"to {what} without a key, Sigstore's library is needed",
            hint="pip install 'edgebuild[keyless]'",
        ) from error
    except Exception as error:  # what the library raises has no common base
        reason = str(error) or type(error).__name__
        raise KEYLESS_UNAVAILABLE(
            f"Sigstore cannot {what}: {reason}", hint=_GITHUB_HINT if what == "sign" else None
        ) from error


@contextmanager
def _not_proven() -> Iterator[None]:
    """A failure of any kind proves nothing."""
    try:
        yield
    except NotProven:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise NotProven(f"not proven by Sigstore: {reason}") from error
