# SPDX-License-Identifier: Apache-2.0
"""All of the executable that does not depend on a model: one object file and how to link it.

``build`` writes a folder:
    runtime.o       the gateway, frozen modules, CPython's extension modules and our own C
    edge.h          what the file generated for each link includes
    link.json       start files, archives and end files, relative to the sysroot; the modules inside
    licences.json   the packages whose code linking adds, with version, licence and digests
    licences.txt    the same for people, with all notices and licence texts

Law: equal sources, lock and CPU give equal bytes, wherever and whenever it is built.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebuild.errors.runtimes import MISSING_IMPORT
from edgebuild.host import process, tools
from edgebuild.host.files import replaced_directory
from edgebuild.host.paths import data_dir
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Cpu
from edgebuild.runtimes import gateway, licences, modules, templates
from edgebuild.runtimes.toolchain import GCC_VERSION, Toolchain, Unit, machine, zig_cpu

FORMAT = 1  # of link.json: raise it when `link` reads something else

STDLIB = "usr/lib/python3.13"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What one build reads."""

    tools: Toolchain
    python: list[str]  # argv of the Python that freezes
    stdlib: Path
    cpython: Path  # CPython's source tree
    runtime: Path  # the folder that holds edgegate/ and native/
    cores: int  # that kernels may use at once


def build(
    store: Store,
    lock: Lock,
    deb_arch: str,
    cpu: Cpu,
    out: Path,
    *,
    runtime: Path | None = None,
    jobs: int = 1,
) -> None:
    """Compile the gateway of the folder ``runtime`` (ours if None). Raises E1xx, E301 to E307."""
    sysroot = store.sysroot(lock, f"runtime-{deb_arch}")
    inputs = Inputs(
        tools=Toolchain(
            deb_arch=deb_arch, machine=machine(deb_arch), mcpu=zig_cpu(cpu), sysroot=sysroot
        ),
        python=tools.tool(store, lock, "python3.13"),
        stdlib=tools.folder(store, lock, "python3.13") / STDLIB,
        cpython=store.source(lock, "python3.13"),
        runtime=runtime or data_dir() / "runtime",
        cores=cpu.cores,
    )
    with replaced_directory(out) as fresh, tempfile.TemporaryDirectory() as scratch:
        names = compile_all(inputs, Path(scratch), fresh / "runtime.o", jobs=jobs)
        shutil.copyfile(inputs.runtime / "native/edge.h", fresh / "edge.h")
        _write_json(fresh / "link.json", link_recipe(inputs.tools, names))
        entries = licences.table(lock, deb_arch)
        _write_json(fresh / "licences.json", entries)
        text = licences.text(entries, inputs.runtime / "licences", (sysroot, inputs.cpython))
        (fresh / "licences.txt").write_text(text, encoding="utf-8")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def compile_all(inputs: Inputs, scratch: Path, out: Path, *, jobs: int) -> list[str]:
    """Everything to one object ``out``; the names of the modules inside, sorted."""
    copy = scratch / "source"
    gateway.copy_sources(inputs.runtime, copy)
    native = gateway.native_modules(copy)
    frozen = freeze(inputs, copy, scratch, native)
    builtins = sorted({*modules.CORE, *modules.NATIVE, *frozen["builtins"]})
    table = [(name, modules.initialiser(name)) for name in builtins]
    table += [(name, gateway.initialiser(name)) for name in native]
    templates.write("inittab.c.j2", scratch / "inittab.c", modules=table)
    first = ["_frozen_importlib", "_frozen_importlib_external"]
    templates.write("frozen.c.j2", scratch / "frozen.c", modules=frozen["modules"], first=first)
    units = [
        *own_units(inputs, scratch),
        *cpython_units(inputs, builtins),
        *gateway.cythonise(copy, native, jobs=jobs),
    ]
    objects = scratch / "objects"
    objects.mkdir()
    compiled = inputs.tools.compile(units, objects, jobs=jobs)
    roots = ("main", "edge_parallel") if inputs.cores > 1 else ("main",)
    inputs.tools.combine(compiled, archives(inputs.tools), out, roots=roots)
    return sorted({name for name, _ in table} | {str(name) for name, *_ in frozen["modules"]})


