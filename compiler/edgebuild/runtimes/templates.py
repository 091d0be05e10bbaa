# SPDX-License-Identifier: Apache-2.0
"""C files made from templates/runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from edgebuild.host.paths import data_dir


def write(template: str, out: Path, **values: Any) -> None:
    """Write one C file; a value that the template names and nobody gives is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir() / "templates/runtime"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - C, not HTML
    )
    out.write_text(environment.get_template(template).render(**values), encoding="utf-8")
