# SPDX-License-Identifier: Apache-2.0
"""A small release, a fixed key and a fixed lock for the tests of edgebuild.trust."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from edgebuild.model.lock import Lock, LockedFile, LockedPackage
from edgebuild.trust import provenance, release
from edgebuild.trust.bundle import KeyVerifier
from edgebuild.trust.keys import PemKey

KEY = PemKey(ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1()))
OTHER_KEY = PemKey(ec.derive_private_key(0xFEDCBA0987654321, ec.SECP256R1()))
VERIFIER = KeyVerifier(KEY.public_key_pem())

MODEL = provenance.Input(name="kws.tflite", sha256="11" * 32)

LOCK = Lock(
    suite="trixie",
    archive_date="Sat, 06 Sep 2025 09:47:56 UTC",
    release_sha256="22" * 32,
    signed_by=("0" * 40,),
    groups={
        "runtime-arm64": (
            LockedPackage(
                name="zlib1g-dev",
                version="1:1.3.dfsg+really1.3.1-1+b1",
                architecture="arm64",
                source="zlib",
                source_version="1:1.3.dfsg+really1.3.1-1",
                files=(
                    LockedFile(
                        path="pool/main/z/zlib/zlib1g-dev_1.3_arm64.deb",
                        sha256="33" * 32,
                        size_bytes=916844,
                        purl="pkg:deb/debian/zlib1g-dev@1.3?arch=arm64&distro=trixie",
                    ),
                ),
            ),
        )
    },
    digest="44" * 32,
)


def inputs(**changes: object) -> provenance.BuildInputs:
    facts: dict[str, object] = {
        "target": "rpi4",
        "version": "0.1.0",
        "tool_sha256": "55" * 32,
        "profile": provenance.Input(name="rpi4.toml", sha256="66" * 32),
        "config": provenance.Input(name="mcp-edge.toml", sha256="77" * 32),
        "models": (MODEL,),
        "wheels": (provenance.Input(name="cython", sha256="88" * 32, uri="pkg:pypi/cython@3.3.1"),),
        "lock": LOCK,
        "groups": ("runtime-arm64",),
    }
    return provenance.BuildInputs(**{**facts, **changes})  # type: ignore[arg-type]


def make_release(directory: Path, key: PemKey = KEY, **changes: object) -> Path:
    """Seal a release of three small artifacts in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "mcp-gateway-arm64").write_bytes(b"\x7fELF" + bytes(range(20)))
    (directory / "rpi4.img.bmap").write_bytes(b"<bmap/>\n")
    (directory / "report.html").write_bytes(b"<!doctype html>\n")
    built = inputs(**changes)
    release.seal(directory, key, lambda subjects: provenance.statement(built, subjects))
    return directory
