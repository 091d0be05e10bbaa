# SPDX-License-Identifier: Apache-2.0
"""The configuration's table: decoder, schema and reference page."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.core import config, jsontext
from tests.tools import gateway_reference

ROOT = Path(__file__).parents[2]


def problems(document: object, models: list[str] | None = None) -> list[str]:
    return [config.describe(found) for found in config.parse(document, models)[1]]


def test_nothing_means_the_defaults() -> None:
    found, wrong = config.parse({}, None)
    assert wrong == []
    assert found.gateway["listen"] == "127.0.0.1:8080"
    assert set(found.gateway) == {field.name for field in config.GATEWAY}
    assert found.models == {}


def test_values_are_taken() -> None:
    found, wrong = config.parse(
        {
            "gateway": {"name": "kitchen", "max_connections": 3, "allowed_hosts": ["a.local"]},
            "models": {"kws": {"tool": "hear", "labels": ["yes", "no"], "task": "classify"}},
        },
        ["kws"],
    )
    assert wrong == []
    assert found.gateway["name"] == "kitchen"
    assert found.models == {"kws": {"tool": "hear", "labels": ["yes", "no"], "task": "classify"}}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"gatewy": {}}, "[gatewy] is not a known table; did you mean 'gateway'?"),
        ({"zzz": {}}, "[zzz] is not a known table"),
        (
            {"gateway": {"max_conections": 1}},
            "[gateway] max_conections is not a known key; did you mean 'max_connections'?",
        ),
        ({"gateway": {"q": 1}}, "[gateway] q is not a known key"),
        ({"gateway": 1}, "[gateway] must be a table"),
        ({"gateway": {"name": 1}}, "[gateway] name must be a string"),
        ({"gateway": {"name": ""}}, "[gateway] name must have 1 to 128 characters"),
        ({"gateway": {"max_connections": "1"}}, "[gateway] max_connections must be an integer"),
        ({"gateway": {"max_connections": True}}, "[gateway] max_connections must be an integer"),
        (
            {"gateway": {"max_connections": 0}},
            "[gateway] max_connections must be between 1 and 4096, not 0",
        ),
        ({"gateway": {"allowed_hosts": "a"}}, "[gateway] allowed_hosts must be a list of strings"),
        ({"gateway": {"allowed_hosts": [1]}}, "[gateway] allowed_hosts must be a list of strings"),
        (
            {"gateway": {"allowed_hosts": ["a"] * 65}},
            "[gateway] allowed_hosts must have at most 64 items",
        ),
        (
            {"gateway": {"listen": "8080"}},
            "[gateway] listen must be ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080",
        ),
        ({"models": 1}, "[models] must be a table of tables"),
        ({"models": {"kws": 1}}, "[models.kws] must be a table"),
        (
            {"models": {"kwz": {}}},
            "[models.kwz] is not a model of this gateway; did you mean 'kws'?",
        ),
        (
            {"models": {"kws": {"task": "guess"}}},
            "[models.kws] task must be one of classify, infer",
        ),
        (
            {"models": {"kws": {"tool": "a b"}}},
            "[models.kws] tool may only have letters, digits, '_', '-' and '.'",
        ),
        (
            {"models": {"kws": {"tool": "x"}, "pet": {"tool": "x"}}},
            "[models.pet] tool is also that of [models.kws]",
        ),
        ([], "the file must be a table"),
    ],
)
def test_mistakes_are_named_with_their_place(document: object, words: str) -> None:
    assert problems(document, ["kws", "pet"]) == [words]


def test_all_mistakes_are_told_at_once() -> None:
    assert len(problems({"gateway": {"a": 1, "b": 2}, "x": 1})) == 3


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:8080", ("::1", 8080)),
        ("localhost:0", ("localhost", 0)),
        ("::1:80", None),
        ("a:99999", None),
        ("a:123456", None),
        (":80", None),
        ("a:", None),
        ("a:b", None),
    ],
)
def test_addresses(text: str, parts: object) -> None:
    assert config.split_address(text) == parts


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["gateway", "models", "name", "listen", "labels", "kws"])
                | st.text(max_size=5),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_document_gives_values_or_problems_and_agrees_with_the_schema(document: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    _found, wrong = config.parse(document, None)
    valid = jsonschema.Draft202012Validator(config.schema()).is_valid(document)
    if not wrong:
        assert valid
    if not valid:
        assert wrong


@given(st.text(max_size=6), st.text(max_size=6))
def test_distance_is_a_metric(one: str, other: str) -> None:
    assert config.distance(one, other) == config.distance(other, one)
    assert (config.distance(one, other) == 0) == (one == other)
    assert config.distance(one, other) <= max(len(one), len(other))


def test_the_schema_file_is_in_step() -> None:
    """After a change: python -m tests.tools.gateway_reference"""
    written = (ROOT / "runtime/edgegate/config.schema.json").read_text()
    assert json.loads(written) == json.loads(jsontext.dumps(config.schema()))
    assert written == gateway_reference.schema_text()


def test_the_reference_page_is_in_step() -> None:
    """After a change: python -m tests.tools.gateway_reference"""
    page = (ROOT / "docs/reference/config.md").read_text()
    assert page == gateway_reference.config_page()
