# SPDX-License-Identifier: Apache-2.0
"""The gateway beside the official MCP SDK: start, memory, and processor time per tools/call.

    python benchmarks/gateway.py EXECUTABLE [--rounds 5] [--calls 2000] [--json]

EXECUTABLE is a built gateway; `-` measures this checkout's Python with stand-in models. Both
servers run on this machine, one after the other in every round, so that what else the machine does
hits both; the SDK's tools take the same inputs and answer a constant. The figure that moves least
is processor time: user and system time of the server process, from /proc, over all calls of a
round. Reported are medians over the rounds.
"""

import argparse
import base64
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}

SDK_SERVER = """
import sys
from mcp.server.mcpserver import MCPServer
server = MCPServer("constant", log_level="CRITICAL")
@server.tool()
def array(inputs: list[float]) -> str:
    return "done"
@server.tool()
def string(inputs: str) -> str:
    return "done"
server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]),
           stateless_http=True, json_response=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def request(port: int, method: str, params: dict[str, Any]) -> bytes:
    """A request as a client of 2026-07-28 sends it."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    body = json.dumps(message).encode()
    fields = {
        "Host": f"127.0.0.1:{port}",
        "Accept": "application/json, text/event-stream",
        "Accept-Encoding": "gzip, deflate",
        "Connection": "keep-alive",
        "User-Agent": "python-httpx/0.28.1",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": method,
        **({"Mcp-Name": params["name"]} if "name" in params else {}),
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body


class Client:
    """One keep-alive connection; connecting is tried until the server listens."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                if process.poll() is not None:
                    raise SystemExit(f"the server ended with {process.returncode}") from None
                time.sleep(0.0005)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def piece(self) -> bytes:
        data = self.socket.recv(262144)
        if not data:
            raise SystemExit("the server closed the connection")
        return data

    def ask(self, data: bytes) -> dict[str, Any]:
        self.socket.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.piece()
        head, _, body = answer.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: *(\d+)", head)
        if found is None or b" 200 " not in head:
            raise SystemExit(f"unexpected answer: {answer[:500]!r}")
        while len(body) < int(found.group(1)):
            body += self.piece()
        message = dict(json.loads(body))
        if "error" in message or message["result"].get("isError"):
            raise SystemExit(f"the server refused: {str(message)[:500]}")
        return message


def cpu_us(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S * 1e6


def rss_kib(process: subprocess.Popen[bytes]) -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * PAGE_KIB


def inputs_for(schema: dict[str, Any], kind: str) -> Any:
    """A tensor by its schema: flat numbers (`array`) or the base64 of as many zeros (`string`)."""
    array = next(way for way in schema["anyOf"] if way["type"] == "array")
    if kind == "array":
        return [7] * array["minItems"]
    text = next(way for way in schema["anyOf"] if way["type"] == "string")
    value_bytes = text["minLength"] * 3 // 4 // array["minItems"]
    return base64.b64encode(bytes(value_bytes * array["minItems"])).decode()


def calls_of(tools: list[dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    """(tool, kind, arguments) of every tool in both kinds."""
    return [
        (tool["name"], kind, {name: inputs_for(schema, kind) for name, schema in inputs.items()})
        for tool in tools
        for inputs in [tool["inputSchema"]["properties"]]
        for kind in ("array", "string")
    ]


def measure(
    argv: list[str],
    port: int,
    calls: int,
    environment: dict[str, str],
    work: list[tuple[str, str, dict[str, Any]]],
) -> dict[str, Any]:
    """One life of one server: first answer, idle memory, then `calls` of each of its tools.

    `work` is filled by the first server, from its own tools; the other gets the same inputs.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        client = Client(port, process)
        tools = client.ask(request(port, "tools/list", {}))["result"]["tools"]
        figures: dict[str, Any] = {"first_answer_ms": (time.perf_counter() - start) * 1e3}
        figures["idle_rss_mib"] = rss_kib(process) / 1024
        ours = not work
        work.extend(calls_of(tools) if ours else [])
        for tool, kind, inputs in work:
            name, given = tool, inputs
            if not ours:
                name, given = kind, {"inputs": next(iter(inputs.values()))}
            call = request(port, "tools/call", {"name": name, "arguments": given})
            for _warm_up in range(20):
                client.ask(call)
            before, began = cpu_us(process), time.perf_counter()
            for _ in range(calls):
                client.ask(call)
            figures[f"{tool} {kind} cpu_us"] = (cpu_us(process) - before) / calls
            figures[f"{tool} {kind} wall_us"] = (time.perf_counter() - began) / calls * 1e6
        figures["busy_rss_mib"] = rss_kib(process) / 1024
        return figures
    finally:
        process.terminate()
        process.wait()


def contestants(executable: str, sdk_script: Path) -> dict[str, Any]:
    """name → (argv for a port, environment)"""
    plain = {"PATH": os.environ["PATH"]}
    ours = [executable]
    environment = plain
    if executable == "-":
        ours = [sys.executable, "-m", "edgegate.linux.main"]
        environment = {**plain, "PYTHONPATH": f"{ROOT}/runtime:{ROOT}/tests/tools/fake_kernels"}
    return {
        "edgegate": (lambda port: [*ours, "--http", f"127.0.0.1:{port}"], environment),
        "mcp SDK": (lambda port: [sys.executable, str(sdk_script), str(port)], plain),
    }


def run(executable: str, rounds: int, calls: int) -> dict[str, dict[str, float]]:
    """Medians by contestant and figure."""
    seen: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "sdk_server.py"
        script.write_text(SDK_SERVER)
        for number in range(rounds):
            work: list[tuple[str, str, dict[str, Any]]] = []
            for name, (argv, environment) in contestants(executable, script).items():
                port = free_port()
                count = calls if name == "edgegate" else max(100, calls // 5)
                figures = measure(argv(port), port, count, environment, work)
                for figure, value in figures.items():
                    seen.setdefault(name, {}).setdefault(figure, []).append(value)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return {
        name: {figure: round(statistics.median(values), 2) for figure, values in figures.items()}
        for name, figures in seen.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("executable", help="a built gateway, or - for this checkout's Python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    options = parser.parse_args()
    found = run(options.executable, options.rounds, options.calls)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        print(name)
        for figure, value in figures.items():
            print(f"  {figure:<44} {value:>10.1f}")


if __name__ == "__main__":
    main()
