# SPDX-License-Identifier: Apache-2.0
"""One set of releases for all flow tests of a run, also across parallel workers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgebuild.errors import EdgebuildError
from edgebuild.host import lockfile, mirrors, paths
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
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


@pytest.fixture(scope="session")
def lock() -> Lock:
    return lockfile.read(paths.data_dir() / "locks/trixie.lock.json")


@pytest.fixture(scope="session")
def store() -> Store:
    try:
        mirrors.mirrors(None)
    except EdgebuildError as error:
        pytest.skip(f"no mirror: {error.message}")
    return Store(cache=paths.cache_dir())
