# SPDX-License-Identifier: Apache-2.0
"""Runs one step of a plan, and puts its outputs in place when it has ended well."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgebuild.errors.general import UNKNOWN_STEP
from edgebuild.host.store import Store
from edgebuild.model.lock import Lock
from edgebuild.pipeline.chapters import CHAPTERS
from edgebuild.pipeline.context import Context
from edgebuild.pipeline.work import read_plan


def run(plan_file: Path, name: str, open_store: Callable[[], tuple[Store, Lock]]) -> None:
    """Run one step of a plan and put its outputs in place. Raises E011 or the step's error."""
    plan = read_plan(plan_file)
    try:
        step = plan.step(name)
    except KeyError as error:
        names = ", ".join(step.name for step in plan.steps)
        raise UNKNOWN_STEP(f"no step '{name}'", where=str(plan_file), hint=names) from error
    work = plan_file.resolve().parent
    store, lock = open_store()
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=work) as temporary:
        context = Context(
            work=work, out=Path(temporary), plan=plan, step=step, store=store, lock=lock
        )
        CHAPTERS[step.kind](context)
        for path in Path(temporary).iterdir():
            _settle(path, work / path.name)


def _settle(made: Path, place: Path) -> None:
    """Move an output to its place; folders are merged, files replaced."""
    if made.is_dir() and made.name != "release":
        place.mkdir(exist_ok=True)
        for path in made.iterdir():
            _settle(path, place / path.name)
        return
    if place.is_dir():
        shutil.rmtree(place)
    made.replace(place)
