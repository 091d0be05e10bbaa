# SPDX-License-Identifier: Apache-2.0
"""Digests of a small sealed release and its SBOMs: a change of form is a reviewed line."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgebuild.trust import cyclonedx, spdx
from tests.unit.test_trust_sbom import CONTENTS
from tests.unit.trust_helpers import make_release

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "trust.sha256"


def test_a_small_release_has_the_golden_digests(tmp_path: Path) -> None:
    release = make_release(tmp_path / "rpi4")
    (release / "sbom.spdx.json").write_bytes(spdx.document(CONTENTS))
    (release / "sbom.cdx.json").write_bytes(cyclonedx.document(CONTENTS))
    found = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(release.iterdir())
    )
    assert found == GOLDEN.read_text(), f"if this is meant, {GOLDEN.name} becomes:\n{found}"
