# SPDX-License-Identifier: Apache-2.0
"""The gateway as a machine: events in, effects out, no socket and no clock."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.core import events, setup
from edgegate.core.gateway import Gateway
from tests.tools.fake_kernels import _edge_kernels

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def make(**gateway: object) -> Gateway:
    return setup.gateway(_edge_kernels.models(), {"gateway": gateway}, "test", "1.2.3", 0)


class Port:
    """Does the effects of one peer at once, as the Linux port does; keeps what was sent."""

    def __init__(self, gateway: Gateway, framing: str = events.HTTP, flush: bool = True) -> None:
        self.gateway = gateway
        self.flush = flush
        self.sent = b""
        self.closes = 0
        self.due_ms: int | None = None
        self.runs: list[events.Run] = []
        self.compute = True
        self.tell(events.Opened(peer=1, framing=framing), 0)

    def tell(self, event: object, now_ms: int) -> None:
        waiting = [event]
        while waiting:
            for effect in self.gateway.feed(waiting.pop(0), now_ms):
                waiting.extend(self.act(effect))

    def act(self, effect: Any) -> list[object]:
        if isinstance(effect, events.Send):
            self.sent += effect.data
            return [events.Flushed(peer=1)] if self.flush else []
        if isinstance(effect, events.Timer):
            self.due_ms = effect.due_ms
        elif isinstance(effect, events.Close):
            self.closes += 1
        elif isinstance(effect, events.Run):
            self.runs.append(effect)
            return [self.result(effect)] if self.compute else []
        return []

    def result(self, effect: events.Run) -> events.Computed:
        try:
            outputs, code = _edge_kernels.run(effect.index, effect.inputs), 0
        except RuntimeError as error:
            outputs, code = None, error.args[0]
        return events.Computed(ticket=effect.ticket, outputs=outputs, code=code, duration_us=5)

    def receive(self, data: bytes, now_ms: int = 0) -> bytes:
        self.sent = b""
        self.tell(events.Received(peer=1, data=data), now_ms)
        return self.sent


def post(message: object, **headers: str) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    fields = {"Host": "localhost", "Content-Type": "application/json"}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    fields["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body


def request(method: str, params: dict[str, Any] | None = None, **more: object) -> dict[str, Any]:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method, **more}
    if params is not None:
        message["params"] = params
    return message


def modern(method: str, params: dict[str, Any] | None = None, **headers: str) -> bytes:
    params = {"_meta": MODERN, **(params or {})}
    fields = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": method}
    if "name" in params or "uri" in params:
        fields["Mcp_Name"] = params.get("name") or params["uri"]
    return post(request(method, params), **{**fields, **headers})


def parsed(data: bytes) -> tuple[int, Any]:
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body) if body else None


def ask(data: bytes, **gateway: object) -> tuple[int, Any]:
    return parsed(Port(make(**gateway)).receive(data))


def error(data: bytes, **gateway: object) -> tuple[int, int]:
    status, body = ask(data, **gateway)
    return status, body["error"]["code"]


# --- the two eras over HTTP --------------------------------------------------------------------


def test_modern_results_say_that_they_are_complete_and_who_answers() -> None:
    status, body = ask(modern("tools/call", {"name": "infer_broken", "arguments": {"inputs": [1]}}))
    assert status == 200
    assert body["result"]["resultType"] == "complete"
    assert body["result"]["isError"] is True
    assert body["result"]["_meta"]["io.modelcontextprotocol/serverInfo"] == {
        "name": "edgegate",
        "version": "1.2.3",
    }
    assert "ttlMs" not in body["result"]


@pytest.mark.parametrize(
    "method", ["server/discover", "tools/list", "resources/list", "resources/templates/list"]
)
def test_modern_lists_carry_caching_hints(method: str) -> None:
    _status, body = ask(modern(method), cache_ttl_ms=77)
    assert (body["result"]["ttlMs"], body["result"]["cacheScope"]) == (77, "public")


def test_discover_names_versions_capabilities_and_instructions() -> None:
    _status, body = ask(modern("server/discover"), instructions="Be kind.", title="Kitchen")
    result = body["result"]
    assert result["supportedVersions"] == ["2026-07-28"]
    assert result["capabilities"] == {"tools": {}, "resources": {}}
    assert result["instructions"] == "Be kind."
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["title"] == "Kitchen"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (modern("tools/list", {"_meta": None}), 400, -32602),
        (modern("tools/list", {"_meta": {}}), 400, -32602),
        (modern("tools/list", {"_meta": {**MODERN, next(iter(MODERN)): 1}}), 400, -32020),
        (modern("tools/list", {"_meta": {**MODERN, next(iter(MODERN)): "2"}}), 400, -32020),
        (
            modern(
                "tools/list",
                {"_meta": {**MODERN, next(iter(MODERN)): "2099-01-01"}},
                MCP_Protocol_Version="2099-01-01",
            ),
            400,
            -32022,
        ),
        (modern("tools/list", {"_meta": {**MODERN, [*MODERN][1]: 1}}), 400, -32602),
        (post(request("tools/list", {"_meta": MODERN})), 400, -32020),
        (modern("tools/list", Mcp_Method="tools/call"), 400, -32020),
        (modern("tools/list", MCP_Protocol_Version="2025-11-25"), 400, -32020),
        (modern("tools/call", {"name": "x"}, Mcp_Name="y"), 400, -32020),
        (modern("tools/call", {"name": "x"}, Mcp_Name="=?base64?eQ==?="), 400, -32020),
        (modern("tools/call", {"name": "x"}, Mcp_Name="=?base64?e?="), 400, -32020),
        (modern("tools/call", {"name": "x"}, Mcp_Name="=?base64?/w==?="), 400, -32020),
        (modern("tools/call", {"name": "x"}), 400, -32602),
        (modern("tools/call", {}), 400, -32602),
        (modern("ping"), 404, -32601),
        (modern("initialize", {"protocolVersion": "2025-11-25"}), 404, -32601),
        (modern("prompts/list"), 404, -32601),
        (modern("resources/read", {"uri": "model://x/card"}), 400, -32602),
        (post(request("ping"), MCP_Protocol_Version="2099-01-01"), 400, -32022),
        (post(request("ping"), MCP_Protocol_Version="2026-07-28"), 400, -32602),
        (post([request("ping")], MCP_Protocol_Version="2026-07-28"), 400, -32600),
        (
            post({"jsonrpc": "2.0", "id": 1, "result": {}}, MCP_Protocol_Version="2026-07-28"),
            400,
            -32600,
        ),
        (post(request("server/discover")), 200, -32601),
        (post(request("nothing")), 200, -32601),
        (post(request("tools/list", {"cursor": "x"})), 200, -32602),
        (post(request("tools/list", {"cursor": 1})), 200, -32602),
        (post(request("tools/call", {"name": 1})), 200, -32602),
        (post(request("tools/call", {"name": "infer_echo", "arguments": []})), 200, -32602),
        (post(request("resources/read", {"uri": "model://x/card"})), 200, -32002),
        (post(request("initialize")), 200, -32602),
        (post([request("ping")], MCP_Protocol_Version="2025-06-18"), 400, -32600),
        (post([]), 400, -32600),
        (post([request("ping")] * 65), 400, -32600),
        (post([request("initialize", {"protocolVersion": "2025-03-26"})]), 400, -32600),
        (post(b"{"), 400, -32700),
        (post(b""), 400, -32700),
        (post(b"1"), 400, -32600),
        (post({"id": 1, "method": "ping"}), 400, -32600),
        (post(request("ping", id=None)), 400, -32600),
        (post(request("ping", id=1.5)), 400, -32600),
        (post(request("ping", id=True)), 400, -32600),
        (post(request(7)), 400, -32600),  # type: ignore[arg-type]
        (post(request("ping", params=[1])), 200, -32602),
    ],
)
def test_each_mistake_has_its_error(data: bytes, status: int, code: int) -> None:
    assert error(data) == (status, code)


def test_an_encoded_name_is_decoded_before_it_is_compared() -> None:
    call = {"name": "infer_broken", "arguments": {"inputs": [1]}}
    status, _body = ask(modern("tools/call", call, Mcp_Name="=?base64?aW5mZXJfYnJva2Vu?="))
    assert status == 200


def test_unsupported_version_lists_what_is() -> None:
    _status, body = ask(post(request("ping"), MCP_Protocol_Version="2099-01-01"))
    assert body["error"]["data"] == {"requested": "2099-01-01", "supported": ["2026-07-28"]}
    assert body["id"] == 1


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("", "2025-11-25"),
    ],
)
def test_initialize_negotiates(asked: str, answered: str) -> None:
    _status, body = ask(post(request("initialize", {"protocolVersion": asked})))
    assert body["result"]["protocolVersion"] == answered
    assert body["result"]["serverInfo"]["name"] == "edgegate"


@pytest.mark.parametrize(
    ("revision", "titles", "structured", "argument_errors"),
    [
        ("2025-03-26", False, False, False),
        ("2025-06-18", True, True, False),
        ("2025-11-25", True, True, True),
    ],
)
def test_legacy_revisions_get_the_fields_they_know(
    revision: str, titles: bool, structured: bool, argument_errors: bool
) -> None:
    port = Port(make())
    headers = {"MCP_Protocol_Version": revision}
    _status, body = parsed(port.receive(post(request("tools/list"), **headers)))
    assert ("title" in body["result"]["tools"][0]) is titles
    assert ("outputSchema" in body["result"]["tools"][0]) is structured
    assert "resultType" not in body["result"]
    call = {"name": "classify_bright", "arguments": {"inputs": [0] * 48}}
    _status, body = parsed(port.receive(post(request("tools/call", call), **headers)))
    assert ("structuredContent" in body["result"]) is structured
    call["arguments"] = {"inputs": [0]}
    _status, body = parsed(port.receive(post(request("tools/call", call), **headers)))
    assert ("result" in body) is argument_errors
    _status, body = parsed(port.receive(post(request("resources/list"), **headers)))
    assert ("title" in body["result"]["resources"][0]) is titles


def test_a_batch_is_answered_as_one() -> None:
    call = {"name": "infer_broken", "arguments": {"inputs": [1]}}
    status, body = ask(
        post(
            [
                request("ping", id="a"),
                {"jsonrpc": "2.0", "method": "notifications/initialized"},
                request("tools/call", call, id="b"),
                request("nothing", id="c"),
            ]
        )
    )
    assert status == 200
    assert [one["id"] for one in body] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "data",
    [
        post({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        post([{"jsonrpc": "2.0", "method": "notifications/cancelled"}]),
        post({"jsonrpc": "2.0", "id": 1, "result": {}}),
        post({"jsonrpc": "2.0", "method": "x"}, MCP_Protocol_Version="2026-07-28"),
    ],
)
def test_what_needs_no_answer_is_accepted(data: bytes) -> None:
    assert ask(data) == (202, None)


# --- web ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /mcp HTTP/1.1\r\nHost: localhost", 405),
        ("DELETE /mcp HTTP/1.1\r\nHost: localhost", 405),
        ("POST /health HTTP/1.1\r\nHost: localhost", 405),
        ("GET / HTTP/1.1\r\nHost: localhost", 404),
        ("GET /health HTTP/1.1\r\nHost: evil.example", 421),
        ("GET /health HTTP/1.1\r\nHost: evil.example:80", 421),
        ("GET /health HTTP/1.1\r\nHost: 192.168.1.5:8080", 200),
        ("GET /health HTTP/1.1\r\nHost: [fe80::1]:8080", 200),
        ("GET /health HTTP/1.1\r\nHost: 1.2.3.evil", 421),
        ("GET /health HTTP/1.1\r\nHost: 1.2.3.4444", 421),
        ("GET /health HTTP/1.1\r\nHost: pi.local", 200),
        ("GET /health HTTP/1.1\r\nHost: LOCALHOST:1", 200),
        ("GET /health HTTP/1.0", 200),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example", 403),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: null", 403),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost.evil", 403),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://127.evil", 403),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://127.0.0.1:3000", 200),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[::1]:3000", 200),
        ("GET /health HTTP/1.1\r\nHost: pi.local:80\r\nOrigin: http://pi.local:80", 200),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example", 200),
        ("POST /mcp HTTP/1.1\r\nHost: localhost", 415),
        ("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain", 415),
        (
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Accept: text/html",
            406,
        ),
    ],
)
def test_who_may_ask_for_what(head: str, status: int) -> None:
    gateway = make(allowed_hosts=["pi.local"], allowed_origins=["https://app.example"])
    assert parsed(Port(gateway).receive(head.encode() + b"\r\n\r\n"))[0] == status


def test_a_star_allows_all_hosts_and_origins() -> None:
    gateway = make(allowed_hosts=["*"], allowed_origins=["*"])
    head = b"GET /health HTTP/1.1\r\nHost: x.example\r\nOrigin: http://y.example\r\n\r\n"
    assert parsed(Port(gateway).receive(head))[0] == 200


def test_health_and_its_head() -> None:
    port = Port(make())
    got = port.receive(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert parsed(got)[1] == {
        "models": ["echo", "bright", "pair", "broken"],
        "status": "ok",
        "version": "1.2.3",
    }
    head = port.receive(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head == got[: got.index(b"\r\n\r\n") + 4]


def test_metrics_count_requests_errors_and_inferences() -> None:
    port = Port(make())
    call = {"name": "infer_broken", "arguments": {"inputs": [1]}}
    port.receive(post(request("tools/call", call)))
    port.receive(post(request("made/up")))
    text = port.receive(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 5000).decode()
    for line in (
        'edgegate_requests_total{method="tools/call"} 1',
        'edgegate_requests_total{method="unknown"} 1',
        'edgegate_request_errors_total{code="-32601"} 1',
        'edgegate_inferences_total{model="broken",outcome="failed"} 1',
        'edgegate_inference_seconds_sum{model="broken"} 0.000005',
        "edgegate_uptime_seconds 5.000000",
        "edgegate_connections 1",
    ):
        assert line in text.splitlines()


def test_a_model_name_with_quotes_cannot_break_the_metrics() -> None:
    gateway = make(name='a"b\\c\nd')
    text = Port(gateway).receive(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").decode()
    assert 'name="a\\"b\\\\c\\nd"' in text


# --- connections over time ---------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order() -> None:
    data = b"".join(post(request("ping", id=number)) for number in range(5))
    sent = Port(make()).receive(data)
    assert [
        json.loads(part.split(b"\r\n\r\n")[1].split(b"HTTP")[0])["id"]
        for part in sent.split(b"HTTP/1.1 200 OK")[1:]
    ] == [0, 1, 2, 3, 4]


def test_the_next_request_waits_until_the_answer_has_left() -> None:
    port = Port(make(), flush=False)
    first = port.receive(post(request("ping", id=1)) + post(request("ping", id=2)))
    assert parsed(first)[1]["id"] == 1
    port.sent = b""
    port.tell(events.Flushed(peer=1), 0)
    assert parsed(port.sent)[1]["id"] == 2


def test_a_slow_request_gets_408_and_the_end() -> None:
    port = Port(make(request_timeout_ms=1000))
    assert port.due_ms == 60000
    port.receive(b"POST /mcp HTTP/1.1\r\n", 500)
    assert port.due_ms == 1500
    port.receive(b"Host: localhost\r\n", 1400)
    assert port.due_ms == 1500  # a trickle buys no time
    port.sent = b""
    port.tell(events.Due(peer=1), 1500)
    assert parsed(port.sent)[0] == 408
    assert b"Connection: close" in port.sent
    assert port.closes == 1


def test_an_idle_connection_is_closed_without_words() -> None:
    port = Port(make(idle_timeout_ms=1000))
    port.tell(events.Due(peer=1), 1000)
    assert (port.sent, port.closes) == (b"", 1)


def test_a_peer_that_does_not_read_is_closed() -> None:
    port = Port(make(request_timeout_ms=1000), flush=False)
    port.receive(post(request("ping")), 100)
    assert port.due_ms == 1100
    port.tell(events.Due(peer=1), 1100)
    assert port.closes == 1
    port.tell(events.Due(peer=1), 2100)
    assert port.closes == 2


def test_while_a_model_runs_nothing_is_late_and_the_answer_comes_after() -> None:
    port = Port(make())
    port.compute = False
    call = {"name": "infer_broken", "arguments": {"inputs": [1]}}
    assert port.receive(post(request("tools/call", call)) + post(request("ping", id=2))) == b""
    port.tell(events.Due(peer=1), 10**9)
    assert port.closes == 0
    port.tell(port.result(port.runs[0]), 10**9)
    assert port.sent.count(b"HTTP/1.1 200 OK") == 2


def test_a_result_for_a_peer_that_left_is_dropped() -> None:
    port = Port(make())
    port.compute = False
    call = {"name": "infer_broken", "arguments": {"inputs": [1]}}
    port.receive(post(request("tools/call", call)))
    port.tell(events.Closed(peer=1), 0)
    port.tell(port.result(port.runs[0]), 0)
    assert port.sent == b""
    assert port.gateway.pending == {}


def test_events_of_unknown_peers_are_ignored() -> None:
    gateway = make()
    for event in (
        events.Received(peer=9, data=b"x"),
        events.Flushed(peer=9),
        events.Closed(peer=9),
        events.Due(peer=9),
    ):
        assert gateway.feed(event, 0) == []


def test_connection_close_is_honoured() -> None:
    port = Port(make())
    port.receive(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert port.closes == 1
    assert port.receive(post(request("ping"))) == b""


def test_a_refusal_ends_the_connection() -> None:
    port = Port(make())
    assert parsed(port.receive(b"nonsense\r\n\r\n"))[0] == 400
    assert port.closes == 1


def test_one_connection_too_many_gets_503() -> None:
    gateway = make(max_connections=1)
    first = Port(gateway)
    effects = gateway.feed(events.Opened(peer=2, framing=events.HTTP), 0)
    assert b" 503 " in effects[0].data
    assert sum(isinstance(effect, events.Close) for effect in effects) == 2
    assert parsed(first.receive(post(request("ping"))))[0] == 200


def test_memory_for_half_received_requests_is_bounded() -> None:
    gateway = make(max_request_bytes=5000, max_buffered_bytes=8000)
    head = post(b"x" * 5000)[:-1]
    port = Port(gateway)
    assert port.receive(head) == b""
    gateway.feed(events.Opened(peer=2, framing=events.HTTP), 0)
    effects = gateway.feed(events.Received(peer=2, data=head), 0)
    assert b" 503 " in effects[0].data
    gateway.feed(events.Closed(peer=1), 0)
    gateway.feed(events.Closed(peer=2), 0)
    assert gateway.held_bytes == 0


def test_too_large_a_body_is_refused_from_its_head() -> None:
    port = Port(make(max_request_bytes=2000))
    assert parsed(port.receive(post(b"x" * 2001)[:200]))[0] == 413


def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    port = Port(make())
    message = post(request("ping"), Expect="100-continue")
    head, body = (
        message[: message.index(b"\r\n\r\n") + 4],
        message[message.index(b"\r\n\r\n") + 4 :],
    )
    assert port.receive(head) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert parsed(port.receive(body))[0] == 200


def test_stopping_ends_idle_peers_at_once_and_the_others_after_their_answer() -> None:
    gateway = make()
    port = Port(gateway)
    port.compute = False
    call = {"name": "infer_broken", "arguments": {"inputs": [1]}}
    port.receive(post(request("tools/call", call)))
    gateway.feed(events.Opened(peer=2, framing=events.HTTP), 0)
    effects = gateway.stop(0)
    assert [effect.peer for effect in effects if isinstance(effect, events.Close)] == [2, 2]
    port.tell(port.result(port.runs[0]), 0)
    assert b"Connection: close" in port.sent
    assert port.closes == 1
    late = gateway.feed(events.Opened(peer=3, framing=events.HTTP), 0)
    assert b" 503 " in late[0].data


# --- lines -------------------------------------------------------------------------------------


def line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


def test_lines_need_initialize_or_a_version() -> None:
    port = Port(make(), events.LINES)
    assert json.loads(port.receive(line(request("tools/list"))))["error"]["code"] == -32600
    assert json.loads(port.receive(line(request("ping"))))["result"] == {}
    assert "result" in json.loads(port.receive(line(request("tools/list", {"_meta": MODERN}))))
    port.receive(line(request("initialize", {"protocolVersion": "2025-06-18"})))
    assert port.receive(line({"jsonrpc": "2.0", "method": "notifications/initialized"})) == b""
    tools = json.loads(port.receive(line(request("tools/list"))))["result"]["tools"]
    assert "outputSchema" in tools[0]


def test_lines_may_be_batches_only_where_the_revision_has_them() -> None:
    port = Port(make(), events.LINES)
    port.receive(line(request("initialize", {"protocolVersion": "2025-03-26"})))
    assert json.loads(port.receive(line([request("ping")])))[0]["result"] == {}
    port.receive(line(request("initialize", {"protocolVersion": "2025-11-25"})))
    assert json.loads(port.receive(line([request("ping")])))["error"]["code"] == -32600


def test_lines_go_on_after_a_bad_one() -> None:
    port = Port(make(max_request_bytes=1024), events.LINES)
    assert json.loads(port.receive(b"nonsense\n"))["error"]["code"] == -32700
    assert json.loads(port.receive(b"x" * 2000))["error"]["code"] == -32600
    assert json.loads(port.receive(b"x\n" + line(request("ping"))))["result"] == {}


def test_a_line_peer_that_says_an_unknown_version_is_told() -> None:
    port = Port(make(), events.LINES)
    meta = {**MODERN, next(iter(MODERN)): "2099-01-01"}
    answer = json.loads(port.receive(line(request("tools/list", {"_meta": meta}))))
    assert answer["error"]["code"] == -32022
    meta[next(iter(MODERN))] = 7  # type: ignore[assignment]
    answer = json.loads(port.receive(line(request("tools/list", {"_meta": meta}))))
    assert answer["error"]["code"] == -32602


def test_initialize_without_a_version_on_lines_is_an_error() -> None:
    port = Port(make(), events.LINES)
    assert json.loads(port.receive(line(request("initialize"))))["error"]["code"] == -32602


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.binary(max_size=60)
        | st.sampled_from(
            [post(request("ping")), modern("tools/list"), line(request("ping")), b"\r\n", b'{"a":[']
        )
    )
)
def test_no_bytes_bring_it_down(pieces: list[bytes]) -> None:
    gateway = make()
    for framing in (events.HTTP, events.LINES):
        port = Port(gateway, framing)
        for piece in pieces:
            port.receive(piece)
        port.tell(events.Closed(peer=1), 0)
    assert gateway.held_bytes == 0
    assert gateway.peers == {}
