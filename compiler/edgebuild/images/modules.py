# SPDX-License-Identifier: Apache-2.0
"""Chooses kernel modules: those that a profile names and all that they depend on.

Debian ships no modules.dep (depmod writes it on the device), so the facts are read from the
modules themselves: ``depends``, ``softdep`` and ``alias`` in their .modinfo section.
"""

from __future__ import annotations

import difflib
import lzma
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgebuild.errors.images import BINARY_MALFORMED, MODULE_UNKNOWN, PACKAGE_INCOMPLETE

# An alias that some device announces, such as pci:v00001AF4d… or of:N*T*Cbrcm,…; the others
# (fs-ext4, crypto-crc32c) are names under which the kernel itself asks for a module.
_DEVICE_ALIAS = re.compile(r"[a-z0-9_]+:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module, decompressed, with the names of the modules that must be loaded before it."""

    name: str  # with underscores
    data: bytes
    depends: tuple[str, ...]
    aliases: tuple[str, ...]  # devices that ask for it


def canonical(name: str) -> str:
    """The kernel's own spelling: it takes - and _ for the same."""
    return name.replace("-", "_")


def modinfo(data: bytes) -> dict[str, list[str]]:
    """The key=value strings of an ELF64 module's .modinfo section. Raises E406."""
    try:
        section = _section(data, b".modinfo")
    except (struct.error, IndexError) as error:
        raise BINARY_MALFORMED("a kernel module is truncated or damaged") from error
    facts: dict[str, list[str]] = {}
    for item in section.split(b"\0"):
        key, equals, value = item.decode("utf-8", "replace").partition("=")
        if equals:
            facts.setdefault(key, []).append(value)
    return facts


def _section(data: bytes, wanted: bytes) -> bytes:
    if data[:6] != b"\x7fELF\x02\x01":
        raise BINARY_MALFORMED("a kernel module is not a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", data, table + size * i) for i in range(count)]
    names = heads[names_index][4]
    for name, _, _, _, offset, length in heads:
        end = data.find(b"\0", names + name)
        if data[names + name : end] == wanted:
            return data[offset : offset + length]
    raise BINARY_MALFORMED("a kernel module has no .modinfo section")


class Shelf:
    """The modules of one kernel package."""

    def __init__(self, tree: Path) -> None:
        """``tree`` is the unpacked package. Raises E402 when it holds no modules."""
        releases = sorted((tree / "usr/lib/modules").glob("*/kernel"))
        if len(releases) != 1:
            raise PACKAGE_INCOMPLETE(
                f"the kernel package has {len(releases)} sets of modules instead of one",
                where="usr/lib/modules",
            )
        files = sorted(releases[0].rglob("*.ko*"))
        self.release = releases[0].parent.name
        self.files = {canonical(path.name.split(".ko")[0]): path for path in files}
        built_in = (releases[0].parent / "modules.builtin").read_text().split()
        self.built_in = {canonical(Path(line).name.removesuffix(".ko")) for line in built_in}

    def read(self, name: str) -> Module:
        """One module. Raises E406 when its file is damaged."""
        data = self.files[name].read_bytes()
        try:
            data = lzma.decompress(data) if self.files[name].suffix == ".xz" else data
            facts = modinfo(data)
        except lzma.LZMAError as error:
            raise BINARY_MALFORMED(f"module {name} is not xz data", where=name) from error
        hard = [canonical(word) for word in ",".join(facts.get("depends", [])).split(",") if word]
        return Module(
            name=name,
            data=data,
            depends=tuple(dict.fromkeys([*self._soft(facts.get("softdep", [])), *hard])),
            aliases=tuple(sorted({a for a in facts.get("alias", []) if _DEVICE_ALIAS.match(a)})),
        )

    def _soft(self, declarations: Iterable[str]) -> list[str]:
        """Modules that a ``softdep=pre: …`` names, itself or as a family.

        An algorithm (crc32c) is named without its provider; providers are called
        crc32c_generic, crc32c_intel and so on, and the kernel takes the best of those loaded.
        """
        found = []
        for declaration in declarations:
            before = declaration.partition("post:")[0].partition("pre:")[2]
            for word in map(canonical, before.split()):
                found += [
                    name for name in self.files if name == word or name.startswith(word + "_")
                ]
        return found


def choose(shelf: Shelf, wanted: Iterable[str]) -> list[Module]:
    """The wanted modules and what they depend on; each after its dependencies. Raises E401."""
    chosen: dict[str, Module] = {}
    for name in map(canonical, wanted):
        if name not in shelf.files and name not in shelf.built_in:
            near = difflib.get_close_matches(name, sorted(shelf.files), n=3)
            raise MODULE_UNKNOWN(
                f"kernel {shelf.release} has no module {name!r}",
                where="[boot] modules or [emulator] modules of the profile",
                hint=f"did you mean {' or '.join(near)}?" if near else None,
            )
        _add(shelf, name, chosen, ())
    return list(chosen.values())


def _add(shelf: Shelf, name: str, chosen: dict[str, Module], path: tuple[str, ...]) -> None:
    if name in chosen or name in shelf.built_in or name in path:
        return
    if name not in shelf.files:
        raise PACKAGE_INCOMPLETE(f"module {path[-1]} depends on {name}, which is not there")
    module = shelf.read(name)
    for dependency in module.depends:
        _add(shelf, dependency, chosen, (*path, name))
    chosen[name] = module


def manifest(modules: list[Module], wanted: Iterable[str]) -> str:
    """What PID 1 reads: one module a line; see runtime/init/modules.c."""
    index = {module.name: str(number) for number, module in enumerate(modules)}
    named = {canonical(name) for name in wanted}
    lines = []
    for module in modules:
        depends = ",".join(index[name] for name in module.depends if name in index) or "-"
        policy = "depend" if module.name not in named else "match" if module.aliases else "always"
        aliases = module.aliases if policy == "match" else ()
        lines.append("\t".join((f"{module.name}.ko", depends, policy, *aliases)) + "\n")
    return "".join(lines)
