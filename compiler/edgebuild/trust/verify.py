# SPDX-License-Identifier: Apache-2.0
"""Verification: a pure function of a folder's files, one trusted signer and a policy.

It reads, compares and reports; it uses no network, clock, environment or state, and it goes on
after a failure so that the report names all of them. Sizes are bounded before anything is parsed;
artifacts of any size are hashed as a stream.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgebuild.errors.trust import NOT_A_RELEASE, VERIFICATION_FAILED
from edgebuild.trust import bundle, provenance, release
from edgebuild.trust.bundle import NotProven, Verifier
from edgebuild.trust.policy import Policy, version_tuple

_CHUNK_BYTES = 1024 * 1024
_FILES_LIMIT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. ``detail`` says what was found, or why it failed."""

    name: str
    detail: str
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """Everything that was checked, in order. ``ok`` is the verdict."""

    directory: str
    signer: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)

    def require(self) -> None:
        """Raise E507 unless every check passed."""
        failed = [check for check in self.checks if not check.ok]
        if failed or not self.checks:
            first = f"{failed[0].name}: {failed[0].detail}" if failed else "nothing was checked"
            more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            only_policy = all(check.name.startswith("policy ") for check in failed)
            raise VERIFICATION_FAILED(
                first + more,
                where=self.directory,
                hint="it is whole and signed, but not what the policy requires"
                if failed and only_policy
                else "do not install it; get it again, and the key from its owner",
            )


@dataclass(slots=True)
class _Log:
    """Collects checks; a NotProven inside ``check`` is a failed one."""

    checks: list[Check] = field(default_factory=list)

    @contextmanager
    def check(self, name: str, detail: str) -> Iterator[None]:
        try:
            yield
        except (NotProven, OSError) as error:
            self.checks.append(Check(name=name, detail=str(error), ok=False))
        else:
            self.checks.append(Check(name=name, detail=detail, ok=True))


def verify(directory: Path, verifier: Verifier, policy: Policy | None = None) -> VerifyReport:
    """Check a release against a trusted signer and, if given, a policy.

    Never raises for what is wrong with the release's content; ``VerifyReport.require`` does.
    Raises E509 if there is no release at all.
    """
    log = _Log()
    found = _list(directory, log)
    sums = _sums(directory, verifier, log)
    _complete(found, sums, log)
    digests = _hash(directory, sums, log)
    _signatures(directory, digests, verifier, log)
    facts = _provenance(directory, digests, verifier, log)
    if policy is not None:
        _policy(policy, facts, verifier, log)
    return VerifyReport(
        directory=str(directory), signer=verifier.identity(), checks=tuple(log.checks)
    )


