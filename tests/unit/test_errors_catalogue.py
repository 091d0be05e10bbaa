# SPDX-License-Identifier: Apache-2.0
"""Every code is raised somewhere, provoked by a test, and on the reference page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgebuild.errors import catalogue, code

ROOT = Path(__file__).resolve().parents[2]


def sources(folder: str) -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")}


def test_every_code_is_named_by_a_test() -> None:
    """A test names the code that it provokes, as E501 or in its own name as e501."""
    text = "\n".join(text for path, text in sources("tests").items() if path != Path(__file__))
    named = {found.upper() for found in re.findall(r"(?<![A-Za-z0-9])[eE]\d{3}(?!\d)", text)}
    missing = [entry.code for entry in catalogue.codes() if entry.code not in named]
    assert not missing


def test_every_code_is_raised_by_the_tool() -> None:
    text = "\n".join(
        text for path, text in sources("compiler").items() if path.parent.name != "errors"
    )
    unused = [name for name in catalogue.constants() if not re.search(rf"\b{name}\b", text)]
    assert not unused


def test_codes_are_in_the_range_of_their_module() -> None:
    for module in catalogue.RANGES:
        digits = set(re.findall(r"E(\d)", (module.__doc__ or "").partition(" ")[0]))
        own = {
            code
            for name, code in catalogue.constants().items()
            if getattr(module, name, None) is not None
        }
        assert {code[1] for code in own} <= digits, module.__name__


@pytest.mark.parametrize("entry", catalogue.codes(), ids=lambda entry: entry.code)
def test_every_code_says_what_it_means(entry: catalogue.Code) -> None:
    assert entry.title
    assert not entry.title.endswith(".")
    assert entry.meaning.endswith((".", "`."))
    assert f"| {entry.code} | {entry.title} |" in catalogue.page()


def test_an_error_is_told_with_code_place_and_way_out() -> None:
    error = catalogue.trust.KEY_EXPOSED("too open", where="k.pem", hint="chmod 600 k.pem")
    assert str(error) == "error E502: too open\n  where: k.pem\n  hint:  chmod 600 k.pem"
    assert str(catalogue.trust.KEY_EXPOSED("too open")) == "error E502: too open"
    assert error.to_json() == {
        "code": "E502",
        "message": "too open",
        "where": "k.pem",
        "hint": "chmod 600 k.pem",
    }


def test_a_code_is_given_once() -> None:
    with pytest.raises(ValueError, match="E502 is used twice"):
        code("E502", "other", "Other.")
