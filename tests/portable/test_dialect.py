# SPDX-License-Identifier: Apache-2.0
"""`edgegate.core` is written so that CPython, Cython and MicroPython read it alike."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((ROOT / "runtime/edgegate/core").glob("*.py")),
    ROOT / "tests/portable/play.py",
]

# zlib is optional: image.py does without it.
MODULES = {"struct", "binascii", "zlib", "edgegate.core"}
# Names and methods that MicroPython does not have. `all` and `any` because Cython 3.3.1 turns
# one over a comprehension with `and` in it into a crash.
NAMES = {"frozenset", "memoryview", "all", "any", "vars"}
METHODS = {
    "bit_length", "capitalize", "casefold", "expandtabs", "format_map", "isalnum", "isascii",
    "isidentifier", "isnumeric", "isprintable", "ljust", "maketrans", "partition",
    "removeprefix", "removesuffix", "rjust", "rpartition", "splitlines", "swapcase",
    "translate", "zfill",
}  # fmt: skip
NODES = (
    ast.Match, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await, ast.TryStar,
)  # fmt: skip


def f_strings(node: ast.AST) -> Iterator[ast.AST]:
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.JoinedStr))


def is_split(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("split", "rsplit")


def offences(tree: ast.AST) -> Iterator[str]:
    """Everything in the tree that the dialect does not have."""
    for node in ast.walk(tree):
        where = f"line {getattr(node, 'lineno', 0)}: "
        if isinstance(node, NODES):
            yield where + type(node).__name__
        elif isinstance(node, ast.arguments) and node.posonlyargs:
            yield where + "positional-only arguments"
        elif isinstance(node, ast.Dict) and None in node.keys:
            yield where + "** in a dict"
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            yield from (where + "* in a display" for item in node.elts if type(item) is ast.Starred)
        elif isinstance(node, ast.Slice) and node.step is not None:
            yield where + "slice with a step"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in MODULES:
                    yield where + "import " + alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module not in MODULES:
                yield where + f"import {node.module}"
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield where + node.id
        elif isinstance(node, ast.Attribute) and node.attr in METHODS:
            yield where + "." + node.attr
        elif isinstance(node, ast.Call) and node.keywords and is_split(node.func):
            yield where + "split with a keyword"
        elif isinstance(node, ast.JoinedStr) and len(list(f_strings(node))) > 1:
            yield where + "f-string in an f-string"
        if getattr(node, "type_params", None):
            yield where + "type parameters"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_core_keeps_to_the_dialect(path: Path) -> None:
    assert list(offences(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("path", FILES[:-1], ids=lambda path: path.name)
def test_records_have_slots(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(base, ast.Name) and base.id == "Record" for base in node.bases
        ):
            slots = [
                ast.literal_eval(item.value)
                for item in node.body
                if isinstance(item, ast.Assign) and item.targets[0].id == "__slots__"
            ]
            hints = [item.target.id for item in node.body if isinstance(item, ast.AnnAssign)]
            assert slots, node.name
            assert sorted(slots[0]) == sorted(hints), node.name


@pytest.mark.parametrize(
    ("text", "offence"),
    [
        ("match x:\n case 1: pass", "Match"),
        ("def f(a, /): pass", "positional-only"),
        ("x = {**y}", "** in a dict"),
        ("x = [*y]", "* in a display"),
        ("x = y[::2]", "slice with a step"),
        ("import typing", "import typing"),
        ("from json import loads", "import json"),
        ("all([a and b for a in c])", "all"),
        ("x.partition('a')", ".partition"),
        ("x.split('a', maxsplit=1)", "split with a keyword"),
        ("f'{f\"{x}\"}'", "f-string"),
    ],
)
def test_the_dialect_test_finds(text: str, offence: str) -> None:
    assert any(offence in found for found in offences(ast.parse(text)))
