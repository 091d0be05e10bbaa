# SPDX-License-Identifier: Apache-2.0
"""A release verifies as it was sealed, and after any change of it does not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import utils
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.trust import bundle, canonical, ecdsa, provenance, release
from edgebuild.trust.bundle import KeyVerifier, NotProven
from edgebuild.trust.policy import Policy
from edgebuild.trust.verify import VerifyReport, verify
from tests.unit.trust_helpers import (
    KEY,
    LOCK,
    MODEL_SHA256,
    OTHER_KEY,
    VERIFIER,
    make_release,
    plan,
)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    return make_release(tmp_path / "rpi4")


def failed(report: VerifyReport) -> set[str]:
    return {check.name for check in report.checks if not check.ok}


def test_sealed_release_verifies_and_the_report_names_every_check(sealed: Path) -> None:
    report = verify(sealed, VERIFIER)
    assert report.ok, failed(report)
    report.require()
    names = {check.name for check in report.checks}
    for artifact in ("mcp-gateway-arm64", "rpi4.img.bmap", "report.html"):
        assert {f"digest {artifact}", f"signature {artifact}"} <= names
    assert {"files", "SHA256SUMS", "completeness", "provenance signature"} <= names
    assert report.signer == f"key sha256:{KEY.key_id()}"


def test_stock_sha256sum_accepts_the_list(sealed: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=sealed,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    listed = len((sealed / "SHA256SUMS").read_text().splitlines())
    assert listed == len(list(sealed.iterdir())) - 2  # itself and its own bundle


def test_two_seals_give_equal_bytes(sealed: Path, tmp_path: Path) -> None:
    other = make_release(tmp_path / "elsewhere")
    assert sorted(os.listdir(sealed)) == sorted(os.listdir(other))
    for path in sealed.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name
        assert path.name in ("mcp-gateway-arm64", "rpi4.img.bmap", "report.html") or (
            path.stat().st_mode & 0o777 == 0o644
        )


def test_sealing_again_replaces_what_the_first_seal_wrote(sealed: Path) -> None:
    before = {path.name: path.read_bytes() for path in sealed.iterdir()}
    (sealed / "gone.sigstore.json").write_bytes(b"from an artifact of an earlier build")
    make_release(sealed)
    assert {path.name: path.read_bytes() for path in sealed.iterdir()} == before


def test_a_flip_of_any_byte_of_any_file_fails(tmp_path: Path) -> None:
    sealed = make_release(tmp_path / "r", built=plan(steps=()), names=("gateway",))
    for path in sorted(sealed.iterdir()):
        original = path.read_bytes()
        for position in range(len(original)):
            changed = bytearray(original)
            changed[position] ^= 1 << (position % 8)
            path.write_bytes(changed)
            assert not verify(sealed, VERIFIER).ok, (path.name, position)
        path.write_bytes(original)
    assert verify(sealed, VERIFIER).ok


@pytest.mark.parametrize("change", [b"\n", b" ", b"\0"])
def test_a_byte_more_or_less_in_any_file_fails(sealed: Path, change: bytes) -> None:
    for path in sorted(sealed.iterdir()):
        original = path.read_bytes()
        for changed in (original + change, change + original, original[:-1], b""):
            path.write_bytes(changed)
            assert not verify(sealed, VERIFIER).ok, path.name
        path.write_bytes(original)


def test_a_missing_file_fails(sealed: Path) -> None:
    for path in sorted(sealed.iterdir()):
        data = path.read_bytes()
        path.unlink()
        if path.name == "SHA256SUMS":
            with pytest.raises(EdgebuildError) as raised:
                verify(sealed, VERIFIER)
            assert raised.value.kind.code == "E509"
        else:
            assert not verify(sealed, VERIFIER).ok, path.name
        path.write_bytes(data)


def test_a_renamed_or_swapped_file_fails(sealed: Path) -> None:
    a, b = sealed / "report.html", sealed / "rpi4.img.bmap"
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    assert not verify(sealed, VERIFIER).ok
    a.write_bytes(first)
    b.write_bytes(second)
    a.rename(sealed / "other.html")
    assert failed(verify(sealed, VERIFIER)) >= {"completeness", "digest report.html"}


@pytest.mark.parametrize("name", ["extra", ".hidden", "SHA256SUMS.sigstore.json.bak", "a b", "\n"])
def test_an_extra_file_fails(sealed: Path, name: str) -> None:
    (sealed / name).write_bytes(b"")
    assert "completeness" in failed(verify(sealed, VERIFIER))


def test_an_extra_folder_fails(sealed: Path) -> None:
    (sealed / "folder").mkdir()
    assert failed(verify(sealed, VERIFIER)) == {"files", "completeness"}


@pytest.mark.parametrize("name", ["report.html", "SHA256SUMS", "SHA256SUMS.sigstore.json"])
def test_a_link_to_the_right_bytes_fails(sealed: Path, tmp_path: Path, name: str) -> None:
    (sealed / name).rename(tmp_path / name)
    (sealed / name).symlink_to(tmp_path / name)
    assert "files" in failed(verify(sealed, VERIFIER))


def test_a_pipe_in_place_of_a_file_fails_and_does_not_hang(sealed: Path) -> None:
    (sealed / "report.html").unlink()
    os.mkfifo(sealed / "report.html")
    assert failed(verify(sealed, VERIFIER)) >= {"files", "digest report.html"}


def test_another_key_fails_everywhere(sealed: Path) -> None:
    report = verify(sealed, KeyVerifier(OTHER_KEY.public_key_pem()))
    assert failed(report) >= {"SHA256SUMS", "provenance signature"}
    with pytest.raises(EdgebuildError) as raised:
        report.require()
    assert (raised.value.kind.code, raised.value.kind.exit_status) == ("E507", 3)


def test_a_release_sealed_with_another_key_fails(tmp_path: Path) -> None:
    assert not verify(make_release(tmp_path / "r", OTHER_KEY), VERIFIER).ok


def test_one_bundle_of_another_key_in_a_correctly_signed_list_fails(sealed: Path) -> None:
    """Someone who can sign lists must still not vouch for a foreign signature."""
    digest = hashlib.sha256((sealed / "report.html").read_bytes()).digest()
    (sealed / "report.html.sigstore.json").write_bytes(OTHER_KEY.message(digest))
    relist(sealed)
    assert failed(verify(sealed, VERIFIER)) == {"signature report.html"}


def test_the_other_form_of_a_valid_signature_fails(sealed: Path) -> None:
    path = sealed / "SHA256SUMS.sigstore.json"
    digest = hashlib.sha256((sealed / "SHA256SUMS").read_bytes()).digest()
    r, s = utils.decode_dss_signature(KEY.sign_digest(digest))
    assert s <= ecdsa.ORDER // 2
    malleated = utils.encode_dss_signature(r, ecdsa.ORDER - s)
    path.write_bytes(bundle.message_bundle(malleated, digest, KEY.key_id()))
    report = verify(sealed, VERIFIER)
    assert failed(report) >= {"SHA256SUMS", "completeness"}
    assert "malleated" in next(c.detail for c in report.checks if c.name == "SHA256SUMS")


def test_the_same_bundle_in_another_spelling_fails(sealed: Path) -> None:
    path = sealed / "SHA256SUMS.sigstore.json"
    path.write_bytes(canonical.compact(json.loads(path.read_bytes())))
    assert "SHA256SUMS" in failed(verify(sealed, VERIFIER))


def test_an_old_report_under_a_new_list_is_not_named_by_the_provenance(sealed: Path) -> None:
    """A signer's list and bundles for a file that the provenance does not know."""
    (sealed / "report.html").write_bytes(b"other")
    digest = hashlib.sha256(b"other").digest()
    (sealed / "report.html.sigstore.json").write_bytes(KEY.message(digest))
    relist(sealed)
    assert failed(verify(sealed, VERIFIER)) == {"provenance subjects"}


