# SPDX-License-Identifier: Apache-2.0
"""Freeze Python modules into bytecode. Run by the locked Python that the executable contains.

Started as a program of its own, it reads one JSON request from standard input:

    {"stdlib": folder, "source": folder that holds the gateway's package, "package": name,
     "roots": [modules that are always frozen], "builtins": [modules in the executable's table],
     "absent": [modules that only the gateway itself can bring in],
     "native": [gateway modules compiled to C],
     "replacements": {module: file}, "out": folder}

and writes ``frozen.bin`` (marshalled code objects, one after another) and ``frozen.json``
(``modules``: [name, offset, size, is_package], sorted; ``builtins``: those that something here
imports, sorted; ``missing``: [importer, module]).

Law: the bytes depend on the modules' text and names alone. Files are named "<frozen NAME>", no
path enters a code object, and modules are compiled in sorted order in one fresh process, because
marshal's references follow the process's history.

A module belongs when it is imported at the top level of a module that belongs; the gateway's own
imports count inside functions too, since that is how it defers what it seldom needs.
"""

from __future__ import annotations

import ast
import json
import marshal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# importlib's own halves come first in life and have other names then (CPython Python/frozen.c).
BOOTSTRAP = {
    "importlib._bootstrap": "_frozen_importlib",
    "importlib._bootstrap_external": "_frozen_importlib_external",
}


class Modules:
    """Finds a module's file by name."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.stdlib = Path(request["stdlib"])
        self.source = Path(request["source"])
        self.package = str(request["package"])
        self.replacements = {name: Path(path) for name, path in request["replacements"].items()}

    def is_gateway(self, name: str) -> bool:
        return name == self.package or name.startswith(self.package + ".")

    def find(self, name: str) -> tuple[Path, bool] | None:
        """The module's file and whether it is a package, or None."""
        if name in self.replacements:
            return self.replacements[name], False
        stem = (self.source if self.is_gateway(name) else self.stdlib) / name.replace(".", "/")
        if (stem / "__init__.py").is_file():
            return stem / "__init__.py", True
        module = stem.with_name(stem.name + ".py")
        return (module, False) if module.is_file() else None


def statements(node: ast.AST, inside_functions: bool) -> Iterator[ast.stmt]:
    """Import statements under ``node``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            yield from statements(child, inside_functions)


def imported(tree: ast.AST, name: str, is_package: bool, inside_functions: bool) -> set[str]:
    """Names that may be modules: ``from a import b`` gives both a and a.b."""
    found: set[str] = set()
    parts = name.split(".")
    for statement in statements(tree, inside_functions):
        if isinstance(statement, ast.Import):
            found.update(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            keep = len(parts) - statement.level + is_package
            base = parts[:keep] if statement.level else []
            module = ".".join(base + ([statement.module] if statement.module else []))
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in statement.names)
    return found


def parents(name: str) -> list[str]:
    """``a.b.c`` → a, a.b, a.b.c."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


@dataclass
class Closure:
    """Every module that belongs, the built-in ones they import, and what the gateway imports that
    is nowhere."""

    found: dict[str, tuple[Path, bool]] = field(default_factory=dict)
    builtins: set[str] = field(default_factory=set)
    missing: list[tuple[str, str]] = field(default_factory=list)


def close(request: dict[str, Any]) -> Closure:
    """Follow imports from the roots."""
    modules = Modules(request)
    leaves, absent = set(request["builtins"]), set(request["absent"])
    closure = Closure()
    found = closure.found
    queue = sorted({part for root in request["roots"] for part in parents(root)})
    while queue:
        name = queue.pop(0)
        if name in leaves:
            closure.builtins.add(name)
            continue
        place = modules.find(name)
        if name in found or place is None:
            continue
        found[name] = place
        ours = modules.is_gateway(name)
        tree = ast.parse(place[0].read_bytes())
        for other in sorted(imported(tree, name, place[1], ours)):
            if ours or not absent.intersection(parents(other)):
                queue.extend(parents(other))
            top = other.split(".")[0]
            if ours and top not in leaves and modules.find(top) is None:
                closure.missing.append((name, other))
    return closure


def freeze(name: str, path: Path) -> bytes:
    """Bytecode without asserts, docstrings and column numbers."""
    code = compile(path.read_bytes(), f"<frozen {name}>", "exec", dont_inherit=True, optimize=2)
    return marshal.dumps(code)


def main() -> None:
    request = json.load(sys.stdin)
    closure = close(request)
    native = set(request["native"])
    blob = bytearray()
    index: list[tuple[str, int, int, bool]] = []
    for name, (path, is_package) in sorted(closure.found.items()):
        if name in native:
            continue
        code = freeze(name, path)
        index.append((BOOTSTRAP.get(name, name), len(blob), len(code), is_package))
        blob += code
    out = Path(request["out"])
    (out / "frozen.bin").write_bytes(blob)
    answer = {
        "modules": index,
        "builtins": sorted(closure.builtins),
        "missing": closure.missing,
    }
    (out / "frozen.json").write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()
