# SPDX-License-Identifier: Apache-2.0
"""Finding the machine's Debian mirror, on Debian and elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.host import deb822, mirrors


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("EDGEBUILD_MIRROR", raising=False)
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    return tmp_path / "apt"


def _found(apt: Path, option: str | None = None) -> tuple[str, ...]:
    return mirrors.mirrors(option, apt, apt.parent / "templates")


def test_the_option_wins_over_the_environment_and_that_over_apt(
    apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (apt / "sources.list").write_text("deb http://apt.invalid/debian trixie main\n")
    assert _found(apt) == ("http://apt.invalid/debian",)
    monkeypatch.setenv("EDGEBUILD_MIRROR", "http://env.invalid/debian/")
    assert _found(apt) == ("http://env.invalid/debian",)
    assert _found(apt, "file:///srv/a, http://b.invalid/x") == (
        "file:///srv/a",
        "http://b.invalid/x",
    )


def test_one_line_sources(apt: Path) -> None:
    (apt / "sources.list").write_text(
        "# deb http://comment.invalid/debian trixie main\n"
        "deb [ arch=amd64 signed-by=/x ] http://one.invalid/debian bookworm main contrib # why\n"
        "deb http://one.invalid/debian bookworm main\n"
        "deb-src\thttp://two.invalid/debian/ trixie main\n"
        "deb http://security.invalid/debian-security trixie-security main\n"
        "deb http://ubuntu.invalid/ubuntu noble main\n"
        "deb http://other.invalid/debian trixie stable\n"
        "deb cdrom:[x]/ trixie main\n"
        "nonsense\n"
    )
    (apt / "sources.list.d/a.list").write_text("deb http://three.invalid/debian sid main\n")
    (apt / "sources.list.d/b.save").write_text("deb http://no.invalid/debian sid main\n")
    assert _found(apt) == (
        "http://one.invalid/debian",
        "http://two.invalid/debian",
        "http://three.invalid/debian",
    )


def test_deb822_sources(apt: Path) -> None:
    (apt / "sources.list.d/debian.sources").write_text(
        "# a comment\nTypes: deb\nURIs: http://one.invalid/debian\n  https://two.invalid/debian/\n"
        "Suites: bookworm bookworm-updates\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
        "\nEnabled: no\nTypes: deb\nURIs: http://off.invalid/debian\nSuites: sid\n"
        "Components: main\n"
        "\n\nTypes: deb\nURIs: http://sec.invalid/debian\nSuites: bookworm-security\n"
        "Components: main\n"
    )
    (apt / "sources.list.d/broken.sources").write_text("no field here\n")
    assert _found(apt) == ("http://one.invalid/debian", "https://two.invalid/debian")


def test_an_ubuntu_machine_knows_debian_from_python_apt(apt: Path) -> None:
    (apt / "sources.list").write_text("deb http://ubuntu.invalid/ubuntu noble main\n")
    templates = apt.parent / "templates"
    templates.mkdir()
    (templates / "Debian.mirrors").write_text(
        "#LOC:AM\nhttp://a.invalid/debian/\nftp://f.invalid/x\nhttp://b.invalid/debian/\n"
    )
    assert _found(apt) == ("http://a.invalid/debian", "http://b.invalid/debian")
    (templates / "Debian.info").write_text("Suite: {series}\nBaseURI: http://deb.invalid/debian/\n")
    assert _found(apt) == ("http://deb.invalid/debian",)


def _apt_config(tmp_path: Path, text: str) -> str:
    script = tmp_path / "apt-config"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    script.chmod(0o755)
    return str(script)


def test_proxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    apt = _apt_config(
        tmp_path, 'Acquire::http::Proxy "http://p.invalid:1";\nAcquire::https::Proxy "DIRECT";'
    )
    assert mirrors.proxies(apt) == {"http": "http://p.invalid:1"}
    assert mirrors.proxies(str(tmp_path / "none")) == {}
    monkeypatch.setenv("https_proxy", "http://env.invalid:2")
    assert mirrors.proxies(apt) == {"https": "http://env.invalid:2"}


def test_no_mirror_E101(apt: Path) -> None:
    with pytest.raises(EdgebuildError) as caught:
        _found(apt)
    assert caught.value.kind.code == "E101"
    assert "--mirror" in (caught.value.hint or "")


def test_an_address_that_is_none_E101(apt: Path) -> None:
    with pytest.raises(EdgebuildError) as caught:
        _found(apt, "/srv/debian")
    assert caught.value.kind.code == "E101"


URIS = st.from_regex(r"https?://[a-z]{1,8}\.invalid/[a-z/]{0,8}[a-z]", fullmatch=True)
ENTRIES = st.tuples(
    st.sampled_from(["deb", "deb-src"]),
    st.sampled_from(["", "[ arch=amd64 ] ", "[signed-by=/k.gpg]\t"]),
    URIS,
    st.sampled_from(["trixie", "bookworm", "trixie-security", "noble"]),
    st.sampled_from(["main", "contrib main", "universe"]),
    st.sampled_from(["", " # why"]),
)


@given(st.lists(ENTRIES, max_size=5))
def test_one_line_entries_come_back(entries: list[tuple[str, ...]]) -> None:
    text = "\n".join(f"{a} {b}{c} {d} {e}{f}" for a, b, c, d, e, f in entries)
    assert list(mirrors._one_line_entries(text)) == [(c, d, e) for _, _, c, d, e, _ in entries]


@given(st.text())
def test_any_text_is_entries_or_none(text: str) -> None:
    for found in (mirrors._one_line_entries(text), mirrors._deb822_entries(text)):
        assert all(len(entry) == 3 for entry in found)


def test_a_paragraph() -> None:
    assert deb822.paragraph("Package: x\nDepends: a,\n b,\n\tc\n#comment\nEmpty:\n") == {
        "package": "x",
        "depends": "a,\nb,\nc",
        "empty": "",
    }


@pytest.mark.parametrize("text", [" first", "no colon", "a b: c", "A: 1\na: 2", ": x"])
def test_no_paragraph(text: str) -> None:
    with pytest.raises(ValueError):
        deb822.paragraph(text)


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
VALUES = st.from_regex(r"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True)
FIELDS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=5)


@given(st.lists(FIELDS, max_size=4))
def test_paragraphs_come_back(blocks: list[dict[str, str]]) -> None:
    text = "\n\n".join("".join(f"{k}: {v}\n" for k, v in block.items()) for block in blocks)
    assert deb822.paragraphs(text) == blocks


@given(st.text())
def test_any_text_is_paragraphs_or_a_value_error(text: str) -> None:
    try:
        blocks = deb822.paragraphs(text)
    except ValueError:
        return
    assert all(blocks)
