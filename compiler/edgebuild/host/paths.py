# SPDX-License-Identifier: Apache-2.0
"""Where things are on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import edgebuild


def cache_dir() -> Path:
    """The cache: $EDGEBUILD_CACHE, else edgebuild/ in the XDG cache directory."""
    own = os.environ.get("EDGEBUILD_CACHE")
    if own:
        return Path(own).absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is invalid and to be ignored.
    base = Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache"
    return base / "edgebuild"


def config_dir() -> Path:
    """Where keys and settings of this user live: edgebuild/ in the XDG config directory."""
    xdg = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(xdg) if os.path.isabs(xdg) else Path.home() / ".config"
    return base / "edgebuild"


def data_dir() -> Path:
    """The folder that holds runtime/, targets/, templates/, locks/ and demo/.

    In an installed wheel that is ``edgebuild/data``; in a checkout, the repository's root.
    """
    package = Path(edgebuild.__file__).resolve().parent
    installed = package / "data"
    return installed if installed.is_dir() else package.parents[1]
