# SPDX-License-Identifier: Apache-2.0
"""E3xx the compiled gateway runtime."""

from __future__ import annotations

from edgebuild.errors.base import code
