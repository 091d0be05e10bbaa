# SPDX-License-Identifier: Apache-2.0
"""Base64 (RFC 4648 §4), strict: the platforms' own decoders skip what they do not know."""

import binascii


def decoded_bytes(text: str) -> int:
    """How many bytes a well-formed text of this length and padding stands for."""
    return len(text) // 4 * 3 - (len(text) - len(text.rstrip("=")))


def in_alphabet(text: str) -> bool:
    """Whether every character stands for six bits."""
    for char in text:
        if not ("A" <= char <= "Z" or "a" <= char <= "z" or "0" <= char <= "9" or char in "+/"):
            return False
    return True


def decode(text: str) -> "bytes | None":
    """The bytes, or None when the text is not padded standard base64 and nothing else."""
    body = text.rstrip("=")
    padding = len(text) - len(body)
    if len(text) % 4 != 0 or padding > 2 or not in_alphabet(body):
        return None
    return binascii.a2b_base64(text)
