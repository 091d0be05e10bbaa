# SPDX-License-Identifier: Apache-2.0
"""What is being done, while it is done: a live line on a terminal, plain lines elsewhere.

Everything here goes to standard error; results go to standard output.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

from edgebuild.model.plan import Plan
from edgebuild.pipeline.graph import Listener, StepEvent


class Display:
    """Says what is being done. Nothing is imported or printed until something is said."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._status: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def doing(self, what: str) -> None:
        """One thing has begun, and what was said before is over."""
        if self._quiet:
            return
        if sys.stderr.isatty():
            self.live(what)
        else:
            self.line(f"  …  {what}")

    def line(self, text: str) -> None:
        """A line that stays."""
        if self._quiet:
            return
        if self._status is not None:
            self._status.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def live(self, text: str) -> None:
        """Replace the live line. Only for a terminal."""
        if self._quiet:
            return
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status("")
            self._status.start()
        self._status.update(text)


class Progress(Display):
    """Shows the events of a build."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._titles: dict[str, str] = {}
        self._running: list[str] = []
        self._done = 0

    def begin(self, plan: Plan) -> Listener:
        """Learn the plan; answer who listens."""
        self._titles = {step.name: step.title for step in plan.steps}
        return self.tell

    def tell(self, event: StepEvent) -> None:
        """Show one event."""
        if event.what == "start":
            self._running.append(event.step)
        else:
            self._done += 1
            if event.step in self._running:
                self._running.remove(event.step)
            self._ended(event)
        if sys.stderr.isatty():
            doing = "; ".join(self._titles[name] for name in self._running)
            self.live(f"step {self._done + 1} of {len(self._titles)}: {doing}")
        elif event.what == "start":
            self.doing(self._titles[event.step])

    def _ended(self, event: StepEvent) -> None:
        mark = {"done": "✓", "cached": "=", "failed": "✗"}[event.what]
        took = "cached" if event.what == "cached" else f"{event.seconds:.1f} s"
        self.line(f"  {mark}  {self._titles[event.step]}  ({took})")
