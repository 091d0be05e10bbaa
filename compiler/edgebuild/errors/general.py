# SPDX-License-Identifier: Apache-2.0
"""E0xx command line, configuration and profiles."""

from __future__ import annotations

from edgebuild.errors.base import code
