# SPDX-License-Identifier: Apache-2.0
"""Provenance is a function of plan and lock, and says all that went in."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.trust import canonical, provenance
from edgebuild.trust.bundle import NotProven
from tests.unit.trust_helpers import LOCK, MODEL_SHA256, WHEELS, plan

SUBJECTS = {"b": "bb" * 32, "a": "aa" * 32}


def statement(**changes: object) -> Any:
    return provenance.statement(plan(**changes), LOCK, SUBJECTS, wheels=WHEELS)  # type: ignore[arg-type]


def test_it_is_slsa_v1_about_every_artifact() -> None:
    value = statement()
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["predicateType"] == "https://slsa.dev/provenance/v1"
    assert value["subject"] == [
        {"name": "a", "digest": {"sha256": "aa" * 32}},
        {"name": "b", "digest": {"sha256": "bb" * 32}},
    ]


def test_it_names_what_the_user_chose_and_every_input_with_its_digest() -> None:
    definition = statement()["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        "target": "rpi4",
        "models": [{"name": "kws.tflite", "sha256": MODEL_SHA256}],
        "profile.json": {"sha256": "66" * 32},
        "mcp-edge.json": {"sha256": "77" * 32},
    }
    package = LOCK.groups["runtime-arm64"][0].files[0]
    dependencies = definition["resolvedDependencies"]
    assert {"uri": package.purl, "name": package.path, "digest": {"sha256": package.sha256}} in (
        dependencies
    )
    assert all(len(entry["digest"]["sha256"]) == 64 for entry in dependencies)
    assert [step["name"] for step in definition["internalParameters"]["steps"]] == [
        "fetch-runtime-arm64",
        "bundle-kws",
    ]


def test_groups_that_no_step_fetches_are_left_out() -> None:
    definition = statement(steps=())["predicate"]["buildDefinition"]
    assert all("uri" not in entry for entry in definition["resolvedDependencies"])


def test_every_locked_wheel_of_the_tool_is_named_with_what_the_lock_accepts() -> None:
    builder = statement()["predicate"]["runDetails"]["builder"]
    assert builder["version"] == {"edgebuild": "0.1.0"}
    assert builder["builderDependencies"] == [
        {
            "uri": "pkg:pypi/cython@3.3.1",
            "annotations": {"acceptedSha256": ["88" * 32, "99" * 32]},
        },
        {"uri": "pkg:pypi/pure@1", "digest": {"sha256": "aa" * 32}},
    ]


def test_wheels_are_read_from_a_requirements_file_with_hashes() -> None:
    text = f"""# made by pip-compile
--index-url https://example.invalid/simple
cython==3.3.1 \\
    --hash=sha256:{"88" * 32} \\
    --hash=sha256:{"99" * 32}
    # via -r python.in
pure[extra]==1 ; python_version < "4" \\
    --hash=sha256:{"aa" * 32}
"""
    assert tuple(provenance.locked_wheels(text)) == WHEELS


def test_it_holds_no_time_of_building() -> None:
    assert "metadata" not in statement()["predicate"]["runDetails"]


def test_facts_come_back() -> None:
    facts = provenance.read(canonical.compact(statement()))
    assert facts == provenance.Facts(
        subjects=SUBJECTS,
        builder="urn:edgebuild:builder:local",
        version="0.1.0",
        target="rpi4",
        models=(MODEL_SHA256,),
        lock="44" * 32,
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.data(), JSON)
def test_any_other_statement_has_no_facts(data: st.DataObject, foreign: Any) -> None:
    """A value put anywhere into a good statement gives facts or NotProven, nothing else."""
    value = statement()
    node = value
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = foreign
    with contextlib.suppress(NotProven):
        facts = provenance.read(canonical.compact(value))
        assert all(text.isprintable() for text in (facts.builder, facts.target, facts.version))


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\ud800", "é"])
def test_a_name_that_a_terminal_would_act_on_is_refused(text: str) -> None:
    with pytest.raises(NotProven):
        provenance.read(canonical.compact(statement(target=text)))
