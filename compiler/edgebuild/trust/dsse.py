# SPDX-License-Identifier: Apache-2.0
"""DSSE: what is signed is the payload's type and bytes, never a parse of them.

Source: secure-systems-lab/dsse, protocol.md, version 1.0.
"""

from __future__ import annotations

IN_TOTO = "application/vnd.in-toto+json"


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that a DSSE signature is over."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
