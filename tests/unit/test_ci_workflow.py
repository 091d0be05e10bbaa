# SPDX-License-Identifier: Apache-2.0
"""The reusable workflow keeps the rules that its first lines state."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / "ci/github/edgebuild.yml").read_text())
JOBS: dict[str, Any] = WORKFLOW["jobs"]
STEPS = [(job, step) for job, body in JOBS.items() for step in body["steps"]]


def test_every_action_is_pinned_by_commit() -> None:
    used = [step["uses"] for _, step in STEPS if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)


def test_nothing_that_a_caller_passes_is_pasted_into_a_script() -> None:
    assert not [step["name"] for _, step in STEPS if "${{" in step.get("run", "")]


def test_only_the_job_that_builds_may_sign() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert JOBS["build"]["permissions"] == {"contents": "read", "id-token": "write"}
    assert "permissions" not in JOBS["verify"]
    assert JOBS["verify"]["needs"] == "build"
    assert "secrets." not in str(JOBS["verify"])


def test_credentials_do_not_stay_in_the_checkout() -> None:
    checkouts = [s for _, s in STEPS if s.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_its_commands_are_in_the_parser() -> None:
    from edgebuild.cli.parser import make_parser

    scripts = "\n".join(step.get("run", "") for _, step in STEPS)
    build = ["--target", "t", "--out", "dist", "--builder-id", "urn:x", "--model", "m.tflite"]
    parser = make_parser()
    parser.parse_args([*build, "--keyless"])
    parser.parse_args([*build, "--key", "k.pem", "--config", "c.toml"])
    parser.parse_args(["verify", "d", "--identity", "a", "--issuer", "b", "--policy", "p"])
    for option in ("--builder-id", "--keyless", "--identity", "--issuer", "--policy", "--key"):
        assert option in scripts


def test_the_guide_calls_it_with_inputs_that_it_has() -> None:
    text = (ROOT / "docs/guide/ci.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    given = yaml.safe_load(example.group(1))["jobs"]["devices"]["with"]
    inputs = WORKFLOW[True]["workflow_call"]["inputs"]  # YAML 1.1 reads the key `on` as true
    assert set(given) <= set(inputs)
    assert {name for name, row in inputs.items() if row.get("required")} <= set(given)
