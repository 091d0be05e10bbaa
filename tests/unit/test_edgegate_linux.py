# SPDX-License-Identifier: Apache-2.0
"""The Linux port: sockets, signals, descriptors and the command line."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools import fake_kernels
from tests.tools.fake_kernels import _edge_kernels

sys.modules.setdefault("_edge_kernels", _edge_kernels)

from edgegate import __version__  # noqa: E402
from edgegate.core import setup  # noqa: E402
from edgegate.linux import main, server  # noqa: E402

FAKES = str(Path(fake_kernels.__file__).parent)
RUNTIME = str(Path(main.__file__).parents[2])
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Running:
    """A server on a free port in a thread of its own."""

    def __init__(self, **gateway: object) -> None:
        self.gateway = setup.gateway(
            _edge_kernels.models(), {"gateway": gateway}, "test", "1", server.now_ms()
        )
        self.listener = server.listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.server = server.Server(self.gateway, self.listener, self.stop_fd)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return connection

    def stop(self) -> None:
        if self.thread.is_alive():
            os.eventfd_write(self.stop_fd, 1)
        self.thread.join(20)
        assert not self.thread.is_alive()
        os.close(self.stop_fd)


@pytest.fixture
def running() -> Iterator[Any]:
    started: list[Running] = []

    def start(**gateway: object) -> Running:
        started.append(Running(**gateway))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def read_one(connection: socket.socket, exact: bool = False) -> tuple[int, bytes]:
    """One response; `exact` leaves what is behind it unread."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1 if exact else 65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(head.split(b" ")[1]), body


def call(values: object, number: int = 1) -> bytes:
    params = {"name": "infer_echo", "arguments": {"inputs": values}}
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    body = json.dumps(message).encode()
    head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_answers_many_requests_on_one_connection(running: Any) -> None:
    with running().connect() as connection:
        for number in range(3):
            connection.sendall(call([number] * 640, number))
            status, body = read_one(connection)
            assert (status, json.loads(body)["id"]) == (200, number)


def test_answers_a_request_that_comes_byte_by_byte(running: Any) -> None:
    with running().connect() as connection:
        for octet in HEALTH:
            connection.sendall(bytes([octet]))
        assert read_one(connection)[0] == 200


def test_a_reader_that_is_slow_gets_everything(running: Any) -> None:
    """More pipelined answers than the socket's buffers hold, read only at the end."""
    one = running()
    one.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", one.port))
        count = 20
        connection.sendall(b"".join(call([1] * 640, number) for number in range(count)))
        held = [0, 1]
        while held[-1] == 0 or held[-1] != held[-2]:  # until all buffers are full
            time.sleep(0.05)
            held.append(sum(len(peer.out) for peer in list(one.server.by_fd.values())))
        for number in range(count):
            status, body = read_one(connection, exact=True)
            assert (status, json.loads(body)["id"]) == (200, number)


def test_refused_requests_get_their_answer_before_the_end(running: Any) -> None:
    with running(max_request_bytes=1024).connect() as connection:
        connection.sendall(
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
            + b"x" * 60000
        )
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_slow_requests_time_out_while_others_are_served(running: Any) -> None:
    one = running(request_timeout_ms=100)
    with one.connect() as slow, one.connect() as quick:
        slow.sendall(HEALTH[:10])
        quick.sendall(HEALTH)
        assert read_one(quick)[0] == 200
        assert read_all(slow).startswith(b"HTTP/1.1 408 ")


def test_idle_connections_end(running: Any) -> None:
    with running(idle_timeout_ms=100).connect() as connection:
        assert read_all(connection) == b""


def test_a_peer_that_never_closes_is_cut_off(running: Any) -> None:
    one = running(idle_timeout_ms=100, request_timeout_ms=100)
    with one.connect() as connection:
        assert read_all(connection) == b""  # half closed by the server; we keep our half
        while one.server.by_name:
            time.sleep(0.01)
        with pytest.raises(OSError):
            connection.sendall(b"x" * 10000000)


def test_too_many_connections_are_told_and_closed(running: Any) -> None:
    one = running(max_connections=1)
    with one.connect() as first:
        first.sendall(HEALTH)
        assert read_one(first)[0] == 200
        with one.connect() as second:
            assert read_all(second).startswith(b"HTTP/1.1 503 ")


def test_a_vanished_peer_is_forgotten(running: Any) -> None:
    one = running()
    connection = one.connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.sendall(call([1] * 640))
    connection.close()  # a reset
    with one.connect() as other:
        other.sendall(HEALTH)
        assert read_one(other)[0] == 200


def test_stopping_ends_idle_connections(running: Any) -> None:
    one = running()
    with one.connect() as connection:
        connection.sendall(HEALTH)
        assert read_one(connection)[0] == 200
        one.stop()
        assert read_all(connection) == b""
    one.stop_fd = os.eventfd(0)


def test_a_second_request_to_stop_does_not_wait(running: Any) -> None:
    one = running()
    with one.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_one(connection)[0] == 200  # and it waits for us to close
        os.eventfd_write(one.stop_fd, 1)
        while one.server.stop_ms is None:
            time.sleep(0.01)
        one.stop()
    one.stop_fd = os.eventfd(0)