def test_a_signed_statement_of_another_kind_fails(sealed: Path) -> None:
    for payload in (b"{}", b"[]", b"1", b"\xff", b"[" * 100_000, canonical.compact({"_type": 1})):
        (sealed / "provenance.sigstore.json").write_bytes(KEY.statement(payload))
        relist(sealed)
        assert failed(verify(sealed, VERIFIER)) == {"provenance content"}, payload[:10]


@pytest.mark.parametrize("place", ["_type", "predicateType", "buildType", "subject", "digest"])
def test_a_signed_statement_with_a_foreign_part_fails(sealed: Path, place: str) -> None:
    statement = provenance.statement(plan(), LOCK, {"a": "00" * 32})
    definition = statement["predicate"]["buildDefinition"]  # type: ignore[index]
    subject = statement["subject"]
    if place == "buildType":
        definition[place] = "urn:other"
    elif place == "subject":
        subject.append(subject[0])  # type: ignore[attr-defined]
    elif place == "digest":
        subject[0]["digest"] = {"sha256": "AA" * 32}  # type: ignore[index]
    else:
        statement[place] = "https://example.invalid/"
    (sealed / "provenance.sigstore.json").write_bytes(KEY.statement(canonical.compact(statement)))
    relist(sealed)
    assert failed(verify(sealed, VERIFIER)) == {"provenance content"}


def test_a_huge_bundle_is_refused_before_it_is_parsed(sealed: Path) -> None:
    with (sealed / "SHA256SUMS.sigstore.json").open("wb") as file:
        file.truncate(bundle.LIMIT_BYTES + 1)
    report = verify(sealed, VERIFIER)
    assert "larger than" in next(c.detail for c in report.checks if c.name == "SHA256SUMS")


