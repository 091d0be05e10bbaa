# SPDX-License-Identifier: Apache-2.0
"""One set of releases for all flow tests of a run, also across parallel workers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flow import releases


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def release(run_folder: Path) -> Callable[[str], Path]:
    """Ask for the release of a target."""
    return lambda target: releases.shared(run_folder, target)
