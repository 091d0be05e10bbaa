# SPDX-License-Identifier: Apache-2.0
"""The contents page of a build: read ``build`` from top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgebuild.host import paths
from edgebuild.host.files import exclusive, keep_recent
from edgebuild.model.lock import Lock
from edgebuild.model.plan import Plan
from edgebuild.model.request import BuildRequest
from edgebuild.pipeline import code, graph, publish, work
from edgebuild.planning.plan import plan as make_plan

#: Results of steps that are kept for later builds, some 30 releases of a firmware image.
STEP_CACHE_BYTES = 4_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A finished build: where the release is, and what had to be done for it."""

    release: Path
    plan: Plan
    events: list[graph.StepEvent]
    changed: bool


def plan(request: BuildRequest, lock: Lock, version: str) -> Plan:
    """Everything that a build of ``request`` would do."""
    tools = code.digests(Path(__file__).resolve().parents[1], paths.data_dir())
    return make_plan(request, lock, tools, version)


def build(
    request: BuildRequest,
    lock: Lock,
    *,
    version: str,
    out: Path,
    jobs: int,
    step_cache: Path | None,
    settings: dict[str, str],
    begin: Callable[[Plan], graph.Listener],
) -> Built:
    """Build a release into ``out/<target>``; if anything fails, what was there stays.

    ``settings`` are environment variables for the steps: mirror, signing key, offline.
    ``begin`` is told the plan and answers who listens to its steps.
    """
    folder = work.folder(out, request.profile.name)
    with exclusive(folder / "lock"):
        planned = plan(request, lock, version)
        work.prepare(folder, planned, request)
        tell = begin(planned)
        events = graph.run(folder, jobs=jobs, step_cache=step_cache, extra=settings, tell=tell)
        release = out / request.profile.name
        changed = publish.publish(folder, release)
        if events:
            publish.write_times(out / f"{request.profile.name}.build.json", planned, events)
    if events and step_cache is not None:
        keep_recent(step_cache, STEP_CACHE_BYTES)
    return Built(release=release, plan=planned, events=events, changed=changed)
