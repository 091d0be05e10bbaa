# SPDX-License-Identifier: Apache-2.0
"""Keyless: real bundles verify offline, forged ones do not, and what is missing is said."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.trust import canonical, keyless, provenance, release
from edgebuild.trust.bundle import NotProven
from edgebuild.trust.verify import verify
from tests.unit.trust_helpers import LOCK, plan

BUNDLES = Path(__file__).parent / "sigstore"
ISSUER = "https://token.actions.githubusercontent.com"
BEACON = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/"
    ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
WORKFLOW = (
    "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2"
)
WHEEL = bytes.fromhex("c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201")

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("sigstore") is None,
    reason="the extra edgebuild[keyless] is not installed",
)


def bundle(name: str) -> bytes:
    """A real bundle, in the spelling that a release has."""
    return canonical.document(json.loads((BUNDLES / name).read_bytes()))


@pytest.fixture
def staging() -> keyless.KeylessVerifier:
    from sigstore.verify import Verifier

    return keyless.KeylessVerifier(BEACON, ISSUER, Verifier.staging(offline=True))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sigstore's library keeps its trusted root below the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI"):
        monkeypatch.delenv(name, raising=False)


@needs_library
def test_a_real_bundle_over_a_file_verifies_for_its_workflow_alone() -> None:
    data = bundle("message.production.json")
    keyless.KeylessVerifier(WORKFLOW, ISSUER).message(data, WHEEL)
    with pytest.raises(NotProven):
        keyless.KeylessVerifier(WORKFLOW, ISSUER).message(data, bytes(32))
    with pytest.raises(NotProven):
        keyless.KeylessVerifier(BEACON, ISSUER).message(data, WHEEL)
    with pytest.raises(NotProven):
        keyless.KeylessVerifier(WORKFLOW, "https://example.invalid").message(data, WHEEL)


@needs_library
def test_a_builder_checks_its_own_work_with_whom_the_certificate_names() -> None:
    data = bundle("message.production.json")
    verifier = keyless.claimed(data)
    assert verifier.identity() == f"{WORKFLOW} ({ISSUER})"
    verifier.message(data, WHEEL)
    with pytest.raises(NotProven):
        keyless.claimed(b"{}")


@needs_library
def test_a_real_statement_comes_back_from_its_bundle(staging: keyless.KeylessVerifier) -> None:
    payload = json.loads(staging.statement(bundle("statement.staging.json")))
    assert payload["_type"].startswith("https://in-toto.io/Statement/")
    assert BEACON in staging.identity()


@needs_library
def test_a_changed_or_respelled_bundle_is_not_proven(staging: keyless.KeylessVerifier) -> None:
    data = bundle("statement.staging.json")
    for forged in (
        data + b"\n",
        (BUNDLES / "statement.staging.json").read_bytes(),
        data.replace(b'"mediaType"', b'"extra": 1,\n  "mediaType"', 1),
        b"{}",
        b"",
        b"\xff",
        b"[" * 100_000,
    ):
        with pytest.raises(NotProven):
            staging.statement(forged)


@needs_library
def test_a_changed_statement_is_not_proven(staging: keyless.KeylessVerifier) -> None:
    value: Any = json.loads(bundle("statement.staging.json"))
    payload = value["dsseEnvelope"]["payload"]
    value["dsseEnvelope"]["payload"] = (
        payload[:40] + ("A" if payload[40] != "A" else "B") + (payload[41:])
    )
    with pytest.raises(NotProven):
        staging.statement(canonical.document(value))


@needs_library
def test_an_envelope_of_something_else_is_not_proven(
    staging: keyless.KeylessVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        staging._verifier, "verify_dsse", lambda bundle, policy: ("text/plain", b"")
    )
    with pytest.raises(NotProven, match="in-toto"):
        staging.statement(bundle("statement.staging.json"))


@needs_library
def test_e505_without_an_ambient_identity() -> None:
    with pytest.raises(EdgebuildError, match="no ambient identity") as raised:
        keyless.KeylessSigner()
    assert raised.value.kind.code == "E505"
    assert "id-token: write" in (raised.value.hint or "")


@needs_library
def test_e505_for_an_identity_that_sigstore_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: "not a token")
    with pytest.raises(EdgebuildError, match="Sigstore cannot sign") as raised:
        keyless.KeylessSigner()
    assert raised.value.kind.code == "E505"


def test_e505_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sigstore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sigstore", None)
    for action in (keyless.KeylessSigner, lambda: keyless.KeylessVerifier("a", "b")):
        with pytest.raises(EdgebuildError) as raised:
            action()
        assert raised.value.kind.code == "E505"
        assert "edgebuild[keyless]" in (raised.value.hint or "")


class FakeToken:
    identity, federated_issuer = BEACON, ISSUER

    def __init__(self, raw: str) -> None:
        assert raw == "token"


class FakeSigner:
    """Sigstore's signer with the service replaced: answers real bundles it was given."""

    def __init__(self, token: object, context: object) -> None:
        from sigstore.models import Bundle

        self._message = Bundle.from_json(bundle("message.production.json"))
        self._statement = Bundle.from_json(bundle("statement.staging.json"))
        self.signed: list[object] = []

    def sign_artifact(self, hashed: Any) -> object:
        self.signed.append(hashed.digest)
        return self._message

    def sign_dsse(self, statement: Any) -> object:
        self.signed.append(statement)
        return self._statement


@needs_library
def test_a_release_is_sealed_through_the_same_interface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sigstore import sign

    with monkeypatch.context() as service:
        service.setattr("sigstore.oidc.detect_credential", lambda: "token")
        service.setattr("sigstore.oidc.IdentityToken", FakeToken)
        service.setattr("sigstore.models.ClientTrustConfig.production", lambda: None)
        service.setattr(sign.SigningContext, "from_trust_config", lambda config: None)
        service.setattr("sigstore.sign.Signer", FakeSigner)
        signer = keyless.KeylessSigner()
    assert signer.identity() == f"{BEACON} ({ISSUER})"
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "artifact").write_bytes(b"x")
    release.seal(
        tmp_path / "r", signer, lambda digests: provenance.statement(plan(), LOCK, digests)
    )
    assert keyless.decode((tmp_path / "r" / "artifact.sigstore.json").read_bytes())
    report = verify(tmp_path / "r", keyless.KeylessVerifier(BEACON, ISSUER))
    assert not report.ok  # real bundles, but of other files
