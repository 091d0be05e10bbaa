# SPDX-License-Identifier: Apache-2.0
"""Which parts of CPython are in the executable. This table alone decides it.

Left out on purpose: the shell of the language (site, pdb, ctypes, zipimport, dynamic loading),
unicodedata (0.7 MB; our own ``idna`` codec does without), decimal, pickle, csv, XML.
"""

from __future__ import annotations

from dataclasses import dataclass

# Modules that Python itself starts with; all are in libpython3.13.a.
CORE = (
    "_abc", "_codecs", "_collections", "_functools", "_imp", "_io", "_locale", "_operator",
    "_signal", "_sre", "_stat", "_string", "_thread", "_tokenize", "_typing", "_warnings",
    "_weakref", "atexit", "builtins", "errno", "faulthandler", "gc", "itertools", "marshal",
    "posix", "sys", "time",
)  # fmt: skip

# Functions that do not follow the naming rule; None for what exists before any table is read.
INIT: dict[str, str | None] = {
    "builtins": None,
    "sys": None,
    "_warnings": "_PyWarnings_Init",
    "marshal": "PyMarshal_Init",
}

# Built into libpython3.13.a too; each drawn in only because it is named here.
ARCHIVED = (
    "_bisect", "_blake2", "_datetime", "_heapq", "_json", "_md5", "_random", "_sha1", "_sha2",
    "_sha3", "_socket", "_struct", "array", "binascii", "fcntl", "math", "pwd", "select", "zlib",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A module that Debian keeps as a shared object, so that it is compiled from source."""

    name: str  # empty for a part that several modules share
    files: tuple[str, ...]  # relative to Modules/
    flags: tuple[str, ...] = ()


_SQLITE = (
    "blob", "connection", "cursor", "microprotocols", "module", "prepare_protocol", "row",
    "statement", "util",
)  # fmt: skip

EXTENSIONS = (
    # Debian links this file of _sha2 from an archive of its own, which it does not ship.
    Extension(name="", files=("_hacl/Hacl_Hash_SHA2.c",), flags=("-D_DEFAULT_SOURCE",)),
    Extension(name="_contextvars", files=("_contextvarsmodule.c",)),
    Extension(name="_hashlib", files=("_hashopenssl.c",)),
    Extension(name="_queue", files=("_queuemodule.c",)),
    Extension(
        name="_sqlite3",
        files=tuple(f"_sqlite/{part}.c" for part in _SQLITE),
    ),
    Extension(name="_ssl", files=("_ssl.c",)),
    Extension(name="mmap", files=("mmapmodule.c",)),
    Extension(name="resource", files=("resource.c",)),
)

# Ours: runtime/native.
NATIVE = ("_edge_config", "_edge_kernels")

# Frozen whatever the gateway imports: what Python imports by itself while it starts, and codecs
# that are found by a name at run time.
ROOTS = (
    "abc", "codecs", "encodings", "encodings.aliases", "encodings.ascii", "encodings.idna",
    "encodings.latin_1", "encodings.utf_8", "importlib._bootstrap",
    "importlib._bootstrap_external", "io", "os",
)  # fmt: skip

# Imported at the top of library modules for other platforms, as a fallback for a C module that
# is here, or for a message that is never printed. A gateway that imports one itself gets it.
ABSENT = (
    "_py_abc", "_pydatetime", "_threading_local", "logging", "ntpath",
)  # fmt: skip


def builtins() -> list[tuple[str, str | None]]:
    """Each module that is machine code and its initialiser, without the gateway's own."""
    names = sorted({*CORE, *ARCHIVED, *NATIVE, *(one.name for one in EXTENSIONS if one.name)})
    return [(name, INIT.get(name, f"PyInit_{name}")) for name in names]
