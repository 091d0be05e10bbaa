# SPDX-License-Identifier: Apache-2.0
"""Boots a release's firmware image in QEMU, for ``edgebuild run``.

The image is not changed: what the machine writes goes to a temporary file.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgebuild.errors import EdgebuildError
from edgebuild.errors.base import Code
from edgebuild.errors.images import EMULATOR_ENDED, NO_ANSWER, PORT_BUSY
from edgebuild.host import files, process, tools
from edgebuild.host.store import Store
from edgebuild.lab import accelerator, machine, media, qmp
from edgebuild.model.lock import Lock
from edgebuild.model.profile import Profile

GUEST_PORT = 8080
_LAST_LINES = 25
_POWER_OFF_S = 8.0
_NOTICE_S = 2.0
_POLL_S = 0.05
_HINTS = {
    EMULATOR_ENDED.code: "see everything with --console",
    NO_ANSWER.code: "see everything with --console; is `listen` in the configuration an address "
    "that can be reached from outside?",
}
_POWERING_OFF = "init: powering off"  # what runtime/init/system.c logs


class Machine:
    """A machine that runs. ``address`` is where its gateway answers on this host."""

    def __init__(
        self, child: subprocess.Popen[bytes], desk: machine.Desk, show: Callable[[str], None] | None
    ) -> None:
        self.address = f"http://127.0.0.1:{desk.port}"
        self.accelerator = desk.accelerator
        self.port = desk.port
        self.process_id = child.pid
        self.started_s = time.monotonic()
        self.answered_s: float | None = None  # from QEMU's start to the first answer
        self.lines: collections.deque[str] = collections.deque(maxlen=2000)
        self._child, self._desk, self._show = child, desk, show
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for raw in self._child.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            self.lines.append(line)
            if self._show:
                self._show(line)

    def running(self) -> bool:
        """Whether QEMU still runs."""
        return self._child.poll() is None

    def wait(self) -> None:
        """Return when the machine has ended by itself."""
        self._child.wait()

    def wait_for_answer(self, path: str, timeout_s: float) -> None:
        """Return when the gateway answers; raises E451 or E452 with the console's last lines."""
        while time.monotonic() - self.started_s < timeout_s:
            if not self.running():
                self._reader.join(timeout=1)
                raise self._failure(EMULATOR_ENDED, "the emulator ended before an answer")
            if _answers(self.port, path):
                self.answered_s = time.monotonic() - self.started_s
                return
            time.sleep(_POLL_S)
        raise self._failure(NO_ANSWER, f"no answer from the gateway in {timeout_s:g} s")

    def wait_for_line(self, text: str, timeout_s: float) -> bool:
        """Whether the console shows a line with this text in time."""
        while time.monotonic() - self.started_s < timeout_s:
            if any(text in line for line in list(self.lines)):
                return True
            if not self.running():
                self._reader.join(timeout=1)
                return any(text in line for line in list(self.lines))
            time.sleep(_POLL_S)
        return False

    def _failure(self, kind: Code, what: str) -> EdgebuildError:
        last = "\n  ".join(list(self.lines)[-_LAST_LINES:])
        return kind(what, where=f"the console's last lines:\n  {last}",
                    hint=_HINTS[kind.code])  # fmt: skip

    def _wait_for_power_off(self) -> None:
        """Some machines have no power button: then nothing is said, and nothing waited for."""
        until = time.monotonic() + _NOTICE_S
        while self.running() and time.monotonic() < until:
            if any(_POWERING_OFF in line for line in list(self.lines)):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(_POWER_OFF_S)
                return
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Have the machine switch itself off; end QEMU when it does not."""
        if self.running() and qmp.order(self._desk.control, "system_powerdown"):
            self._wait_for_power_off()
        if self.running() and qmp.order(self._desk.control, "quit"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(2)
        process.kill_group(self._child)
        self._child.wait()
        self._reader.join(timeout=1)


@contextlib.contextmanager
def run(
    release: Path,
    profile: Profile,
    store: Store,
    lock: Lock,
    *,
    port: int = 8080,
    memory_mb: int | None = None,
    board: bool = False,
    console: Callable[[str], None] | None = None,
) -> Iterator[Machine]:
    """Start the image of the folder ``release``; the machine is stopped on leaving.

    ``console`` is called with each line of the serial console. ``board`` starts QEMU's model of
    the board instead of the generic machine: it has no network, so nothing will answer. Raises
    E453 for a busy port, E454 for an image that cannot be read, E455 for a board without model.
    """
    if not board:
        check_port(port)
    system = profile.emulator.system
    with tempfile.TemporaryDirectory(prefix="edgebuild-run-") as folder:
        raw = Path(folder, "image")
        with files.told_plainly(raw):
            media.unpack(release / f"{profile.name}.img.zst", raw)
        command = tools.tool(store, lock, system)
        desk = machine.Desk(
            folder=Path(folder),
            raw=raw,
            tools=tools.folder(store, lock, system),
            port=port,
            guest_port=GUEST_PORT,
            memory_mb=memory_mb or profile.emulator.memory_mb,
            accelerator="tcg" if board else accelerator.best(command, profile.cpu.arch),
        )
        describe = machine.board_arguments if board else machine.arguments
        started = Machine(_start([*command, *describe(profile, desk)], folder), desk, console)
        try:
            yield started
        finally:
            started.stop()


def check_port(port: int) -> None:
    """Refuse a port that is in use. Raises E453."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise PORT_BUSY(
                f"port {port} on this machine is in use", hint="choose another with --port"
            ) from error


def _start(argv: list[str], folder: str) -> subprocess.Popen[bytes]:
    # A terminal's Ctrl-C goes to its whole process group: in one of its own, QEMU outlives it
    # long enough to be stopped in order.
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=process.environment({"TMPDIR": folder}),
        start_new_session=True,
    )


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