def test_a_folder_that_is_no_release_is_an_error_of_its_own(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        with pytest.raises(EdgebuildError) as raised:
            verify(directory, VERIFIER)
        assert raised.value.kind.code == "E509"


def test_too_many_files_are_refused(sealed: Path) -> None:
    for number in range(1100):
        (sealed / f"f{number}").touch()
    assert "files" in failed(verify(sealed, VERIFIER))


def test_a_list_that_is_not_in_its_one_form_fails(sealed: Path) -> None:
    text = (sealed / "SHA256SUMS").read_bytes()
    lines = text.splitlines(keepends=True)
    forms = {
        b"".join(reversed(lines)),
        text + lines[0],
        text.replace(b"  ", b" *", 1),
        text.replace(b"report.html", b"../report.html", 1),
        text.replace(b"\n", b"\r\n"),
        text.upper(),
    }
    for form in forms:
        (sealed / "SHA256SUMS").write_bytes(form)
        (sealed / "SHA256SUMS.sigstore.json").write_bytes(
            KEY.message(hashlib.sha256(form).digest())
        )
        assert "SHA256SUMS" in failed(verify(sealed, VERIFIER)), form


FULL_POLICY = Policy(
    builder=provenance.LOCAL_BUILDER,
    target="rpi4",
    models=(MODEL_SHA256,),
    keys=(KEY.key_id(),),
    lock="44" * 32,
    minimum_version="0.1",
)


def test_a_policy_that_describes_the_release_passes_and_is_reported(sealed: Path) -> None:
    report = verify(sealed, VERIFIER, FULL_POLICY)
    assert report.ok, failed(report)
    assert {check.name for check in report.checks if check.name.startswith("policy ")} == {
        "policy builder", "policy target", "policy models", "policy keys", "policy lock",
        "policy minimum_version",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        (Policy(builder="https://example.invalid/other"), "builder"),
        (Policy(target="x86_64"), "target"),
        (Policy(models=("ab" * 32,)), "models"),
        (Policy(models=(MODEL_SHA256, "ab" * 32)), "models"),
        (Policy(keys=(OTHER_KEY.key_id(),)), "keys"),
        (Policy(lock="ab" * 32), "lock"),
        (Policy(minimum_version="0.1.1"), "minimum_version"),
    ],
)
def test_each_requirement_that_is_not_met_fails(sealed: Path, policy: Policy, name: str) -> None:
    report = verify(sealed, VERIFIER, policy)
    assert failed(report) == {f"policy {name}"}
    with pytest.raises(EdgebuildError) as raised:
        report.require()
    assert "not what the policy requires" in (raised.value.hint or "")


def test_a_swapped_model_and_a_wrong_builder_fail_a_policy_despite_the_right_key(
    tmp_path: Path,
) -> None:
    swapped = plan(model_sha256="ee" * 32)
    built = make_release(tmp_path / "r", built=swapped, builder="https://example.invalid/ci")
    assert verify(built, VERIFIER).ok
    assert failed(verify(built, VERIFIER, FULL_POLICY)) == {"policy models", "policy builder"}


def test_without_believable_provenance_every_requirement_fails(sealed: Path) -> None:
    (sealed / "provenance.sigstore.json").write_bytes(b"{}")
    names = failed(verify(sealed, VERIFIER, FULL_POLICY))
    assert {"policy builder", "policy target", "policy models", "policy lock"} <= names
    assert "policy minimum_version" in names


def relist(directory: Path) -> None:
    """Write SHA256SUMS and its bundle anew, as one who holds the key could."""
    names = {p.name for p in directory.iterdir()} - {"SHA256SUMS", "SHA256SUMS.sigstore.json"}
    text = release.sums_text(
        {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in names}
    )
    (directory / "SHA256SUMS").write_bytes(text)
    (directory / "SHA256SUMS.sigstore.json").write_bytes(KEY.message(hashlib.sha256(text).digest()))


def test_an_unsigned_release_has_a_list_and_bare_provenance_and_never_verifies(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "r"
    directory.mkdir()
    (directory / "a").write_bytes(b"x")
    release.seal(directory, None, lambda digests: provenance.statement(plan(), LOCK, digests))
    assert {p.name for p in directory.iterdir()} == {
        "a",
        "SHA256SUMS",
        "provenance.UNSIGNED.json",
    }
    assert not verify(directory, VERIFIER).ok


@pytest.mark.parametrize("spoil", ["empty", "folder", "link", "name"])
def test_e506_for_a_folder_that_cannot_be_a_release(tmp_path: Path, spoil: str) -> None:
    directory = tmp_path / "r"
    directory.mkdir()
    if spoil != "empty":
        (directory / "a").write_bytes(b"x")
    if spoil == "folder":
        (directory / "b").mkdir()
    elif spoil == "link":
        (directory / "b").symlink_to("a")
    elif spoil == "name":
        (directory / "-rf").write_bytes(b"")
    with pytest.raises(EdgebuildError) as raised:
        release.seal(directory, KEY, lambda digests: {})
    assert raised.value.kind.code == "E506"
    assert not (directory / "SHA256SUMS").exists()


def test_a_report_of_no_checks_is_no_success() -> None:
    report = VerifyReport(directory="d", signer="s", checks=())
    assert not report.ok
    with pytest.raises(EdgebuildError, match="nothing was checked"):
        report.require()


@given(st.binary(max_size=200) | st.text("0123456789abcdef \n", max_size=200).map(str.encode))
def test_any_list_is_read_back_as_it_was_written_or_refused(data: bytes) -> None:
    try:
        digests = release.parse_sums(data)
    except NotProven:
        return
    assert release.sums_text(digests) == data