def test_running_out_of_descriptors_only_delays(
    running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = running()
    with one.connect() as first:
        first.sendall(HEALTH)
        assert read_one(first)[0] == 200
        monkeypatch.setattr(one.server, "listener", Exhausted(one.listener))
        second = one.connect()
        while one.server.accepting:  # until it has met the error
            first.sendall(HEALTH)
            assert read_one(first)[0] == 200
        monkeypatch.undo()
    second.sendall(HEALTH)
    assert read_one(second)[0] == 200
    second.close()


class Exhausted:
    """A listening socket whose process has no descriptor left."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener

    def fileno(self) -> int:
        return int(self.listener.fileno())

    def _accept(self) -> None:
        raise OSError(24, "Too many open files")


def test_ipv6_is_spoken() -> None:
    try:
        listener = server.listen("::1", 0)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    assert listener.getsockname()[0] == "::1"
    listener.close()


# --- lines -------------------------------------------------------------------------------------


def test_lines_over_pipes() -> None:
    gateway = setup.gateway(_edge_kernels.models(), {}, "test", "1", 0)
    read_in, write_in = os.pipe()
    read_out, write_out = os.pipe()
    params = {"name": "infer_echo", "arguments": {"inputs": [5] * 640}}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
    for message in (
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params},
    ):
        os.write(write_in, json.dumps(message).encode() + b"\n")
    os.close(write_in)
    server.serve_lines(gateway, read_in, write_out)
    os.close(write_out)
    with open(read_out) as answers:
        said = [json.loads(line) for line in answers]
    os.close(read_in)
    assert [one["id"] for one in said] == [1, 2]
    assert said[1]["result"]["structuredContent"]["outputs"][0]["values"] == [5] * 640


# --- command line ------------------------------------------------------------------------------


def run(*argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgegate.linux.main", *argv],
        env={**os.environ, "PYTHONPATH": f"{RUNTIME}:{FAKES}"},
        input=text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_version_and_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == 0
    assert main.main(["--help"]) == 0
    out = capfd.readouterr().out
    assert out.startswith(f"edgegate {__version__}\n")
    assert "--healthcheck" in out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--htp", "x"], "error G101: unknown option '--htp'\n  hint:  did you mean --http?"),
        (["serve"], "error G101: unknown option 'serve'\n  hint:  see --help"),
        (["--http"], "error G101: option --http needs a value"),
        (["--stdio=1"], "error G101: unknown option '--stdio'"),
        (["--http", "8080"], "error G101: --http 8080: must be ADDRESS:PORT"),
        (["--config=/nowhere/x"], "error G102: cannot read the configuration: No such file"),
    ],
)
def test_g101_and_g102_wrong_options(
    argv: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.main(argv) == 2
    assert capfd.readouterr().err.startswith(words)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (b"[gateway", "G103", "not TOML"),
        (b"\xff", "G103", "not TOML"),
        (b'{"gateway": }', "G103", "byte 12: expected a value"),
        (b"[gateway]\nnme = 1\n", "G105", "[gateway] nme is not a known key; did you mean 'name'?"),
        (b'{"gateway": {"name": 1}}', "G105", "[gateway] name must be a string"),
        (b'[models.ecco]\ntool = "x"\n', "G105", "did you mean 'echo'?"),
    ],
)
def test_g103_and_g105_wrong_configuration(
    text: bytes, code: str, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mcp-edge.toml"
    file.write_bytes(text)
    assert main.main(["--config", str(file)]) == 2
    said = capfd.readouterr().err
    assert said.startswith(f"error {code}: ")
    assert words in said
    assert f"where: {file}" in said


def test_g104_a_busy_port(running: Any, capfd: pytest.CaptureFixture[str]) -> None:
    port = running().port
    assert main.main(["--http", f"127.0.0.1:{port}"]) == 2
    said = capfd.readouterr().err
    assert said.startswith(f"error G104: cannot listen on 127.0.0.1 port {port}: Address already")


def test_healthcheck_asks_the_running_gateway(running: Any, tmp_path: Path) -> None:
    port = running().port
    assert main.main(["--healthcheck", f"--http=127.0.0.1:{port}"]) == 0
    assert main.main(["--healthcheck", f"--http=0.0.0.0:{port}"]) == 0
    file = tmp_path / "c.toml"
    file.write_text(f'[gateway]\nlisten = "127.0.0.1:{port}"\n')
    assert main.main(["--healthcheck", "--config", str(file)]) == 0
    assert main.main(["--healthcheck", "--http=127.0.0.1:1"]) == 1


def test_built_in_texts(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    class BuiltIn:
        config = staticmethod(lambda: b'{"gateway": {"nme": 1}}')
        licences = staticmethod(lambda: b"glibc: LGPL\n")

    monkeypatch.setitem(sys.modules, "_edge_config", BuiltIn)
    assert main.main(["--licences"]) == 0
    assert capfd.readouterr().out == "glibc: LGPL\n"
    assert main.main([]) == 2
    assert "where: built-in configuration" in capfd.readouterr().err


def test_serves_until_it_is_told_to_stop() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgegate.linux.main", "--http", "127.0.0.1:0"],
        env={**os.environ, "PYTHONPATH": f"{RUNTIME}:{FAKES}"},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("listening on http://127.0.0.1:")
    port = int(line.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(HEALTH)
        assert read_one(connection)[0] == 200
        process.terminate()
        assert process.wait(20) == 0
    assert process.stderr.read() == "stopped\n"
    process.stderr.close()


def test_stdio_says_nothing_but_answers() -> None:
    done = run("--stdio", text='{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"jsonrpc": "2.0", "id": 1, "result": {}}


def test_only_light_modules_are_imported() -> None:
    """What makes a gateway start in milliseconds: none of these is in it."""
    heavy = ["asyncio", "json", "re", "socket", "ssl", "typing", "tomllib", "logging", "selectors"]
    code = (
        "import sys; sys.modules['_edge_kernels'] = sys; before = set(sys.modules);"
        "import edgegate.linux.main;"
        f"print([name for name in {heavy} if name in set(sys.modules) - before])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": f"{RUNTIME}:{FAKES}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
