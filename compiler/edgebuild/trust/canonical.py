# SPDX-License-Identifier: Apache-2.0
"""One value, one sequence of bytes: how every JSON file of a release is written and read.

A verifier re-encodes what it read and compares, so a second spelling of the same value (white
space, key order, a repeated key) does not verify. See docs/decisions/0501-canonical-bundles.md.
"""

from __future__ import annotations

import json
from typing import Any


class NotCanonical(ValueError):
    """The bytes are no JSON, or not the one spelling of it."""


def document(value: object) -> bytes:
    """Encode for a file that people also read: two spaces, sorted keys, one final newline."""
    text = json.dumps(value, sort_keys=True, indent=2, allow_nan=False)
    return text.encode("ascii") + b"\n"


def compact(value: object) -> bytes:
    """Encode for a payload inside an envelope: sorted keys, no white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def parse(data: bytes) -> Any:
    """Decode any JSON text. Raises NotCanonical, also for nesting that Python cannot follow."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"not JSON: {error}") from error


def sha256_hex_is_valid(text: object) -> bool:
    """Whether this is a SHA-256 digest as we write it: 64 lower-case hexadecimal digits."""
    return isinstance(text, str) and len(text) == 64 and not set(text) - set("0123456789abcdef")
