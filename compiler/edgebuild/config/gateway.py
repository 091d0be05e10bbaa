# SPDX-License-Identifier: Apache-2.0
"""``mcp-edge.toml``: read, checked against the gateway's own schema, made canonical JSON.

The schema is ``runtime/edgegate/config.schema.json``, generated from the gateway's table, so that
the tool and the device agree on every key.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from edgebuild.config.decode import nearest, read_toml
from edgebuild.errors.general import INVALID_VALUE, UNKNOWN_KEY


def load(path: Path, schema: Mapping[str, Any], models: Collection[str]) -> bytes:
    """The configuration in ``path`` as canonical JSON.

    ``models`` are the names that ``[models.NAME]`` may use. Raises E002 to E006.
    """
    table = read_toml(path)
    check(table, schema, where=str(path))
    for name in table.get("models", {}):
        if name not in models:
            raise UNKNOWN_KEY(
                f"[models.{name}] names no model of this build",
                where=str(path),
                hint=nearest(name, models),
            )
    return canonical(table)


def canonical(table: Mapping[str, Any]) -> bytes:
    """Equal tables give equal bytes."""
    return json.dumps(table, sort_keys=True, indent=1, ensure_ascii=True).encode() + b"\n"


def check(table: Mapping[str, Any], schema: Mapping[str, Any], *, where: str) -> None:
    """Raise E004 or E006 for the first key of ``table``, in order, that ``schema`` refuses."""
    import jsonschema  # 50 ms, and not needed without a configuration

    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(table), key=lambda error: list(map(str, error.path)))
    if not errors:
        return
    first = errors[0]
    place = ".".join(map(str, first.path))
    if first.validator == "additionalProperties":
        known = first.schema.get("properties", {})
        unknown = sorted(key for key in first.instance if key not in known)[0]
        key = f"{place}.{unknown}" if place else unknown
        raise UNKNOWN_KEY(f"unknown key '{key}'", where=where, hint=nearest(unknown, known))
    raise INVALID_VALUE(f"'{place}': {first.message}", where=where)
