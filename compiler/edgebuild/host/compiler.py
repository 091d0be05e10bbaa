# SPDX-License-Identifier: Apache-2.0
"""The C compiler and linker: zig, from the same Python environment as edgebuild."""

from __future__ import annotations

import sys


def zig() -> list[str]:
    """How zig is called: ``[*zig(), "cc", "-target", …]``, with ``process.run``.

    Its caches are in edgebuild's cache: ``process.environment`` says so to every child.
    """
    return [sys.executable, "-m", "ziglang"]
