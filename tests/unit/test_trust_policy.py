# SPDX-License-Identifier: Apache-2.0
"""A policy says what it means or is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.config import decode
from edgebuild.errors import EdgebuildError
from edgebuild.trust import policy

FULL = f"""
builder = "urn:edgebuild:builder:local"
target = "rpi4"
models = ["{"ab" * 32}"]
keys = ["{"cd" * 32}"]
lock = "{"ef" * 32}"
minimum_version = "0.1"
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(FULL)
    assert policy.load(tmp_path / "p.toml") == policy.Policy(
        builder="urn:edgebuild:builder:local",
        target="rpi4",
        models=("ab" * 32,),
        keys=("cd" * 32,),
        lock="ef" * 32,
        minimum_version="0.1",
    )


def test_an_empty_policy_requires_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.toml").touch()
    assert policy.load(tmp_path / "p.toml") == policy.Policy()


@pytest.mark.parametrize(
    "text",
    [
        "target = 1",
        'target = ""',
        "models = 'x'",
        "models = []",
        "models = [1]",
        f"models = ['{'AB' * 32}']",
        "lock = 'short'",
        "minimum_version = 'new'",
        "=",
        "a = " + "[" * 5000,
        "# " + "x" * decode.MAX_TOML_BYTES,
    ],
)
def test_e504_for_a_policy_that_is_not_valid(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(EdgebuildError) as raised:
        policy.load(tmp_path / "p.toml")
    assert raised.value.kind.code == "E504"


def test_e504_for_a_mistyped_key_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('bilder = "x"')
    with pytest.raises(EdgebuildError) as raised:
        policy.load(tmp_path / "p.toml")
    assert raised.value.kind.code == "E504"
    assert raised.value.hint == "did you mean builder?"
    (tmp_path / "p.toml").write_text('zzzz = "x"')
    with pytest.raises(EdgebuildError, match="zzzz") as raised:
        policy.load(tmp_path / "p.toml")
    assert "minimum_version" in (raised.value.hint or "")


def test_e504_for_a_missing_policy(tmp_path: Path) -> None:
    with pytest.raises(EdgebuildError) as raised:
        policy.load(tmp_path / "none.toml")
    assert raised.value.kind.code == "E504"


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_e504(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, "utf-8", "surrogatepass")
    try:
        table = tomllib.loads(text)
    except ValueError:
        table = {"not": "TOML"}
    if table:
        with pytest.raises(EdgebuildError) as raised:
            policy.load(path)
        assert raised.value.kind.code == "E504"


@pytest.mark.parametrize(
    ("older", "newer"), [("0.1", "0.2"), ("0.9", "0.10"), ("0.1", "0.1.1"), ("", "0"), ("x", "0")]
)
def test_versions_are_compared_by_number(older: str, newer: str) -> None:
    assert policy.version_tuple(older) < policy.version_tuple(newer)
