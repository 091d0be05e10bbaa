# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping machines, with a program in QEMU's place that speaks its protocol."""

import errno
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from edgebuild.errors import EdgebuildError
from edgebuild.host import paths, tools
from edgebuild.lab import accelerator, machine, media, qmp, run
from tests.unit.image_helpers import FakeStore, lock, profile

# Behaves as told by its first word: answers HTTP after a while, ends, or stays silent. It takes
# the port and the control socket from the arguments that QEMU would get.
FAKE = """
import http.server, json, os, re, socket, sys, threading, time
mode, line = sys.argv[1], " ".join(sys.argv[2:])
print("kernel says hello", flush=True)
if mode == "ends":
    print("qemu: no such machine", flush=True)
    sys.exit(1)
port = int(re.search(r"127.0.0.1:(\\d+)-", line).group(1))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"{}")
    def log_message(self, *a): pass
control = socket.socket(socket.AF_UNIX)
control.bind(re.search(r"unix:([^,]+)", line).group(1))
control.listen()
if mode != "silent":
    server = http.server.HTTPServer(("127.0.0.1", port), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
while True:
    link, _ = control.accept()
    lines = link.makefile("rw")
    lines.write('{"QMP": {}}\\n'); lines.flush()
    for order in lines:
        command = json.loads(order)["execute"]
        if command == "system_powerdown" and mode == "answers":
            print("init: powering off", flush=True)
        lines.write('{"event": "X"}\\n{"return": {}}\\n'); lines.flush()
        if command == "quit" or (command == "system_powerdown" and mode == "answers"):
            os._exit(0)
"""

Boot = Callable[..., Any]


@pytest.fixture
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boot:
    fake = tmp_path / "fake.py"
    fake.write_text(FAKE)
    (tmp_path / "rpi4.img.zst").write_bytes(zstandard.compress(bytes(4096)))
    monkeypatch.setattr(paths, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(tools, "folder", lambda *_: tmp_path)
    words = ["127.0.0.1:{port}-", "unix:{control},"]

    def arguments(_profile: Any, desk: machine.Desk) -> list[str]:
        return [word.format(port=desk.port, control=desk.control) for word in words]

    monkeypatch.setattr(machine, "arguments", arguments)
    monkeypatch.setattr(machine, "board_arguments", arguments)

    def start(mode: str, **options: Any) -> Any:
        monkeypatch.setattr(tools, "tool", lambda *_: [sys.executable, str(fake), mode])
        store: Any = FakeStore(tmp_path)
        return run.run(tmp_path, profile("rpi4"), store, lock(), **options)

    return start


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_machine_answers_and_switches_itself_off(boot: Boot) -> None:
    seen: list[str] = []
    with boot("answers", port=free_port(), console=seen.append) as started:
        started.wait_for_answer("/health", 30)
        assert started.answered_s is not None
        assert started.address.startswith("http://127.0.0.1:")
        assert started.running()
    assert not started.running()
    assert seen == ["kernel says hello", "init: powering off"]


def test_a_machine_without_a_power_button_is_ended(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_NOTICE_S", 0.1)
    with boot("deaf", port=free_port()) as started:
        started.wait_for_answer("/health", 30)
    assert not started.running()
    started.wait()


def test_an_emulator_that_ends_is_an_error_with_its_last_words_E451(boot: Boot) -> None:
    with (
        pytest.raises(EdgebuildError) as error,
        boot("ends", port=free_port()) as started,
    ):
        started.wait_for_answer("/health", 30)
    assert error.value.kind.code == "E451"
    assert "no such machine" in str(error.value)


def test_a_gateway_that_does_not_answer_is_an_error_E452(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_NOTICE_S", 0.0)
    with boot("silent", port=free_port()) as started:
        assert started.wait_for_line("hello", 30)
        with pytest.raises(EdgebuildError) as error:
            started.wait_for_answer("/health", 0.2)
    assert error.value.kind.code == "E452"
    assert "hello" in str(error.value)


def test_lines_are_waited_for_until_the_end(boot: Boot) -> None:
    with boot("ends", port=free_port()) as started:
        assert started.wait_for_line("no such machine", 30)
        assert not started.wait_for_line("never said", 30)
        assert not started.wait_for_line("never said", 0)


def test_a_busy_port_is_refused_before_anything_starts_E453(boot: Boot) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with (
            pytest.raises(EdgebuildError) as error,
            boot("answers", port=busy.getsockname()[1]),
        ):
            pass
    assert error.value.kind.code == "E453"


def test_a_board_has_no_network_so_any_port_will_do(boot: Boot) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with boot("silent", port=busy.getsockname()[1], board=True) as started:
            assert started.wait_for_line("hello", 30)
            assert started.accelerator == "tcg"


def test_a_socket_that_nobody_listens_on_takes_no_orders(tmp_path: Path) -> None:
    assert not qmp.order(tmp_path / "none", "quit")


@pytest.mark.parametrize(("status", "best"), [(0x4B * 2 + 1, "kvm"), (1, "tcg"), (0, "tcg")])
def test_kvm_counts_when_a_guest_has_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, best: str
) -> None:
    monkeypatch.setattr(paths, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(accelerator.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(accelerator.os, "access", lambda *_: True)
    command = [sys.executable, "-c", f"import sys; sys.exit({status})"]
    assert accelerator.best(command, "x86_64") == best


def test_no_kvm_for_other_cpus_or_without_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator.platform, "machine", lambda: "x86_64")
    assert accelerator.best(["none"], "aarch64") == "tcg"
    monkeypatch.setattr(accelerator.os, "access", lambda *_: False)
    assert accelerator.best(["none"], "x86_64") == "tcg"


def test_a_full_disk_is_told_plainly_E106(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(media, "unpack", full)
    with pytest.raises(EdgebuildError) as error, boot("answers", port=free_port()):
        pass
    assert error.value.kind.code == "E106"
