# SPDX-License-Identifier: Apache-2.0
"""Runs a plan on SCons and tells what happens, step by step."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgebuild.errors import CATALOGUE, EdgebuildError
from edgebuild.errors.general import STEP_FAILED
from edgebuild.host import stream
from edgebuild.host.process import environment

LAST_LINES = 15

NEWS = re.compile(r"scons: (?!\*\*\*)")  # what SCons says when all is well


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent:
    """``what`` is start, done, failed or cached; ``seconds`` is set for done and failed."""

    what: str
    step: str
    seconds: float = 0.0


Listener = Callable[[StepEvent], None]


def run(
    work: Path, *, jobs: int, step_cache: Path | None, extra: dict[str, str], tell: Listener
) -> list[StepEvent]:
    """Bring every step of ``work/plan.json`` up to date; return what was done.

    Raises the error of the step that failed, or E010 with its last lines.
    """
    (work / "log").mkdir(exist_ok=True)
    env = environment({**_passed_on(), **extra})
    if step_cache is not None:
        step_cache.mkdir(parents=True, exist_ok=True)  # SCons makes one level only
        env["EDGEBUILD_STEP_CACHE"] = str(step_cache)
    sconstruct = Path(__file__).with_name("SConstruct")
    argv = [sys.executable, "-m", "SCons", "-f", str(sconstruct), "-C", str(work), f"-j{jobs}"]
    events: list[StepEvent] = []
    other: list[str] = []
    for line in stream.lines(argv, cwd=work, env=env):
        if not line.startswith("@"):
            other.append(line)
            continue
        what, step, *seconds = line[1:].split(" ")
        event = StepEvent(what=what, step=step, seconds=float(seconds[0]) if seconds else 0.0)
        if event not in events:  # SCons tells of each output of a step that comes from the cache
            events.append(event)
            tell(event)
    failed = [event.step for event in events if event.what == "failed"]
    if failed:
        raise _failure(work, failed[0])
    said = [line for line in other if line.strip() and not NEWS.match(line)]
    if said:
        last = [line.removeprefix("scons: *** ") for line in said][-LAST_LINES:]
        raise STEP_FAILED("\n    ".join(last), where=str(work / "plan.json"))
    return events


def _passed_on() -> dict[str, str]:
    """Settings of this user that a step needs: where to fetch from and what to sign with."""
    names = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    passed = {name: os.environ[name] for name in names if name in os.environ}
    passed |= {name: value for name, value in os.environ.items() if name.startswith("EDGEBUILD_")}
    package = Path(__file__).resolve().parents[2]
    return passed | {"PYTHONPATH": str(package)}


def _failure(work: Path, step: str) -> EdgebuildError:
    log = work / "log" / f"{step}.log"
    alone = f"run it alone: (cd {work} && {sys.executable} -m edgebuild step plan.json {step})"
    told = work / "log" / f"{step}.error.json"
    if told.exists():
        error = json.loads(told.read_text(encoding="utf-8"))
        hint = f"{error['hint']}; {alone}" if error["hint"] else alone
        return CATALOGUE[error["code"]](error["message"], where=error["where"], hint=hint)
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return STEP_FAILED("\n    ".join([f"step '{step}' failed", *last]), where=str(log), hint=alone)
