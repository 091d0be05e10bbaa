# SPDX-License-Identifier: Apache-2.0
"""``edgebuild --target …``, ``plan`` and ``step``."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import edgebuild
from edgebuild.cli import show
from edgebuild.config import request as requests
from edgebuild.errors import EdgebuildError
from edgebuild.errors.general import INVALID_VALUE
from edgebuild.host import lockfile, paths
from edgebuild.model.lock import Lock
from edgebuild.model.request import BuildRequest

if TYPE_CHECKING:
    from edgebuild.host.store import Store


def build(arguments: argparse.Namespace) -> None:
    """Build a release and print what came out."""
    from edgebuild import pipeline
    from edgebuild.cli.progress import Progress

    request, lock = read(arguments), read_lock()
    cache = paths.cache_dir() / "steps"
    progress = Progress(quiet=arguments.json)
    with progress:
        built = pipeline.build(
            request,
            lock,
            version=edgebuild.__version__,
            out=arguments.out,
            jobs=arguments.jobs or len(os.sched_getaffinity(0)),
            step_cache=None if arguments.rebuild else cache,
            settings=settings(arguments),
            begin=progress.begin,
        )
    show.release(built, as_json=arguments.json, key=verification_key(arguments))


def plan(arguments: argparse.Namespace) -> None:
    """Print the plan."""
    from edgebuild import pipeline

    planned = pipeline.plan(read(arguments), read_lock(), edgebuild.__version__)
    if arguments.json:
        print(json.dumps(planned.to_json(), indent=1, sort_keys=True))
    else:
        show.plan(planned)


def step(arguments: argparse.Namespace) -> None:
    """Run one step; an error is also left as JSON for whoever started it."""
    from edgebuild.host.files import atomic_write
    from edgebuild.pipeline import steps

    told = arguments.plan.resolve().parent / "log" / f"{arguments.name}.error.json"
    told.unlink(missing_ok=True)
    store = open_store(
        os.environ.get("EDGEBUILD_MIRROR"), offline="EDGEBUILD_OFFLINE" in os.environ
    )
    try:
        steps.run(arguments.plan, arguments.name, lambda: (store, read_lock()))
    except EdgebuildError as error:
        atomic_write(told, json.dumps(error.to_json()).encode())
        raise


def read(arguments: argparse.Namespace) -> BuildRequest:
    """The request that the options make, with everything they name checked."""
    if not arguments.target:
        raise INVALID_VALUE(
            "no --target was given", hint="`edgebuild targets` lists them; --help has examples"
        )
    data = paths.data_dir()
    return requests.read(
        arguments.target,
        arguments.model or [data / "demo" / "kws.tflite"],
        arguments.config or (None if arguments.model else data / "demo" / "mcp-edge.toml"),
        data=data,
        signer=signer_name(arguments),
        builder=arguments.builder_id or "",
        debug_shell=arguments.insecure_debug_shell,
    )


def read_lock() -> Lock:
    """The lock that this edgebuild builds from."""
    return lockfile.read(lock_place())


def lock_place() -> Path:
    """Where that lock is."""
    return paths.data_dir() / "locks" / "trixie.lock.json"


def open_store(mirror: str | None, *, offline: bool) -> Store:
    """The cache of downloads, whose progress is shown."""
    from edgebuild.host.store import Store

    return Store(cache=paths.cache_dir(), mirror=mirror, offline=offline, progress=show.fetching)


def settings(arguments: argparse.Namespace) -> dict[str, str]:
    """The options that steps need, as environment variables."""
    chosen = {}
    if arguments.mirror:
        chosen["EDGEBUILD_MIRROR"] = arguments.mirror
    if arguments.offline:
        chosen["EDGEBUILD_OFFLINE"] = "1"
    if arguments.key:
        chosen["EDGEBUILD_KEY"] = str(arguments.key.absolute())
    if arguments.keyless:
        chosen["EDGEBUILD_KEYLESS"] = "1"
    return chosen


def signer_name(arguments: argparse.Namespace) -> str:
    """Who will sign: part of the plan, since it decides bytes of the release."""
    if arguments.keyless:
        return "keyless"
    from edgebuild.pipeline.password import password
    from edgebuild.trust import keys

    return keys.load_or_make(arguments.key, password).key_id()


def verification_key(arguments: argparse.Namespace) -> str | None:
    """What to pass to ``edgebuild verify --key`` for a release that was just built."""
    if arguments.keyless:
        return None
    if arguments.key:
        return str(arguments.key)
    from edgebuild.trust import keys

    return str(Path(paths.config_dir() / keys.DEVELOPMENT_KEY).with_suffix(".pub"))
