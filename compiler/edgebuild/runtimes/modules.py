# SPDX-License-Identifier: Apache-2.0
"""Which parts of CPython are in the executable. This table alone decides it.

Left out on purpose: the shell of the language (site, pdb, ctypes, zipimport, dynamic loading),
decimal, XML. The rest is there when a module that belongs imports it (freezer.py).
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

# In libpython3.13-pic.a too, and in an executable when something frozen there imports them.
ARCHIVED = (
    "_bisect", "_blake2", "_csv", "_datetime", "_heapq", "_json", "_md5", "_opcode", "_pickle",
    "_posixsubprocess", "_random", "_sha1", "_sha2", "_sha3", "_socket", "_statistics", "_struct",
    "array", "binascii", "cmath", "fcntl", "grp", "math", "pwd", "select", "syslog",
    "unicodedata", "zlib",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A module of which Debian's static library lacks these files: they are compiled."""

    name: str
    files: tuple[str, ...]  # relative to Modules/
    flags: tuple[str, ...] = ()


_SQLITE = (
    "blob", "connection", "cursor", "microprotocols", "module", "prepare_protocol", "row",
    "statement", "util",
)  # fmt: skip

EXTENSIONS = (
    # Debian links this file of _sha2 from an archive of its own, which it does not ship.
    Extension(name="_sha2", files=("_hacl/Hacl_Hash_SHA2.c",), flags=("-D_DEFAULT_SOURCE",)),
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

# Frozen whatever the gateway imports: what Python imports by itself while it starts, codecs that
# are found by a name at run time, and what every gateway has room for: TLS and SQLite.
ROOTS = (
    "abc", "codecs", "encodings", "encodings.aliases", "encodings.ascii", "encodings.idna",
    "encodings.latin_1", "encodings.utf_8", "importlib._bootstrap",
    "importlib._bootstrap_external", "io", "os", "sqlite3", "ssl",
)  # fmt: skip

# Imported at the top of library modules for other platforms, as a fallback for a C module that
# is here, or for a message that is never printed. A gateway that imports one itself gets it.
ABSENT = (
    "_py_abc", "_pydatetime", "_threading_local", "logging", "ntpath",
)  # fmt: skip


# Ours in place of theirs (runtime/native/lib): what they draw in is never used.
REPLACEMENTS = {"encodings.idna": "encodings_idna.py", "typing": "typing.py"}


def available() -> list[str]:
    """Every module that can be machine code in an executable."""
    return sorted({*CORE, *ARCHIVED, *NATIVE, *(one.name for one in EXTENSIONS)})


def initialiser(name: str) -> str | None:
    """The C function that makes a built-in module."""
    return INIT.get(name, f"PyInit_{name}")
