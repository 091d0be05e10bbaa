# SPDX-License-Identifier: Apache-2.0
"""E2xx models, graphs and kernels."""

from __future__ import annotations

from edgebuild.errors.base import code
