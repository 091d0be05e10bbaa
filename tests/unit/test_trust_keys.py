# SPDX-License-Identifier: Apache-2.0
"""Keys: deterministic signatures, a private development key, and plain refusals."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.trust import bundle, dsse, ecdsa, keys
from edgebuild.trust.bundle import KeyVerifier, NotProven
from tests.unit.trust_helpers import KEY, OTHER_KEY, VERIFIER

PKCS8 = serialization.PrivateFormat.PKCS8
PEM = serialization.Encoding.PEM


def write_key(
    path: Path, private: object | None = None, password: bytes | None = None, mode: int = 0o600
) -> Path:
    key = private or ec.derive_private_key(7, ec.SECP256R1())
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    path.write_bytes(key.private_bytes(PEM, PKCS8, encryption))  # type: ignore[attr-defined]
    path.chmod(mode)
    return path


def code_of(action: object, *args: object) -> str:
    with pytest.raises(EdgebuildError) as raised:
        action(*args)  # type: ignore[operator]
    return raised.value.kind.code


def test_signature_is_that_of_rfc_6979_with_low_s() -> None:
    """RFC 6979, A.2.5, P-256 with SHA-256, message "sample"."""
    x = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    key = keys.PemKey(ec.derive_private_key(x, ec.SECP256R1()))
    r, s = utils.decode_dss_signature(key.sign(b"sample"))
    assert r == 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
    published = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
    assert s == ecdsa.ORDER - published


@given(st.binary(max_size=200))
def test_a_signature_is_one_function_of_key_and_message(message: bytes) -> None:
    signature = KEY.sign(message)
    assert signature == KEY.sign_digest(hashlib.sha256(message).digest())
    assert utils.decode_dss_signature(signature)[1] <= ecdsa.ORDER // 2
    digest = hashlib.sha256(message).digest()
    VERIFIER.message(KEY.message(digest), digest)
    with pytest.raises(NotProven):
        VERIFIER.message(OTHER_KEY.message(digest), digest)


@given(st.binary(max_size=300))
def test_a_verifier_only_ever_says_not_proven(data: bytes) -> None:
    with pytest.raises(NotProven):
        VERIFIER.message(data, bytes(32))
    with pytest.raises(NotProven):
        VERIFIER.statement(data)


@given(st.binary(max_size=80))
def test_any_bytes_as_a_signature_are_not_proven(signature: bytes) -> None:
    data = bundle.message_bundle(signature, bytes(32), KEY.key_id())
    with pytest.raises(NotProven):
        VERIFIER.message(data, bytes(32))


def test_dsse_encoding_is_the_specification_s_example() -> None:
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_statement_comes_back_from_its_bundle() -> None:
    assert VERIFIER.statement(KEY.statement(b'{"a":1}')) == b'{"a":1}'


def test_development_key_is_made_once_private_and_plainly_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    first = keys.load_or_make(None)
    again = keys.load_or_make(None)
    assert first.key_id() == again.key_id()
    path = tmp_path / "edgebuild" / "development-key-DO-NOT-SHIP.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    public = path.with_suffix(".pub")
    assert keys.load_public(public) == first.public_key_pem() == keys.load_public(path)
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, public.name}
    assert KeyVerifier(public.read_bytes()).identity() == first.identity()


def test_of_two_processes_that_make_a_key_the_first_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    first = keys.load_or_make(None)
    public = tmp_path / "edgebuild" / "development-key-DO-NOT-SHIP.pub"
    public.unlink()
    monkeypatch.setattr(Path, "exists", lambda self: False)  # as the slower process saw it
    assert keys.load_or_make(None).key_id() == first.key_id()
    assert public.read_bytes() == first.public_key_pem()
    assert len(list((tmp_path / "edgebuild").iterdir())) == 2


@pytest.mark.parametrize("form", ["sec1", "sec1 with parameters", "pkcs8", "encrypted"])
def test_keys_as_openssl_makes_them(tmp_path: Path, form: str) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path, raw, public = tmp_path / "key.pem", tmp_path / "raw.pem", tmp_path / "key.pub"
    make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", str(raw)]
    subprocess.run(make if form == "sec1 with parameters" else [*make, "-noout"], check=True)
    convert = ["openssl", "pkcs8", "-topk8", "-in", str(raw), "-out", str(path)]
    if form == "pkcs8":
        subprocess.run([*convert, "-nocrypt"], check=True)
    elif form == "encrypted":
        subprocess.run([*convert, "-passout", "pass:secret"], check=True)
    else:
        raw.rename(path)
    path.chmod(0o600)
    extract = ["openssl", "pkey", "-in", str(path), "-passin", "pass:secret", "-pubout"]
    subprocess.run([*extract, "-out", str(public)], check=True)
    assert keys.load(path, lambda: b"secret").public_key_pem() == keys.load_public(public)


def test_e501_when_the_development_key_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert code_of(keys.load_or_make, None) == "E501"


def test_a_named_key_is_used(tmp_path: Path) -> None:
    path = write_key(tmp_path / "key.pem")
    assert keys.load_or_make(path).key_id() == keys.load(path).key_id()


def test_e501_for_a_missing_file(tmp_path: Path) -> None:
    assert code_of(keys.load, tmp_path / "none.pem") == "E501"
    assert code_of(keys.load_public, tmp_path / "none.pem") == "E501"


@pytest.mark.parametrize("data", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\n", b"\0" * 100])
def test_e501_for_what_is_no_key(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(data)
    path.chmod(0o600)
    assert code_of(keys.load, path) == "E501"
    assert code_of(keys.load_public, path) == "E501"


@pytest.mark.parametrize(
    "private", [ec.derive_private_key(7, ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_e501_for_a_key_of_another_kind(tmp_path: Path, private: object) -> None:
    assert code_of(keys.load, write_key(tmp_path / "k", private)) == "E501"
    public = tmp_path / "k.pub"
    public.write_bytes(
        private.public_key().public_bytes(  # type: ignore[attr-defined]
            PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    assert code_of(keys.load_public, public) == "E501"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_e502_for_a_key_that_others_can_read(tmp_path: Path, mode: int) -> None:
    assert code_of(keys.load, write_key(tmp_path / "k", mode=mode)) == "E502"


def test_e503_for_an_encrypted_key_without_its_password(tmp_path: Path) -> None:
    path = write_key(tmp_path / "k", password=b"right")
    assert code_of(keys.load, path) == "E503"
    assert code_of(keys.load, path, lambda: None) == "E503"
    assert code_of(keys.load, path, lambda: b"wrong") == "E503"
    assert keys.load(path, lambda: b"right").key_id() == keys.load(write_key(path)).key_id()


def test_the_password_is_asked_for_only_when_it_is_needed(tmp_path: Path) -> None:
    keys.load(write_key(tmp_path / "k"), lambda: pytest.fail("asked"))
