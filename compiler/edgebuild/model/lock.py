# SPDX-License-Identifier: Apache-2.0
"""The lock: exact inputs by archive-relative path and digest, with no host name in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """One file of a Debian archive."""

    path: str  # archive-relative: pool/main/z/zlib/zlib1g-dev_1.3-1_arm64.deb
    sha256: str  # 64 hex digits
    size_bytes: int
    purl: str  # pkg:deb/debian/zlib1g-dev@1.3-1?arch=arm64&distro=trixie


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """One Debian package: a binary package (one file) or a source package (several)."""

    name: str
    version: str
    architecture: str  # amd64, arm64, riscv64, all, or source
    source: str  # the source package's name
    source_version: str
    files: tuple[LockedFile, ...]
    keep: tuple[str, ...] = ()  # patterns of the paths to unpack; empty for all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """``groups`` maps a group's name (``runtime-arm64``) to packages sorted by name."""

    suite: str
    archive_date: str  # the Date field of the signed Release file
    release_sha256: str  # digest of the InRelease file that was checked
    signed_by: tuple[str, ...]  # OpenPGP fingerprints that signed it
    groups: Mapping[str, tuple[LockedPackage, ...]]
    digest: str  # SHA-256 of the lock file's bytes
