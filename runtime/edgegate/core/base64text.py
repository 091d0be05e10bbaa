# SPDX-License-Identifier: Apache-2.0
"""Base64 (RFC 4648 §4), strict: the platforms' own decoders skip what they do not know."""

import binascii

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def decoded_bytes(text: str) -> int:
    """How many bytes a well-formed text of this length and padding stands for."""
    return len(text) // 4 * 3 - (len(text) - len(text.rstrip("=")))


def decode(text: str) -> "bytes | None":
    """The bytes, or None when the text is not padded standard base64 and nothing else."""
    body = text.rstrip("=")
    padding = len(text) - len(body)
    if len(text) % 4 != 0 or padding > 2 or body.lstrip(_ALPHABET):
        return None
    return binascii.a2b_base64(text)