def freeze(inputs: Inputs, source: Path, scratch: Path, native: list[str]) -> dict[str, Any]:
    """Write ``scratch/frozen.bin``; what freezer.py says of it. Raises E304."""
    library = inputs.runtime / "native/lib"
    request = {
        "stdlib": str(inputs.stdlib),
        "source": str(source),
        "package": gateway.PACKAGE,
        "roots": [*modules.ROOTS, f"{gateway.PACKAGE}.linux.main"],
        "builtins": modules.available(),
        "absent": modules.ABSENT,
        "native": native,
        "replacements": {name: str(library / file) for name, file in modules.REPLACEMENTS.items()},
        "out": str(scratch),
    }
    argv = [*inputs.python, "-S", "-B", "-X", "no_debug_ranges",
            str(Path(__file__).with_name("freezer.py"))]  # fmt: skip
    process.run(argv, what="freeze Python modules", stdin=json.dumps(request).encode())
    answer: dict[str, Any] = json.loads((scratch / "frozen.json").read_bytes())
    for importer, name in answer["missing"]:
        raise MISSING_IMPORT(
            f"module '{name}' is neither the gateway's nor in the executable",
            where=importer,
            hint="add it to compiler/edgebuild/runtimes/modules.py, or do without it",
        )
    return answer


def own_units(inputs: Inputs, scratch: Path) -> list[Unit]:
    """The fixed C of runtime/native and the two generated tables."""
    native = inputs.runtime / "native"
    include: tuple[str, ...] = (f"-I{native}",)
    # What runs before the CPU is known to be the profile's is compiled for any.
    baseline = (*include, "-mcpu=baseline")
    own = dict.fromkeys(("cpu", "main"), baseline)
    own |= dict.fromkeys(("config", "kernels", "lean", "needs"), include)
    # Bundles call the pool if it is there; one core needs none.
    own["threads"] = (*include, f"-DEDGE_THREADS={inputs.cores}")
    fixed = [
        Unit(name=f"edge-{name}", source=native / f"{name}.c", flags=flags)
        for name, flags in own.items()
    ]
    # _frozen tables and #embed are CPython's and C23's: the internal header wants BUILD_CORE.
    core = ("-DPy_BUILD_CORE", "-std=c23", *include)
    return [
        *fixed,
        Unit(name="inittab", source=scratch / "inittab.c"),
        Unit(name="frozen", source=scratch / "frozen.c", flags=core),
    ]


def cpython_units(inputs: Inputs, builtins: list[str]) -> list[Unit]:
    """CPython's modules that Debian does not have in its static library, as far as wanted."""
    folder = inputs.cpython / "Modules"
    header = inputs.runtime / "native/debian.h"
    common = (
        "-DPy_BUILD_CORE_BUILTIN", "-include", str(header), f"-I{folder}",
        f"-I{folder / '_hacl/include'}", f"-ffile-prefix-map={folder}=Modules",
    )  # fmt: skip
    return [
        Unit(
            name=f"{extension.name}-{Path(file).stem}",
            source=folder / file,
            flags=(*common, *extension.flags),
        )
        for extension in modules.EXTENSIONS
        if extension.name in builtins
        for file in extension.files
    ]


def archives(tools_: Toolchain) -> list[Path]:
    """The libraries that become part of runtime.o; the C library comes with the last link."""
    triplet = tools_.machine.triplet
    names = [f"usr/lib/{triplet}/lib{name}.a" for name in ("ssl", "crypto", "sqlite3", "z")]
    # The position-independent one: the executable is loaded at a random address.
    names.insert(0, f"{STDLIB}/config-3.13-{triplet}/libpython3.13-pic.a")
    return [tools_.find(name) for name in names]


def link_recipe(tools_: Toolchain, names: list[str]) -> dict[str, Any]:
    """How ``link`` makes an executable of runtime.o; every path is in the sysroot."""
    triplet = tools_.machine.triplet
    libraries, gcc = f"usr/lib/{triplet}", f"usr/lib/gcc/{triplet}/{GCC_VERSION}"
    # Where there is a vector library, libm.a is a linker script with absolute paths: name what
    # it names instead.
    mathematics = ("m",) if tools_.deb_arch == "riscv64" else ("m-2.41", "mvec")
    return {
        "format": FORMAT,
        "deb_arch": tools_.deb_arch,
        "emulation": tools_.machine.emulation,
        "mcpu": tools_.mcpu,
        "start": [f"{libraries}/rcrt1.o", f"{libraries}/crti.o", f"{gcc}/crtbeginS.o"],
        "archives": [
            *(f"{libraries}/lib{name}.a" for name in (*mathematics, "c")),
            f"{gcc}/libgcc.a",
            f"{gcc}/libgcc_eh.a",
        ],
        "end": [f"{gcc}/crtendS.o", f"{libraries}/crtn.o"],
        "modules": names,
    }
