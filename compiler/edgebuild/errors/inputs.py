# SPDX-License-Identifier: Apache-2.0
"""E1xx downloads, cache, lock and host tools."""

from __future__ import annotations

from edgebuild.errors.base import code
