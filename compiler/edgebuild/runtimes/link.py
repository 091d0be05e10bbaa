# SPDX-License-Identifier: Apache-2.0
"""One static executable from the runtime's objects, model bundles and a configuration.

Law: this takes seconds, so that another model is another link and not another build.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebuild.errors.runtimes import BAD_BUNDLE, BAD_OBJECTS, DUPLICATE_MODEL
from edgebuild.host import compiler, process
from edgebuild.host.files import atomic_write
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
from edgebuild.runtimes import templates
from edgebuild.runtimes.objects import FORMAT
from edgebuild.runtimes.toolchain import Toolchain, Unit, machine

NAME = re.compile(r"[a-z_][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What linking needs to know of a model: sizes in bytes of each tensor, in call order."""

    name: str
    object: Path
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything of one executable but the C library."""

    tools: Toolchain
    recipe: dict[str, Any]
    objects: tuple[Path, ...]


def link(
    store: Store,
    lock: Lock,
    deb_arch: str,
    objects: Path,
    bundles: Sequence[Path],
    config: Path,
    out: Path,
) -> None:
    """Write the executable ``out``, mode 0755. Raises E1xx, E301, E302, E303, E305, E306."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        parts = prepare(store, lock, deb_arch, objects, bundles, config, scratch)
        executable = scratch / "gateway"
        process.run([*command(parts), "-o", str(executable)], what="link the gateway")
        atomic_write(out, executable.read_bytes(), 0o755)


def prepare(
    store: Store,
    lock: Lock,
    deb_arch: str,
    objects: Path,
    bundles: Sequence[Path],
    config: Path,
    scratch: Path,
) -> Parts:
    """Check the inputs and compile what differs between gateways. Raises as ``link``."""
    recipe = read_recipe(objects, deb_arch)
    models = [read_bundle(folder) for folder in bundles]
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise DUPLICATE_MODEL(
                f"two models are named '{name}'", hint="rename one of the model files"
            )
    tools = Toolchain(
        deb_arch=deb_arch,
        machine=machine(deb_arch),
        mcpu=recipe["mcpu"],
        sysroot=store.sysroot(lock, f"runtime-{deb_arch}"),
    )
    glue = compile_glue(tools, objects, models, config, scratch)
    return Parts(
        tools=tools,
        recipe=recipe,
        objects=(objects / "runtime.o", glue, *(model.object for model in models)),
    )


def read_recipe(objects: Path, deb_arch: str) -> dict[str, Any]:
    """The folder's link.json. Raises E306."""
    try:
        recipe: dict[str, Any] = json.loads((objects / "link.json").read_bytes())
        found = (recipe["format"], recipe["deb_arch"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BAD_OBJECTS("there is no link.json to be understood", where=str(objects)) from error
    if found != (FORMAT, deb_arch):
        raise BAD_OBJECTS(
            f"objects of format {found[0]} for {found[1]} cannot be linked as format {FORMAT} "
            f"for {deb_arch}",
            where=str(objects),
            hint="remove the folder and build again",
        )
    return recipe


def read_bundle(folder: Path) -> Bundle:
    """What a bundle's description says. Raises E302."""
    descriptions = sorted(folder.glob("*.json"))
    if len(descriptions) != 1:
        raise BAD_BUNDLE(f"{len(descriptions)} descriptions instead of one", where=str(folder))
    try:
        card = json.loads(descriptions[0].read_bytes())
        bundle = Bundle(
            name=card["name"],
            object=folder / f"{card['name']}.o",
            inputs=tuple(int(tensor["bytes"]) for tensor in card["inputs"]),
            outputs=tuple(int(tensor["bytes"]) for tensor in card["outputs"]),
        )
        usable = NAME.fullmatch(bundle.name) and bundle.inputs and bundle.outputs
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BAD_BUNDLE("the description is malformed", where=str(descriptions[0])) from error
    if not usable or min(*bundle.inputs, *bundle.outputs) < 0 or not bundle.object.is_file():
        raise BAD_BUNDLE(
            "no object, no tensors or no usable name in the description", where=str(descriptions[0])
        )
    return bundle


def compile_glue(
    tools: Toolchain, objects: Path, models: Sequence[Bundle], config: Path, scratch: Path
) -> Path:
    """The object that differs between gateways: model table, configuration, licence texts."""
    shutil.copyfile(config, scratch / "config.toml")
    shutil.copyfile(objects / "licences.txt", scratch / "licences.txt")
    templates.write("models.c.j2", scratch / "models.c", models=models)
    unit = Unit(name="models", source=scratch / "models.c", flags=("-std=c23", f"-I{objects}"))
    return tools.compile([unit], scratch, jobs=1)[0]


def command(parts: Parts) -> list[str]:
    """The linker's argv without ``-o``."""

    def inside(key: str) -> list[str]:
        return [str(parts.tools.find(relative)) for relative in parts.recipe[key]]

    return [
        *compiler.zig(), "ld.lld", *flags(parts.recipe["emulation"]),
        *inside("start"), *map(str, parts.objects),
        "--start-group", *inside("archives"), "--end-group", *inside("end"),
    ]  # fmt: skip


def flags(emulation: str) -> list[str]:
    """A static program that is loaded at a random address, with constant data write-protected.

    RELR packs its 30 000 relocations into 20 kB; glibc has applied them since 2.36.
    """
    return [
        "-m", emulation, "-static", "-pie", "--no-dynamic-linker", "--pack-dyn-relocs=relr",
        "--gc-sections", "--strip-all", "--build-id=none", "-z", "text", "-z", "relro",
        "-z", "now", "-z", "noexecstack",
    ]  # fmt: skip
