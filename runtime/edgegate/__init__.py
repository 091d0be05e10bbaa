# SPDX-License-Identifier: Apache-2.0
"""The gateway on the device: serves compiled models over MCP."""

__version__ = "0.1.0"
