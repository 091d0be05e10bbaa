# SPDX-License-Identifier: Apache-2.0
"""E5xx signatures, attestations and verification."""

from __future__ import annotations

from edgebuild.errors.base import code
