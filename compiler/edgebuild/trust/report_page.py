# SPDX-License-Identifier: Apache-2.0
"""``report.html`` and the picture for the README, drawn from the content of ``report.json``.

The page is one file without script; its policy lets the browser load nothing and use no style
but its own, by digest.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from edgebuild.host import paths
from edgebuild.trust import canonical, drawing, report
from edgebuild.trust.drawing import Picture
from edgebuild.trust.picture_memory import memory
from edgebuild.trust.picture_roofline import roofline
from edgebuild.trust.picture_sizes import executable, image

TEMPLATE, STYLE = "report.html.j2", "report.css"
_GAP = 34.0


def write(facts: report.Facts, json_file: Path, html_file: Path) -> None:
    """Write both forms of the report."""
    content = report.report(facts)
    json_file.write_bytes(canonical.document(content))
    html_file.write_bytes(page(content))


def page(content: Mapping[str, Any]) -> bytes:
    """report.html from the content of report.json."""
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.data_dir() / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "size": drawing.size,
        "quantity": drawing.quantity,
        "duration": drawing.duration,
        "brief": _brief,
    }
    drawn = pictures(content)
    html = environment.get_template(TEMPLATE).render(
        report=content,
        style=Markup(style),  # noqa: S704  (a file of ours)
        style_digest=digest,
        pictures={name: Markup(p.svg()) for name, p in drawn.items()},  # noqa: S704
        descriptions={name: picture.description for name, picture in drawn.items()},
    )
    return html.encode("utf-8")


def pictures(content: Mapping[str, Any]) -> dict[str, Picture]:
    """Every picture of the page by name; ``drawing`` escapes what it is given."""
    program = content["executable"]
    drawn = [executable(program["parts"], program["name"])]
    if content["image"]:
        drawn.append(image(content["image"]["packages"], "the image"))
    for model in content["models"]:
        drawn += [memory(model), roofline(model, content["target"])]
    return {picture.name: picture for picture in drawn}


def poster(content: Mapping[str, Any]) -> bytes:
    """One SVG file of the first model's pictures, for a README."""
    drawn = pictures(content)
    first = content["models"][0]["name"]
    chosen = ["executable", "image", f"memory-{first}", f"roofline-{first}"]
    body, y = "", 0.0
    for picture in (drawn[name] for name in chosen if name in drawn):
        body += drawing.label(0, y + 18, picture.title, class_="heading")
        body += drawing.element(
            "g", picture.body, transform=f"translate(0 {drawing.number(y + _GAP)})"
        )
        y += _GAP + picture.height + 16
    style = drawing.element("style", _style())
    svg = drawing.element(
        "svg",
        style + drawing.element("rect", x=-16, y=-16, width=992, height=y + 24, class_="paper")
        + body,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"-16 -16 992 {drawing.number(y + 24)}",
        class_="poster",
        role="img",
        aria_label=f"Report of a release for {content['target']['name']}",
    )  # fmt: skip
    return svg.encode("utf-8") + b"\n"


def _style() -> str:
    return (paths.data_dir() / "templates" / STYLE).read_text(encoding="utf-8")


def _brief(value: object) -> str:
    """A value of unknown shape in one short line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str | int):
        return str(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
