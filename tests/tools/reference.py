# SPDX-License-Identifier: Apache-2.0
"""Writes the reference pages that come from code: command line, profile's keys, errors.

``python -m tests.tools.reference`` writes them; tests/unit/test_reference.py keeps them in step.
"""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path

from edgebuild.cli.parser import make_parser
from edgebuild.errors import catalogue
from edgebuild.model.profile import Profile
from edgebuild.trust.policy import Policy

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"


def pages() -> dict[str, str]:
    """The text of each generated page, by file name."""
    return {
        "cli.md": cli(),
        "profile.md": profile(),
        "errors.md": catalogue.page(),
        "policy.md": policy(),
    }


def cli() -> str:
    """The command line, from its parser."""
    parser = make_parser()
    parts = ["# The command line\n\nGenerated from the parser; do not edit.\n", _help(parser)]
    for name, command in _commands(parser):
        parts += [f"\n## edgebuild {name}\n", _help(command)]
    return "\n".join(parts)


def _help(parser: argparse.ArgumentParser) -> str:
    # not format_help(): its layout differs between versions of Python
    rows = [
        f"| `{_invocation(action)}` | {action.help} |"
        for action in parser._actions
        if not isinstance(action, argparse._SubParsersAction | argparse._HelpAction)
    ]
    table = ["| argument | meaning |", "|---|---|", *rows]
    return "\n".join([f"{parser.description}\n", *table, f"\n```\n{parser.epilog}\n```\n"])


def _invocation(action: argparse.Action) -> str:
    value = str(action.metavar or "|".join(action.choices or ())) if action.nargs != 0 else ""
    if not action.option_strings:
        return value
    return ", ".join(f"{option} {value}".strip() for option in action.option_strings)


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def policy() -> str:
    """The keys of a policy, from the dataclass that decodes it."""
    rows = [f"| `{f.name}` | {f.metadata['doc']} |\n" for f in dataclasses.fields(Policy)]
    return (
        "# The policy's keys\n\nGenerated from `compiler/edgebuild/trust/policy.py`; do not edit. "
        "[Verify a release](../guide/verify.md) has an example.\n\n| key | requires |\n|---|---|\n"
        + "".join(rows)
    )


def profile() -> str:
    """The keys of a profile, from the dataclasses that decode it."""
    head = (
        "# The profile's keys\n\nGenerated from `compiler/edgebuild/model/profile.py`; do not "
        "edit.\nA profile is `targets/NAME.toml`, or a file of your own that you give to "
        "`--target`.\n"
    )
    return head + "".join(_table(Profile, ""))


def _table(kind: type, path: str) -> Iterator[str]:
    hints = typing.get_type_hints(kind)
    inner = []
    yield f"\n## {f'[{path}]' if path else 'Top level'}\n\n{(kind.__doc__ or '').strip()}\n\n"
    yield "| key | type | default | meaning |\n|---|---|---|---|\n"
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        where = f"{path}.{field.name}" if path else field.name
        if dataclasses.is_dataclass(hint):
            inner.append((hint, where))
            continue
        yield (
            f"| `{field.name}` | {_type(hint)} | {_default(field)} | "
            f"{field.metadata.get('doc', '')} |\n"
        )
    for hint, where in inner:
        yield from _table(typing.cast(type, hint), where)


def _type(hint: object) -> str:
    return "list of text" if typing.get_origin(hint) is tuple else {
        str: "text", int: "integer", float: "number", bool: "true or false"
    }.get(typing.cast(type, hint), str(hint))  # fmt: skip


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is dataclasses.MISSING:
        return "required"
    return f"`{list(field.default) if isinstance(field.default, tuple) else field.default!r}`"


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
