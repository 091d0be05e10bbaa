# SPDX-License-Identifier: Apache-2.0
"""Signing keys: ECDSA P-256 over SHA-256, with signatures that are a function of key and message.

Everything above sees ``Signer``: two methods that return the bytes of a Sigstore bundle. A key
held elsewhere (PKCS#11, a KMS) is a subclass of ``Key`` that answers ``sign_digest``.
Why the signatures are deterministic: docs/decisions/0500-deterministic-signatures.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgebuild.errors.trust import KEY_EXPOSED, KEY_PASSWORD, KEY_UNUSABLE
from edgebuild.host import files, paths
from edgebuild.trust import bundle, dsse, ecdsa

DEVELOPMENT_KEY = "development-key-DO-NOT-SHIP.pem"
PASSWORD_VARIABLE = "EDGEBUILD_KEY_PASSWORD"  # noqa: S105  (the name of a variable)
PEM_LIMIT_BYTES = 64 * 1024

Password = Callable[[], bytes | None]


class Signer(Protocol):
    """What sealing a release needs: bundles, and a name for the one who signs."""

    def message(self, digest: bytes) -> bytes:
        """A Sigstore bundle (JSON) over a file's SHA-256 digest (32 bytes)."""

    def statement(self, payload: bytes) -> bytes:
        """A Sigstore bundle (JSON) around an in-toto statement (JSON)."""

    def identity(self) -> str:
        """Who signs, for the terminal: ``key sha256:…`` or a certificate's identity."""


class Key(ABC):
    """A private key that signs digests; where it lives is the subclass's business."""

    @abstractmethod
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half; always on P-256."""

    @abstractmethod
    def sign_digest(self, digest: bytes) -> bytes:
        """DER ECDSA signature (low s) of a SHA-256 digest of 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA signature (low s) of a message."""
        return self.sign_digest(hashlib.sha256(message).digest())

    def public_key_pem(self) -> bytes:
        return ecdsa.public_pem(self.public_key())

    def key_id(self) -> str:
        return ecdsa.key_id(self.public_key())

    def message(self, digest: bytes) -> bytes:
        return bundle.message_bundle(self.sign_digest(digest), digest, self.key_id())

    def statement(self, payload: bytes) -> bytes:
        signature = self.sign(dsse.pae(dsse.IN_TOTO, payload))
        return bundle.dsse_bundle(payload, signature, self.key_id())

    def identity(self) -> str:
        return f"key sha256:{self.key_id()}"


class PemKey(Key):
    """A private key held in memory, read from a PEM file."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._private.public_key()

    def sign_digest(self, digest: bytes) -> bytes:
        algorithm = ec.ECDSA(ecdsa.PREHASHED_SHA256, deterministic_signing=True)  # RFC 6979
        return ecdsa.low_s(self._private.sign(digest, algorithm))


def load(path: Path, password: Password | None = None) -> PemKey:
    """Read a private key. ``password`` is called only for an encrypted file.

    Raises E501 for a file that holds no P-256 key, E502 for one that others can read, E503 for a
    missing or wrong password.
    """
    data = _read_private(path)
    key: object
    try:
        key = serialization.load_pem_private_key(data, None)
    except TypeError:  # cryptography's way of saying that the PEM is encrypted
        key = _decrypt(path, data, password)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KEY_UNUSABLE("this is no PEM private key", where=str(path)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not ecdsa.is_p256(key.curve):
        raise KEY_UNUSABLE("the key is not on the curve P-256", where=str(path))
    return PemKey(key)


def load_public(path: Path) -> bytes:
    """Read a verification key as PEM; a private key's own file gives its public half.

    Raises E501, and for a private key what ``load`` raises.
    """
    data, _ = _read(path)
    if b"PRIVATE KEY" in data:
        return load(path).public_key_pem()
    return ecdsa.public_pem(ecdsa.parse_public(data, where=str(path)))


def load_or_make(key: Path | None, password: Password | None = None) -> PemKey:
    """The key that the user named, else the local development key, made on first use.

    The development key's public half is written beside it (``.pub``) for ``--key`` and cosign.
    """
    if key is not None:
        return load(key, password)
    path = paths.config_dir() / DEVELOPMENT_KEY
    if not path.exists():
        _make(path)
    made = load(path)
    public = path.with_suffix(".pub")
    if not public.exists():
        files.atomic_write(public, made.public_key_pem())
    return made


def _make(path: Path) -> None:
    """Write a new key. Two processes at once end up with one."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(temporary, "xb", opener=_private_opener) as file:
            file.write(pem)
        try:
            with contextlib.suppress(FileExistsError):  # another process was first: its key stands
                os.link(temporary, path)
        finally:
            temporary.unlink()
    except OSError as error:
        raise KEY_UNUSABLE(
            f"the development key cannot be made: {error.strerror}",
            where=str(path),
            hint="name a key with --key",
        ) from error


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(path: Path) -> tuple[bytes, int]:
    """A key file's bytes and its mode."""
    try:
        with path.open("rb") as file:
            return file.read(PEM_LIMIT_BYTES), os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise KEY_UNUSABLE(f"the key cannot be read: {error.strerror}", where=str(path)) from error


def _read_private(path: Path) -> bytes:
    data, mode = _read(path)
    if mode & 0o077:
        raise KEY_EXPOSED(
            "other users can read this private key", where=str(path), hint=f"chmod 600 {path}"
        )
    return data


def _decrypt(path: Path, data: bytes, password: Password | None) -> object:
    secret = password() if password else None
    if not secret:
        raise KEY_PASSWORD(
            "the key is encrypted and no password was given",
            where=str(path),
            hint=f"set {PASSWORD_VARIABLE}",
        )
    try:
        return serialization.load_pem_private_key(data, secret)
    except ValueError as error:
        raise KEY_PASSWORD("the password does not open this key", where=str(path)) from error
