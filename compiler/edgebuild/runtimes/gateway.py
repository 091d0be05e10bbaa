# SPDX-License-Identifier: Apache-2.0
"""The gateway's Python as C: Cython turns every module that handles requests into machine code.

Law: the C depends on the package's text alone. Cython runs on a copy in which the package is at
the root, so that the only path it can mention is ``edgegate/core/gateway.py``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgebuild.host import process
from edgebuild.runtimes.toolchain import Unit

PACKAGE = "edgegate"
# These run once, when the gateway starts: as bytecode they are a tenth of the size.
BYTECODE = frozenset(
    f"{PACKAGE}.{name}" for name in ("core.config", "core.model", "core.setup", "linux.main")
)
OPTIONS = (
    "-3",
    "--no-docstrings",
    "-X",
    "annotation_typing=False,emit_code_comments=False,embedsignature=False",
)


def copy_sources(source: Path, out: Path) -> None:
    """Copy the package's Python files, and those only, to ``out/edgegate``."""
    for file in sorted((source / PACKAGE).rglob("*")):
        if file.suffix in (".py", ".pxd"):
            target = out / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def native_modules(source: Path) -> list[str]:
    """Names of the modules that become C, sorted. A package's ``__init__`` stays bytecode:
    Python gives ``__path__`` to frozen packages but not to built-in ones."""
    files = sorted(path.relative_to(source) for path in (source / PACKAGE).rglob("*.py"))
    names = [".".join(path.with_suffix("").parts) for path in files if path.name != "__init__.py"]
    return [name for name in names if name not in BYTECODE]


# Cython (3.0 to 3.3.1) forgets to box a C truth value that ends an "and" inside a comprehension:
# ``[p != "" and len(p) < 4 for p in parts]`` stores 1 as a pointer. The compiler sees it.
GUARDS = ("-Werror=int-to-pointer-cast", "-Werror=int-conversion")


def initialiser(module: str) -> str:
    """Cython names it after the last part alone; two ``config`` modules would clash."""
    return "PyInit_" + module.replace(".", "__")


def cythonise(copy: Path, modules: Sequence[str], *, jobs: int) -> list[Unit]:
    """Write C beside the Python files in ``copy``; the units to compile.

    Raises E112 with the place in the gateway's source.
    """
    shares = [modules[start::jobs] for start in range(min(jobs, len(modules)))]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda share: _run_cython(copy, share), shares))
    return [
        Unit(
            name=module,
            source=copy / _path(module, ".c"),
            flags=(*GUARDS, f"-DPyInit_{module.rpartition('.')[2]}={initialiser(module)}"),
        )
        for module in modules
    ]


def _run_cython(copy: Path, modules: Sequence[str]) -> None:
    argv = [sys.executable, "-m", "cython", *OPTIONS, *(_path(one, ".py") for one in modules)]
    process.run(argv, what="turn the gateway into C", cwd=copy)


def _path(module: str, suffix: str) -> str:
    return module.replace(".", "/") + suffix
