# SPDX-License-Identifier: Apache-2.0
"""Identifiers that file systems and partition tables want, made from content, not chance."""

from __future__ import annotations

import hashlib
import uuid


def identifier(content_digest: str, purpose: str) -> uuid.UUID:
    """A UUID for one purpose in an image whose content has the digest given.

    Version 8 (RFC 9562: the maker defines the bits), so that nobody takes it for a random one.
    """
    raw = bytearray(hashlib.sha256(f"{content_digest}\n{purpose}".encode()).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(raw))
