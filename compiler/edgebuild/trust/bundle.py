# SPDX-License-Identifier: Apache-2.0
"""Sigstore bundles v0.3, made with a key: no certificate, no log entry, nothing but the signature.

Verifying rebuilds the whole bundle from what is proven (digest or payload, key, signature) and
compares bytes, so no byte of the file is left unchecked. Stock ``cosign`` verifies the same files.
Source: sigstore/protobuf-specs, protos/sigstore_bundle.proto (JSON mapping).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from edgebuild.trust import canonical, dsse, ecdsa

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
LIMIT_BYTES = 16 * 1024 * 1024


class NotProven(ValueError):
    """A bundle does not prove what it stands beside; the text says why."""


class Verifier(Protocol):
    """The other side of ``keys.Signer``: checks bundles against one trusted signer."""

    def message(self, data: bytes, digest: bytes) -> None:
        """Check a bundle over a file's SHA-256 digest. Raises NotProven."""

    def statement(self, data: bytes) -> bytes:
        """Check a bundle around a statement and return the statement. Raises NotProven."""

    def identity(self) -> str:
        """The trusted signer, as ``keys.Signer.identity`` names it."""


def message_bundle(signature: bytes, digest: bytes, key_id: str) -> bytes:
    """A bundle over a file: DER signature and SHA-256 digest (32 bytes) of the file."""
    return _bundle(
        key_id,
        messageSignature={
            "messageDigest": {"algorithm": "SHA2_256", "digest": _b64(digest)},
            "signature": _b64(signature),
        },
    )


def dsse_bundle(payload: bytes, signature: bytes, key_id: str) -> bytes:
    """A bundle around an in-toto statement: its JSON, and the DER signature of its DSSE PAE."""
    return _bundle(
        key_id,
        dsseEnvelope={
            "payload": _b64(payload),
            "payloadType": dsse.IN_TOTO,
            "signatures": [{"sig": _b64(signature)}],
        },
    )


def _bundle(key_id: str, **content: object) -> bytes:
    hint = _b64(bytes.fromhex(key_id))
    material = {"publicKey": {"hint": hint}}
    return canonical.document(
        {"mediaType": MEDIA_TYPE, "verificationMaterial": material, **content}
    )


class KeyVerifier:
    """Trusts exactly one public key."""

    def __init__(self, public_key_pem: bytes, *, where: str = "the public key") -> None:
        self._key = ecdsa.parse_public(public_key_pem, where=where)
        self.key_id = ecdsa.key_id(self._key)

    def identity(self) -> str:
        return f"key sha256:{self.key_id}"

    def message(self, data: bytes, digest: bytes) -> None:
        signature = _bytes_at(data, "messageSignature", "signature")
        self._same(data, message_bundle(signature, digest, self.key_id))
        self._check(signature, digest)

    def statement(self, data: bytes) -> bytes:
        payload = _bytes_at(data, "dsseEnvelope", "payload")
        signature = _bytes_at(data, "dsseEnvelope", "signatures", 0, "sig")
        self._same(data, dsse_bundle(payload, signature, self.key_id))
        self._check(signature, hashlib.sha256(dsse.pae(dsse.IN_TOTO, payload)).digest())
        return payload

    def _same(self, data: bytes, rebuilt: bytes) -> None:
        """Digest, key hint and every byte of form are compared at once; all of it is public."""
        if data != rebuilt:
            raise NotProven("it is for another file or another key, or its form was changed")

    def _check(self, signature: bytes, digest: bytes) -> None:
        try:
            is_low = ecdsa.low_s(signature) == signature
            self._key.verify(signature, digest, ec.ECDSA(ecdsa.PREHASHED_SHA256))
        except (InvalidSignature, ValueError) as error:
            raise NotProven("the signature is not the key's") from error
        if not is_low:
            raise NotProven("the signature is a malleated form of the key's")


def _bytes_at(data: bytes, *path: str | int) -> bytes:
    """The base64 field at a path in a bundle. Raises NotProven where the path leads nowhere."""
    try:
        value: Any = canonical.parse(data)
        for step in path:
            value = value[step]
        return base64.b64decode(value, validate=True)
    except (canonical.NotCanonical, LookupError, TypeError, binascii.Error, ValueError) as error:
        raise NotProven(f"it has no {path[-1]}: not a bundle of this kind") from error


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
