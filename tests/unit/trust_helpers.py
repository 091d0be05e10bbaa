# SPDX-License-Identifier: Apache-2.0
"""A small release, a fixed key and a fixed lock for the tests of edgebuild.trust."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from edgebuild.model.lock import Lock, LockedFile, LockedPackage
from edgebuild.model.plan import Plan, Step
from edgebuild.trust import provenance, release
from edgebuild.trust.bundle import KeyVerifier
from edgebuild.trust.keys import PemKey

KEY = PemKey(ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1()))
OTHER_KEY = PemKey(ec.derive_private_key(0xFEDCBA0987654321, ec.SECP256R1()))
VERIFIER = KeyVerifier(KEY.public_key_pem())

MODEL_SHA256 = "11" * 32

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


WHEELS = (
    provenance.Wheel(name="cython", version="3.3.1", sha256=("88" * 32, "99" * 32)),
    provenance.Wheel(name="pure", version="1", sha256=("aa" * 32,)),
)


def plan(model_sha256: str = MODEL_SHA256, **changes: object) -> Plan:
    """A plan with one fetch and one compile step."""
    steps = (
        Step(
            name="fetch-runtime-arm64",
            kind="fetch",
            title="fetch",
            sources=(),
            outputs=("fetch/runtime-arm64.json",),
            parameters={"group": "runtime-arm64", "code": "sha256:" + "55" * 32},
        ),
        Step(
            name="bundle-kws",
            kind="bundle",
            title="compile kws",
            sources=("inputs/kws.tflite",),
            outputs=("bundles/kws.o",),
            parameters={"code": "sha256:" + "55" * 32, "cpu": {"model": "cortex-a72"}},
        ),
    )
    value = Plan(
        target="rpi4",
        version="0.1.0",
        inputs={
            "inputs/kws.tflite": f"sha256:{model_sha256}",
            "inputs/mcp-edge.json": "sha256:" + "77" * 32,
            "inputs/profile.json": "sha256:" + "66" * 32,
        },
        lock=f"sha256:{LOCK.digest}",
        steps=steps,
    )
    return dataclasses.replace(value, **changes)  # type: ignore[arg-type]


def make_release(
    directory: Path,
    key: PemKey = KEY,
    built: Plan | None = None,
    builder: str = provenance.LOCAL_BUILDER,
    names: tuple[str, ...] = ("mcp-gateway-arm64", "rpi4.img.bmap", "report.html"),
) -> Path:
    """Seal a release of small artifacts in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).write_bytes(b"content of " + name.encode() + b"\n")
    release.seal(
        directory,
        key,
        lambda subjects: provenance.statement(
            built or plan(), LOCK, subjects, wheels=WHEELS, builder=builder
        ),
    )
    return directory
