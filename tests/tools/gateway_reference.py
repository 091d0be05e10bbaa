# SPDX-License-Identifier: Apache-2.0
"""Writes what is made from the gateway's configuration table: the schema and the reference page.

Run `python -m tests.tools.gateway_reference` after a change of the table, and commit both.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "runtime"))

from edgegate.core import config  # noqa: E402

HEAD = """<!-- made by tests/tools/gateway_reference.py from runtime/edgegate/core/config.py -->
# mcp-edge.toml

The configuration of the gateway, a TOML file. `edgebuild --config mcp-edge.toml` puts it into the
executable; `mcp-gateway --config FILE` uses another one in its place. Every key has a default, so
an empty file, or none, is a working configuration. A key or table that is not listed here is an
error that names the nearest known one.

`runtime/edgegate/config.schema.json` is the same as JSON Schema, for editors.

```toml
[gateway]
name = "workshop"
listen = "0.0.0.0:8080"
allowed_hosts = ["workshop.local"]

[models.kws]
tool = "hear_keyword"
labels = ["silence", "unknown", "yes", "no"]
```

"""
SECTIONS = {
    "gateway": ("`[gateway]`", "One table for the whole gateway."),
    "models": (
        "`[models.NAME]`",
        "One table for each model, all optional. NAME is the model's: the file name in lower case, "
        "with everything but letters and digits as `_`.",
    ),
}


def limits(field: config.Field) -> str:
    if field.choices is not None:
        return ", ".join(f"`{choice}`" for choice in field.choices)
    if field.kind == "integer":
        return f"integer, {field.low} to {field.high}"
    if field.kind == "texts":
        return f"list of strings, at most {field.high}"
    return f"string, {field.low} to {field.high} characters"


def row(field: config.Field) -> str:
    default = "–" if field.default is None else f"`{json.dumps(field.default)}`"
    return f"| `{field.name}` | {limits(field)} | {default} | {field.doc} |\n"


def config_page() -> str:
    text = HEAD
    for name, (title, words) in SECTIONS.items():
        text += f"## {title}\n\n{words}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
        text += "".join(row(field) for field in config.TABLES[name]) + "\n"
    return text.rstrip("\n") + "\n"


def schema_text() -> str:
    return json.dumps(config.schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    (ROOT / "docs/reference/config.md").write_text(config_page())
    (ROOT / "runtime/edgegate/config.schema.json").write_text(schema_text())
