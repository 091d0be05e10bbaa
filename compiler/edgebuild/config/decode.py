# SPDX-License-Identifier: Apache-2.0
"""One decoder for every TOML file: the dataclass is the schema.

A key that no field reads is an error that names the nearest known key.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from edgebuild.errors.general import (
    INVALID_TOML,
    INVALID_VALUE,
    MISSING_KEY,
    UNKNOWN_KEY,
    UNREADABLE_FILE,
)

T = TypeVar("T")

MAX_TOML_BYTES = 1 << 20


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file of at most 1 MiB. Raises E002 or E003."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TOML_BYTES + 1)
    except OSError as error:
        raise UNREADABLE_FILE(
            f"cannot read {path.name}: {error.strerror}", where=str(path)
        ) from error
    if len(data) > MAX_TOML_BYTES:
        raise INVALID_TOML(f"{path.name} is larger than {MAX_TOML_BYTES} bytes", where=str(path))
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise INVALID_TOML(f"{path.name} is not valid TOML: {error}", where=str(path)) from error


def decode(kind: type[T], table: Mapping[str, Any], *, where: str, key: str = "") -> T:
    """Make a ``kind`` from ``table``. ``where`` names the file, ``key`` the table in it.

    Raises E004 for an unknown key, E005 for a missing one, E006 for a wrong type.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in table:
        if name not in fields:
            raise UNKNOWN_KEY(
                f"unknown key '{_path(key, name)}'", where=where, hint=nearest(name, fields)
            )
    values = {
        name: _value(hints[name], table[name], where, _path(key, name))
        for name in fields
        if name in table
    }
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in values:
            raise MISSING_KEY(
                f"missing key '{_path(key, name)}'",
                where=where,
                hint=str(field.metadata.get("doc", "")) or None,
            )
    return kind(**values)


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """A hint that names the known words closest to ``name``."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"


def _path(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _value(hint: Any, value: Any, where: str, key: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return decode(hint, value, where=where, key=key)
        raise _wrong(value, "a table", where, key)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise _wrong(value, "a list", where, key)
        item = typing.get_args(hint)[0]
        return tuple(_value(item, each, where, f"{key}[{i}]") for i, each in enumerate(value))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        item = next(arg for arg in typing.get_args(hint) if arg is not type(None))
        return _value(item, value, where, key)
    return _scalar(hint, value, where, key)


def _scalar(hint: type, value: Any, where: str, key: str) -> Any:
    # bool is an int in Python; a profile that says cores = true is a mistake
    if isinstance(value, bool) is not (hint is bool):
        raise _wrong(value, hint.__name__, where, key)
    if hint is float and isinstance(value, int):
        return float(value)
    if not isinstance(value, hint):
        raise _wrong(value, hint.__name__, where, key)
    if isinstance(value, int) and value < 0:
        raise INVALID_VALUE(f"'{key}' is {value}; it cannot be negative", where=where)
    return value


def _wrong(value: object, wanted: str, where: str, key: str) -> Exception:
    return INVALID_VALUE(f"'{key}' is {value!r}; it must be {wanted}", where=where)
