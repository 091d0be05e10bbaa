# SPDX-License-Identifier: Apache-2.0
"""edgebuild: models in, signed MCP gateway images out."""

__version__ = "0.1.0"
