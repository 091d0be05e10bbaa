# SPDX-License-Identifier: Apache-2.0
"""The gateway's command line. The only place that prints and decides exit codes."""

import _signal
import _socket
import os
import sys

from edgegate import __version__
from edgegate.core import config, jsontext, setup
from edgegate.core.gateway import Gateway
from edgegate.linux import kernels, server

USAGE = """usage: mcp-gateway [--http ADDRESS:PORT | --stdio] [--config FILE]
       mcp-gateway --healthcheck | --version | --licences | --help

  --http ADDRESS:PORT  serve MCP at http://ADDRESS:PORT/mcp (default: as configured)
  --stdio              serve MCP on standard input and output
  --config FILE        use this mcp-edge.toml in place of the built-in one
  --healthcheck        ask the running gateway; exit 0 if it is well, 1 if not
  --version            print name and version
  --licences           print the licences of what is inside
"""
CONFIG_DEPTH = 16
HEALTH_TIMEOUT_S = 3.0


class Failure(Exception):
    """What the user reads: code, sentence, place, way out; and the exit code."""

    def __init__(self, code: str, message: str, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.hint = hint


def arguments(argv: list[str]) -> dict[str, str]:
    """Options given, with their values; Failure for anything else."""
    options: dict[str, str] = {}
    rest = list(argv)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name in ("--http", "--config"):
            if not equals:
                if not rest:
                    raise Failure("G101", f"option {name} needs a value", hint="see --help")
                value = rest.pop(0)
            options[name] = value
        elif not equals and name in (
            "--stdio",
            "--healthcheck",
            "--version",
            "--licences",
            "--help",
        ):
            options[name] = ""
        else:
            known = ["--http", "--config", "--stdio", "--healthcheck", "--version", "--licences"]
            near = config.nearest(name, known)
            hint = f"did you mean {near}?" if near else "see --help"
            raise Failure("G101", f"unknown option '{name}'", hint=hint)
    return options


def document(path: str | None) -> tuple[object, str]:
    """The parsed configuration, and the name of where it came from."""
    if path is None:
        data, where = built_in("config"), "built-in configuration"
    else:
        where = path
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            raise Failure(
                "G102", f"cannot read the configuration: {error.strerror}", path
            ) from None
    if not data.strip():
        return {}, where
    if data.lstrip()[:1] == b"{":
        try:
            return jsontext.loads(data, CONFIG_DEPTH), where
        except jsontext.JsonError as error:
            raise Failure("G103", f"byte {error.offset}: {error.reason}", where) from None
    return toml(data, where), where


def toml(data: bytes, where: str) -> object:
    import tomllib  # only for a TOML file: it costs 10 ms and a megabyte

    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Failure("G103", f"not TOML: {error}", where) from None


def built_in(name: str) -> bytes:
    """A text that the build linked in; empty where there is none (a checkout)."""
    try:
        import _edge_config
    except ImportError:
        return b""
    return bytes(getattr(_edge_config, name)())


def address(gateway: Gateway, options: dict[str, str]) -> tuple[str, int]:
    text = options.get("--http") or gateway.settings["listen"]
    found = config.split_address(text)
    if found is None:
        raise Failure(
            "G101", f"--http {text}: must be ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080"
        )
    return found


def serve_http(gateway: Gateway, host: str, port: int) -> int:
    try:
        listener = server.listen(host, port)
    except OSError as error:
        raise Failure(
            "G104",
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            hint="choose another address with --http or [gateway] listen",
        ) from None
    # The C handler itself writes to the pipe. Python's would run too late: compiled code does not
    # look for signals, and epoll then sleeps on one that came while a request was handled.
    stop_fd, wake_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    _signal.set_wakeup_fd(wake_fd, warn_on_full_buffer=False)
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, lambda _number, _frame: None)
    real = listener.getsockname()
    shown = f"[{real[0]}]" if ":" in real[0] else real[0]
    say(f"listening on http://{shown}:{real[1]}/mcp")
    server.Server(gateway, listener, stop_fd).run()
    say("stopped")
    return 0


def healthcheck(host: str, port: int) -> int:
    """GET /health of a gateway on this machine; its own words are not looked at, its status is."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    family = _socket.AF_INET6 if ":" in local else _socket.AF_INET
    socket = _socket.socket(family, _socket.SOCK_STREAM)
    socket.settimeout(HEALTH_TIMEOUT_S)
    try:
        socket.connect((local, port))
        socket.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        healthy = socket.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        healthy = False
    socket.close()
    return 0 if healthy else 1


def say(text: str) -> None:
    """To standard error: standard output belongs to the protocol."""
    os.write(2, (text + "\n").encode())


def run(argv: list[str]) -> int:
    options = arguments(argv)
    if "--help" in options:
        os.write(1, USAGE.encode())
        return 0
    if "--version" in options:
        os.write(1, f"edgegate {__version__}\n".encode())
        return 0
    if "--licences" in options:
        os.write(1, built_in("licences"))
        return 0
    parsed, where = document(options.get("--config"))
    try:
        gateway = setup.gateway(kernels.cards(), parsed, where, __version__, server.now_ms())
    except setup.SetupError as error:
        raise Failure("G105", error.message, error.where, error.hint) from None
    if "--stdio" in options:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # else Ctrl-C ends in a traceback
        server.serve_lines(gateway, 0, 1)
        return 0
    host, port = address(gateway, options)
    if "--healthcheck" in options:
        return healthcheck(host, port)
    return serve_http(gateway, host, port)


def main(argv: list[str]) -> int:
    """`argv` without the program name. 0: well, 1: not healthy, 2: an error, told on stderr."""
    try:
        return run(argv)
    except Failure as failure:
        say(f"error {failure.code}: {failure.message}")
        if failure.where:
            say(f"  where: {failure.where}")
        if failure.hint:
            say(f"  hint:  {failure.hint}")
        return 2
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
