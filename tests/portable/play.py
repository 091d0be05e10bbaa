# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: UP031, RUF005
"""A conversation with the gateway core, and every byte that came of it.

Written in the portable dialect: the same file runs on CPython, on the core compiled by Cython and
on MicroPython, and has to print the same text on all of them.
"""

from edgegate.core import events, jsontext, setup

HALF = {"scale": [0.5], "zero_point": [-1], "axis": None}


def tensor(name, shape, dtype, size, content):
    quantisation = HALF if dtype == "int8" else None
    return {
        "name": name,
        "shape": shape,
        "dtype": dtype,
        "bytes": size,
        "quantisation": quantisation,
        "content": content,
    }


def card(name, task, inputs, outputs, labels):
    fields = {
        "name": name,
        "digest": "sha256:00",
        "task": task,
        "labels": labels,
        "description": "Test model",
        "licence": "Apache-2.0",
        "inputs": inputs,
        "outputs": outputs,
    }
    return bytes(jsontext.dumps(fields), "ascii")


CARDS = [
    card(
        "pet",
        "classify",
        [tensor("picture", [1, 1, 2, 3], "int8", 6, "image")],
        [tensor("scores", [1, 3], "int8", 3, "tensor")],
        ["cat", "dog", 'no "pet" \u00e9'],
    ),
    card(
        "pair",
        "infer",
        [tensor("a", [2], "float32", 8, "tensor"), tensor("b", [2], "int32", 8, "tensor")],
        [tensor("sum", [2], "float32", 8, "tensor")],
        None,
    ),
]

OUTPUTS = [[b"\x80\x05\x7f"], [b"\x00\x00\x80\x3f\x00\x00\x20\xc1"]]

META = (
    '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    '"io.modelcontextprotocol/clientCapabilities":{}}'
)

LINES = [
    '{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
    '{"jsonrpc":"2.0","id":"p","method":"ping"}',
    '{"jsonrpc":"2.0","id":2,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}',
    '{"jsonrpc":"2.0","method":"notifications/initialized"}',
    '{"jsonrpc":"2.0","id":3,"method":"tools/list"}',
    '[{"jsonrpc":"2.0","id":4,"method":"ping"},{"jsonrpc":"2.0","id":5,"method":"tools/call",'
    '"params":{"name":"classify_pet","arguments":{"inputs":[1,2,3,-4,5,127]}}}]',
    '{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"classify_pet"}}',
    '{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"model://none/card"}}',
    '{"jsonrpc":"2.0","id":8,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}',
    '{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"classify_pet",'
    '"arguments":{"inputs":"AAECAwQF"}}}',
    '{"jsonrpc":"2.0","id":10,"method":"tools/call","params":{"name":"classify_pet",'
    '"arguments":{"inputs":[1,2,3,-4,5,128]}}}',
    '{"jsonrpc":"2.0","id":11,"method":"tools/call","params":{"name":"infer_pair",'
    '"arguments":{"inputs":{"a":[0.1,-2e3],"b":[1,-1]}}}}',
    '{"jsonrpc":"2.0","id":12,"method":"server/discover","params":{' + META + "}}",
    '{"jsonrpc":"2.0","id":13,"method":"tools/list","params":{' + META + "}}",
    '{"jsonrpc":"2.0","id":14,"method":"resources/list","params":{' + META + "}}",
    '{"jsonrpc":"2.0","id":15,"method":"resources/read","params":{"uri":"model://pet/card",'
    + META
    + "}}",
    '{"jsonrpc":"2.0","id":16,"method":"ping","params":{' + META + "}}",
    '{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"classify_pet",'
    '"arguments":{"inputs":{"type":"image","data":"UDYgMiAxIDI1NQr/AIABAgM="}},' + META + "}}",
    '{"jsonrpc":"2.0","id":18,"id":18}',
    '{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
    "[1 2]",
    '"\\ud800"',
    "nonsense",
]


def drive(gateway, event, now_ms, said):
    """Feed an event and everything that follows from it; what is sent goes to `said`."""
    waiting = [event]
    while waiting:
        for effect in gateway.feed(waiting.pop(0), now_ms):
            if type(effect) is events.Send:
                said.append(str(effect.data, "ascii"))
                waiting.append(events.Flushed(peer=effect.peer))
            elif type(effect) is events.Run:
                said.append("run %d %s\n" % (effect.index, repr(effect.inputs)))
                waiting.append(
                    events.Computed(
                        ticket=effect.ticket,
                        outputs=OUTPUTS[effect.index],
                        code=0,
                        duration_us=1500,
                    )
                )
            elif type(effect) is events.Timer:
                said.append("timer %s\n" % effect.due_ms)
            else:
                said.append("close\n")


def http(method, path, headers, body):
    head = [method + " " + path + " HTTP/1.1", "Host: localhost"] + headers
    if body:
        head.append("Content-Length: %d" % len(body))
    return bytes("\r\n".join(head) + "\r\n\r\n" + body, "ascii")


def transcript():
    """All that was said, as text."""
    said = []
    gateway = setup.gateway(CARDS, {"gateway": {"name": "play"}}, "play", "1.0", 1000)
    drive(gateway, events.Opened(peer=1, framing=events.LINES), 1000, said)
    for line in LINES:
        said.append("> " + line + "\n")
        drive(gateway, events.Received(peer=1, data=bytes(line + "\n", "ascii")), 1000, said)
    json_headers = ["Content-Type: application/json"]
    ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
    requests = [
        http("GET", "/health", [], ""),
        http("POST", "/mcp", json_headers, ping),
        http("POST", "/mcp", json_headers + ["MCP-Protocol-Version: 1999-01-01"], ping),
        http("GET", "/mcp", [], ""),
        http("POST", "/mcp", ["Content-Type: text/plain"], ping),
        http("GET", "/metrics", [], ""),
        b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n",
    ]
    drive(gateway, events.Opened(peer=2, framing=events.HTTP), 2000, said)
    for request in requests:
        said.append("> " + str(request, "ascii").split("\r\n")[0] + "\n")
        drive(gateway, events.Received(peer=2, data=request), 2500, said)
    return "".join(said).replace("\r\n", "\n")
