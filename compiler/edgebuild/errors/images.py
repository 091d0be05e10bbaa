# SPDX-License-Identifier: Apache-2.0
"""E4xx images, and E45x the lab that boots them."""

from __future__ import annotations

from edgebuild.errors.base import code
