# SPDX-License-Identifier: Apache-2.0
"""A Debian archive's signed index: InRelease, and the Packages and Sources files it vouches for.

Nothing of an index is believed before the chain holds: a shipped OpenPGP key signed InRelease,
InRelease names the index's SHA-256, the index names the package's.
"""

from __future__ import annotations

import hashlib
import lzma
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from edgebuild.errors import EdgebuildError
from edgebuild.errors.inputs import BAD_INDEX, BAD_SIGNATURE
from edgebuild.host import deb822
from edgebuild.model.lock import LockedFile
from edgebuild.trust import debversion

_INDEX_LIMIT_BYTES = 1 << 29
_ENTRY = re.compile(r"([0-9a-f]{64}) +([0-9]+) +(\S+)")
_PROVIDED = re.compile(r"\s*([a-z0-9][a-z0-9+.-]*)(?::\w+)?\s*(?:\(=\s*([^)\s]+)\s*\))?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A Release file whose signature has been checked."""

    suite: str
    date: str
    sha256: str  # of the InRelease file
    signed_by: tuple[str, ...]  # fingerprints of the certificates, sorted
    indexes: Mapping[str, LockedFile]  # by path below dists/SUITE/


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The packages of one architecture. ``provides`` maps a virtual package to its providers."""

    packages: Mapping[str, dict[str, str]]
    provides: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


def check_release(in_release: bytes, keys: bytes, suite: str) -> Release:
    """Check InRelease's signature and read what it vouches for.

    ``keys`` are OpenPGP certificates, armoured. Raises E115 or E116.
    """
    from pysequoia import Cert, verify  # only `edgebuild lock` pays for loading it

    certificates = Cert.split_bytes(keys)
    try:
        result = verify(in_release, lambda _: certificates)
    except Exception as error:  # it has no exception type of its own
        raise BAD_SIGNATURE(
            f"the InRelease file is not to be trusted: {str(error).splitlines()[0]}",
            where=f"dists/{suite}/InRelease",
            hint="choose another mirror; after a new Debian release, a newer edgebuild",
        ) from error
    # Only what the signature covers is read: the file may hold more around it.
    signed_by = {one.certificate.upper() for one in result.valid_sigs}
    return _release(
        (result.bytes or b"").decode("utf-8"), suite, hashlib.sha256(in_release).hexdigest(),
        tuple(sorted(signed_by)),
    )  # fmt: skip


def _release(text: str, suite: str, digest: str, signed_by: tuple[str, ...]) -> Release:
    try:
        fields = deb822.paragraph(text)
        if suite not in (fields.get("codename"), fields.get("suite")):
            raise ValueError(f"it is for {fields.get('codename')!r}, not for {suite!r}")
        by_hash = fields.get("acquire-by-hash", "no") == "yes"
        return Release(
            suite=suite,
            date=fields["date"],
            sha256=digest,
            signed_by=signed_by,
            indexes={
                path: _index_file(suite, path, sha256, int(size), by_hash)
                for sha256, size, path in _ENTRY.findall(fields["sha256"])
            },
        )
    except (ValueError, KeyError) as error:
        raise _bad(f"cannot read the Release file: {error}", f"dists/{suite}/InRelease") from error


def _index_file(suite: str, path: str, sha256: str, size: int, by_hash: bool) -> LockedFile:
    folder, _, name = path.rpartition("/")
    # By hash, an index stays to be had while the mirror moves on to the next one.
    there = f"{folder}/by-hash/SHA256/{sha256}" if by_hash and folder else path
    return LockedFile(path=f"dists/{suite}/{there}", sha256=sha256, size_bytes=size, purl=name)


def index(release: Release, names: Iterable[str], read: Callable[[LockedFile], bytes]) -> Index:
    """Parse the named index files (``main/binary-arm64/Packages``) into one.

    ``read`` gives the checked bytes of a file. Of several versions the newest counts.
    """
    packages: dict[str, dict[str, str]] = {}
    for name in names:
        entry = release.indexes.get(f"{name}.xz")
        if entry is None:
            raise _bad("the Release file does not list this index", f"{name}.xz")
        for block in _blocks(read(entry), entry.path):
            try:
                fields = deb822.paragraph(block)
                package, version = fields["package"], fields["version"]
                known = packages.get(package)
                if known is None or debversion.compare(version, known["version"]) > 0:
                    packages[package] = fields
            except (ValueError, KeyError) as error:
                raise _bad(f"cannot read a paragraph: {error}", entry.path) from error
    return Index(packages=packages, provides=_provides(packages))


def _blocks(compressed: bytes, where: str) -> Iterator[str]:
    try:
        decompressor = lzma.LZMADecompressor()
        text = decompressor.decompress(compressed, _INDEX_LIMIT_BYTES).decode("utf-8")
        if not decompressor.eof:
            raise ValueError("it is cut short or far too large")
    except (lzma.LZMAError, ValueError) as error:
        raise _bad(f"cannot decompress: {error}", where) from error
    return (block for block in text.split("\n\n") if block.strip())


def _provides(packages: Mapping[str, dict[str, str]]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Virtual package -> (provider, version provided or ''), providers sorted by name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(packages):
        for clause in packages[name].get("provides", "").split(","):
            if match := _PROVIDED.fullmatch(clause):
                found.setdefault(match[1], []).append((name, match[2] or ""))
    return {name: tuple(providers) for name, providers in found.items()}


def _bad(what: str, where: str) -> EdgebuildError:
    return BAD_INDEX(what, where=where, hint="try again later, or choose another mirror")
