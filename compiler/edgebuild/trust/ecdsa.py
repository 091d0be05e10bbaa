# SPDX-License-Identifier: Apache-2.0
"""ECDSA on P-256: public keys, their names, and the one accepted form of a signature."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from edgebuild.errors.trust import KEY_UNUSABLE

PREHASHED_SHA256 = utils.Prehashed(hashes.SHA256())

# The order of P-256 (SEC 2, secp256r1). (r, s) and (r, n - s) both verify; only the lower is ours.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def low_s(signature: bytes) -> bytes:
    """The one of a signature's two valid forms with s at most half the order.

    Raises ValueError for what is no strict DER signature.
    """
    r, s = utils.decode_dss_signature(signature)
    return utils.encode_dss_signature(r, min(s, ORDER - s))


def is_p256(curve: ec.EllipticCurve) -> bool:
    return isinstance(curve, ec.SECP256R1)


def public_pem(public: ec.EllipticCurvePublicKey) -> bytes:
    """SubjectPublicKeyInfo as PEM, the form that ``cosign --key`` reads."""
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_id(public: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the DER SubjectPublicKeyInfo, as 64 hexadecimal digits."""
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def parse_public(data: bytes, *, where: str) -> ec.EllipticCurvePublicKey:
    """Decode a PEM public key. Raises E501 unless it is on P-256."""
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KEY_UNUSABLE("this is no PEM public key", where=where) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not is_p256(key.curve):
        raise KEY_UNUSABLE("the key is not on the curve P-256", where=where)
    return key
