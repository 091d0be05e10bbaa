# SPDX-License-Identifier: Apache-2.0
"""Stock cosign accepts what we sign, offline, and refuses what was changed.

cosign is taken from $EDGEBUILD_COSIGN or the PATH (ci/install-clients.sh installs it).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.trust_helpers import KEY, OTHER_KEY, make_release

pytestmark = pytest.mark.slow

# cosign 2 wants a trusted root even where a key is all it uses; this one trusts nobody.
EMPTY_ROOT = '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'


@pytest.fixture(scope="module")
def cosign() -> str:
    found = os.environ.get("EDGEBUILD_COSIGN") or shutil.which("cosign")
    if not found:
        pytest.skip("stock cosign is not installed; ci/install-clients.sh installs it")
    return found


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    return make_release(tmp_path / "rpi4")


def run(cosign: str, verb: str, sealed: Path, bundle: str, file: str, *more: str) -> bool:
    key, root = sealed.parent / "key.pub", sealed.parent / "root.json"
    if not key.exists():
        key.write_bytes(KEY.public_key_pem())
    root.write_text(EMPTY_ROOT)
    help_text = subprocess.run([cosign, verb, "--help"], capture_output=True, text=True, check=True)
    old = ["--new-bundle-format"] if "--new-bundle-format" in help_text.stdout else []
    done = subprocess.run(
        [cosign, verb, *old, "--trusted-root", str(root), "--insecure-ignore-tlog",
         "--key", str(key), "--bundle", str(sealed / bundle), *more, str(sealed / file)],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(sealed.parent), "PATH": os.environ["PATH"]},
        timeout=120,
    )  # fmt: skip
    return done.returncode == 0


def test_verify_blob_accepts_every_artifact_and_the_list(cosign: str, sealed: Path) -> None:
    for name in ("mcp-gateway-arm64", "rpi4.img.bmap", "report.html", "SHA256SUMS"):
        assert run(cosign, "verify-blob", sealed, f"{name}.sigstore.json", name), name


def test_verify_blob_refuses_a_changed_artifact_and_another_key(cosign: str, sealed: Path) -> None:
    bundle = "report.html.sigstore.json"
    assert not run(cosign, "verify-blob", sealed, bundle, "rpi4.img.bmap")
    (sealed.parent / "key.pub").write_bytes(OTHER_KEY.public_key_pem())
    assert not run(cosign, "verify-blob", sealed, bundle, "report.html")


def test_verify_blob_attestation_accepts_the_provenance_of_every_artifact(
    cosign: str, sealed: Path
) -> None:
    kind = ("--type", "slsaprovenance1")
    for name in ("mcp-gateway-arm64", "rpi4.img.bmap", "report.html"):
        assert run(
            cosign, "verify-blob-attestation", sealed, "provenance.sigstore.json", name, *kind
        )
    assert not run(
        cosign, "verify-blob-attestation", sealed, "provenance.sigstore.json", "SHA256SUMS", *kind
    )
