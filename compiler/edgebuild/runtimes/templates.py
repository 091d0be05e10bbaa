# SPDX-License-Identifier: Apache-2.0
"""Files made from templates/runtime: C, and the script that links again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from edgebuild.host.paths import data_dir


def render(template: str, **values: Any) -> str:
    """The text; a value that the template names and nobody gives is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir() / "templates/runtime"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - C, not HTML
    )
    return environment.get_template(template).render(**values)


def write(template: str, out: Path, **values: Any) -> None:
    """Write the text to a file."""
    out.write_text(render(template, **values), encoding="utf-8")
