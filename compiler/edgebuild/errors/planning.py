# SPDX-License-Identifier: Apache-2.0
"""E6xx fit, plan and pipeline."""

from __future__ import annotations

from edgebuild.errors.base import code
