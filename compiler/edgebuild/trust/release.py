# SPDX-License-Identifier: Apache-2.0
"""Sealing: what turns a folder of artifacts into a release.

Order matters. Provenance names every artifact, bundles prove each of them, SHA256SUMS lists all of
that, and the bundle over SHA256SUMS is the only file that is not listed. So one signature reaches
every byte, and ``sha256sum --check SHA256SUMS`` works too.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from edgebuild.errors.trust import RELEASE_MALFORMED
from edgebuild.host import files
from edgebuild.trust import canonical
from edgebuild.trust.bundle import NotProven
from edgebuild.trust.keys import Signer

SUMS = "SHA256SUMS"
BUNDLE = ".sigstore.json"
PROVENANCE = "provenance" + BUNDLE
UNSIGNED_PROVENANCE = "provenance.UNSIGNED.json"

# Plain names only: no separator, no leading dot or dash, nothing that a shell or terminal acts on.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")

Digests = Mapping[str, str]
Statement = Callable[[Digests], Mapping[str, object]]


def seal(directory: Path, signer: Signer | None, statement: Statement) -> None:
    """Sign a folder of artifacts in place.

    ``statement`` makes the provenance from the artifacts' SHA-256 digests by name. Files of an
    earlier seal are replaced. Without a signer the release gets SHA256SUMS and bare provenance
    only, which no verification accepts; the caller's flag for that has an ugly name.
    Raises E506 for a folder that cannot be a release.
    """
    unseal(directory)
    artifacts = _artifacts(directory)
    digests = {name: files.digest(directory / name) for name in artifacts}
    predicate = statement(digests)
    if signer is None:
        files.atomic_write(directory / UNSIGNED_PROVENANCE, canonical.document(predicate))
        _write_sums(directory)
        return
    for name, value in digests.items():
        files.atomic_write(directory / (name + BUNDLE), signer.message(bytes.fromhex(value)))
    files.atomic_write(directory / PROVENANCE, signer.statement(canonical.compact(predicate)))
    sums = _write_sums(directory)
    files.atomic_write(directory / (SUMS + BUNDLE), signer.message(hashlib.sha256(sums).digest()))


def unseal(directory: Path) -> None:
    """Remove what ``seal`` wrote, and nothing else."""
    for path in directory.iterdir():
        if path.name.endswith(BUNDLE) or path.name in (SUMS, UNSIGNED_PROVENANCE):
            path.unlink()


def sums_text(digests: Digests) -> bytes:
    """SHA256SUMS as ``sha256sum`` reads it, sorted by name."""
    return b"".join(f"{digests[name]}  {name}\n".encode("ascii") for name in sorted(digests))


def parse_sums(data: bytes) -> dict[str, str]:
    """Digests by name from SHA256SUMS. Raises NotProven unless it is as ``sums_text`` writes it."""
    digests: dict[str, str] = {}
    for line in data.decode("ascii", "replace").splitlines():
        value, _, name = line.partition("  ")
        if not canonical.sha256_hex_is_valid(value) or not NAME.fullmatch(name):
            raise NotProven(f"a line of {SUMS} is not a digest and a name: {ascii(line)[:80]}")
        digests[name] = value
    if sums_text(digests) != data:
        raise NotProven(f"{SUMS} is not in its one form")
    return digests


def _artifacts(directory: Path) -> list[str]:
    names = sorted(entry.name for entry in os.scandir(directory))
    if not names:
        raise RELEASE_MALFORMED("there is nothing to sign", where=str(directory))
    for name in names:
        path = directory / name
        if path.is_symlink() or not path.is_file():
            raise RELEASE_MALFORMED("a release holds ordinary files only", where=str(path))
        if not NAME.fullmatch(name):
            raise RELEASE_MALFORMED("this name cannot be listed in SHA256SUMS", where=str(path))
    return names


def _write_sums(directory: Path) -> bytes:
    names = sorted(entry.name for entry in os.scandir(directory))
    text = sums_text({name: files.digest(directory / name) for name in names})
    files.atomic_write(directory / SUMS, text)
    return text