def _list(directory: Path, log: _Log) -> set[str]:
    """Names in the folder, each an ordinary file with a plain name."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        raise NOT_A_RELEASE(
            f"the folder cannot be read: {error.strerror}", where=str(directory)
        ) from error
    names = {entry.name for entry in entries}
    if release.SUMS not in names:
        raise NOT_A_RELEASE(f"there is no {release.SUMS} in it", where=str(directory))
    with log.check("files", f"{len(entries)} ordinary files"):
        odd = {ascii(e.name) for e in entries if not e.is_file(follow_symlinks=False)}
        odd |= {ascii(name) for name in names if not release.NAME.fullmatch(name)}
        if odd:
            raise NotProven(f"not ordinary files with plain names: {_some(sorted(odd))}")
        if len(entries) > _FILES_LIMIT:
            raise NotProven(f"more than {_FILES_LIMIT} files")
    return names


def _sums(directory: Path, verifier: Verifier, log: _Log) -> dict[str, str]:
    """The signed list of digests by name; empty if it is not to be believed."""
    sums: dict[str, str] = {}
    with log.check(release.SUMS, "signed by the trusted signer, in its one form"):
        data = _read(directory / release.SUMS)
        proof = _read(directory / (release.SUMS + release.BUNDLE))
        verifier.message(proof, hashlib.sha256(data).digest())
        sums = release.parse_sums(data)
    return sums


def _complete(found: set[str], sums: Mapping[str, str], log: _Log) -> None:
    expected = {*sums, release.SUMS, release.SUMS + release.BUNDLE}
    with log.check("completeness", f"all {len(expected)} files are there and no other"):
        if not sums:
            raise NotProven(f"there is no believable {release.SUMS} to compare with")
        wrong = [f"missing {name}" for name in sorted(expected - found)]
        wrong += [f"extra {name!a}" for name in sorted(found - expected)]
        if wrong:
            raise NotProven(_some(wrong))


def _hash(directory: Path, sums: Mapping[str, str], log: _Log) -> dict[str, str]:
    """Digest of each listed artifact (not of bundles), computed here."""
    digests: dict[str, str] = {}
    for name in sorted(sums):
        with log.check(f"digest {name}", f"sha256 {sums[name]}"):
            value = _digest(directory / name)
            if not name.endswith(release.BUNDLE):
                digests[name] = value
            if value != sums[name]:
                raise NotProven(f"sha256 is {value}, SHA256SUMS says {sums[name]}")
    return digests


def _signatures(directory: Path, digests: Mapping[str, str], verifier: Verifier, log: _Log) -> None:
    for name, value in digests.items():
        with log.check(f"signature {name}", f"by {verifier.identity()}"):
            proof = _read(directory / (name + release.BUNDLE))
            verifier.message(proof, bytes.fromhex(value))


def _provenance(
    directory: Path, digests: Mapping[str, str], verifier: Verifier, log: _Log
) -> provenance.Facts | None:
    facts: provenance.Facts | None = None
    with log.check("provenance signature", f"by {verifier.identity()}"):
        payload = verifier.statement(_read(directory / release.PROVENANCE))
    if not log.checks[-1].ok:
        return None
    with log.check("provenance content", "SLSA v1 of an edgebuild release"):
        facts = provenance.read(payload)
    if facts is None:
        return None
    with log.check("provenance subjects", f"names all {len(digests)} artifacts"):
        if facts.subjects != digests:
            raise NotProven("it is about other artifacts than those in this folder")
    return facts


def _policy(policy: Policy, facts: provenance.Facts | None, verifier: Verifier, log: _Log) -> None:
    """One check per requirement; without believable provenance each of them fails."""
    if policy.keys is not None:
        with log.check("policy keys", "the signer is one of the policy's"):
            if verifier.identity() not in {f"key sha256:{key}" for key in policy.keys}:
                raise NotProven(f"the policy does not name {verifier.identity()}")
    known = facts or provenance.Facts.unknown()
    wanted: tuple[tuple[str, object, object], ...] = (
        ("builder", policy.builder, known.builder),
        ("target", policy.target, known.target),
        ("models", policy.models and tuple(sorted(policy.models)), known.models),
        ("lock", policy.lock, known.lock),
    )
    for name, required, actual in wanted:
        if required is not None:
            with log.check(f"policy {name}", _shown(actual)):
                if required != actual:
                    raise NotProven(f"it is {_shown(actual)}, required {_shown(required)}")
    if policy.minimum_version is not None:
        with log.check("policy minimum_version", f"built by edgebuild {known.version}"):
            if version_tuple(known.version) < version_tuple(policy.minimum_version):
                raise NotProven(f"built by {known.version or 'an unknown version'}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value or "unknown")


def _open(path: Path) -> int:
    """Open an ordinary file; neither follow a link nor wait for a pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotProven(f"{path.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotProven(f"{path.name} is not an ordinary file")
    return handle


def _read(path: Path) -> bytes:
    """A small file whole. Raises NotProven if it is missing or too large to be one of ours."""
    with open(_open(path), "rb") as file:
        data = file.read(bundle.LIMIT_BYTES + 1)
    if len(data) > bundle.LIMIT_BYTES:
        raise NotProven(f"{path.name} is larger than {bundle.LIMIT_BYTES} bytes")
    return data


def _digest(path: Path) -> str:
    with open(_open(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
