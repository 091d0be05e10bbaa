# SPDX-License-Identifier: Apache-2.0
"""The flow's types: frozen values, and nothing else (DESIGN: "The flow")."""
