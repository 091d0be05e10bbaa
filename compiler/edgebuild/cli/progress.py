# SPDX-License-Identifier: Apache-2.0
"""What is being done, while it is done: a live line on a terminal, plain lines elsewhere.

Everything here goes to standard error; results go to standard output.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from edgebuild.model.plan import Plan
from edgebuild.pipeline.graph import Listener, StepEvent


class Progress:
    """Shows the events of a build. Nothing is imported or printed until something happens."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._titles: dict[str, str] = {}
        self._running: list[str] = []
        self._done = 0
        self._status: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def begin(self, plan: Plan) -> Listener:
        """Learn the plan; answer who listens."""
        self._titles = {step.name: step.title for step in plan.steps}
        return self.tell

    def tell(self, event: StepEvent) -> None:
        """Show one event."""
        if self._quiet:
            return
        if event.what == "start":
            self._running.append(event.step)
        else:
            self._done += 1
            if event.step in self._running:
                self._running.remove(event.step)
            self._line(event)
        if sys.stderr.isatty():
            self._live()
        elif event.what == "start":
            self._print(f"  …  {self._titles[event.step]}")

    def _line(self, event: StepEvent) -> None:
        mark = {"done": "✓", "cached": "=", "failed": "✗"}[event.what]
        took = "cached" if event.what == "cached" else f"{event.seconds:.1f} s"
        self._print(f"  {mark}  {self._titles[event.step]}  ({took})")

    def _print(self, line: str) -> None:
        if self._status is not None:
            self._status.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def _live(self) -> None:
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status("")
            self._status.start()
        doing = "; ".join(self._titles[name] for name in self._running)
        self._status.update(f"step {self._done + 1} of {len(self._titles)}: {doing}")
