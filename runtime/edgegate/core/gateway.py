# SPDX-License-Identifier: Apache-2.0
"""The gateway: `Gateway.feed(event, now_ms) -> list[effect]`, and nothing else of the world."""

from . import http1, jsontext, metrics, protocol, revisions, webguard
from .events import HTTP, Close, Closed, Computed, Due, Flushed, Opened, Received, Run, Send, Timer
from .records import Record

MAX_BATCH = 64

IDLE = "idle"
READING = "reading"
BUSY = "busy"
FLUSHING = "flushing"
CLOSING = "closing"

# (state, what happened) → next state. What is not here cannot happen, or changes nothing.
STATES = {
    (IDLE, "partial"): READING,
    (IDLE, "message"): BUSY,
    (IDLE, "refused"): CLOSING,
    (IDLE, "late"): CLOSING,
    (READING, "message"): BUSY,
    (READING, "refused"): CLOSING,
    (READING, "late"): CLOSING,
    (BUSY, "answered"): FLUSHING,
    (BUSY, "last"): CLOSING,
    (FLUSHING, "flushed"): IDLE,
    (FLUSHING, "late"): CLOSING,
}

# state → the setting that bounds the time in it; none for BUSY, where only we are slow.
PATIENCE = {
    IDLE: "idle_timeout_ms",
    READING: "request_timeout_ms",
    FLUSHING: "request_timeout_ms",
    CLOSING: "request_timeout_ms",
}


class Peer(Record):
    """One connection. `revision`: what a line peer negotiated. `keep`: go on after the answer."""

    __slots__ = ("framing", "held_bytes", "keep", "name", "parser", "revision", "state")


class Exchange(Record):
    """One message or batch that is being answered. `waiting`: how many models still run."""

    __slots__ = ("batch", "peer", "replies", "status", "waiting")


class Lines:
    """Messages that end with a line feed; the twin of http1.Parser for stdio."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.buffer = bytearray()
        self.skipping = False

    def feed(self, data: bytes) -> None:
        self.buffer.extend(data)

    def pending_bytes(self) -> int:
        return len(self.buffer)

    def begun(self) -> bool:
        return False  # a person or a program may think as long as it likes in mid-line

    def wants_continue(self) -> bool:
        return False

    def next(self) -> "bytes | http1.Refusal | None":
        """A line, a Refusal for one that is too long, or None."""
        while True:
            end = self.buffer.find(b"\n")
            if end < 0:
                if len(self.buffer) <= self.max_bytes:
                    return None
                self.buffer = bytearray()
                if self.skipping:
                    return None
                self.skipping = True
                return self._too_long()
            line = bytes(self.buffer[:end]).strip()
            self.buffer[: end + 1] = b""
            if self.skipping:
                self.skipping = False
            elif len(line) > self.max_bytes:
                return self._too_long()
            elif line:
                return line

    def _too_long(self) -> http1.Refusal:
        return http1.Refusal(status=413, reason="message larger than %d bytes" % self.max_bytes)


class Gateway:
    """Built once from models and settings; then fed."""

    def __init__(self, models: list, settings: dict, info: dict, now_ms: int) -> None:
        """`models`: model.Model. `settings`: config's `gateway` table, every key decided."""
        self.settings = settings
        self.info = info
        self.models = models
        self.protocol = protocol.Protocol(
            models, info, settings["instructions"], settings["cache_ttl_ms"]
        )
        self.metrics = metrics.Metrics()
        self.peers: dict = {}
        self.pending: dict = {}
        self.tickets = 0
        self.held_bytes = 0
        self.started_ms = now_ms
        self.stopping = False
        self.effects: list = []
        self.now_ms = now_ms
        self.doors = {
            Opened: self._opened,
            Received: self._received,
            Flushed: self._flushed,
            Closed: self._closed,
            Due: self._due,
            Computed: self._computed,
        }
        build = metrics.label("name", info["name"]) + "," + metrics.label("version", info["version"])
        self.metrics.put("edgegate_build_info", build, 1)

    def feed(self, event: object, now_ms: int) -> list:
        """Take one event; give the effects it has, in order."""
        self.now_ms = now_ms
        self.effects = []
        self.doors[type(event)](event)
        return self.effects

    def stop(self, now_ms: int) -> list:
        """Close idle peers now and the others after their answer."""
        self.now_ms = now_ms
        self.effects = []
        self.stopping = True
        for name in list(self.peers):
            peer = self.peers[name]
            peer.keep = False
            if peer.state in (IDLE, READING):
                self._drop(peer)
        return self.effects

    # --- events -------------------------------------------------------------------------------

    def _opened(self, event: Opened) -> None:
        settings = self.settings
        if event.framing == HTTP:
            parser = http1.Parser(settings["max_header_bytes"], settings["max_request_bytes"])
        else:
            parser = Lines(settings["max_request_bytes"])
        peer = Peer(
            name=event.peer, framing=event.framing, parser=parser, state=IDLE, revision=None,
            keep=True, held_bytes=0,
        )
        full = len(self.peers) >= settings["max_connections"] or self.stopping
        self.peers[event.peer] = peer
        if full and event.framing == HTTP:
            self._refuse(peer, 503, "too many connections")
        else:
            self._arm(peer)

    def _received(self, event: Received) -> None:
        peer = self.peers.get(event.peer)
        if peer is None or peer.state == CLOSING:
            return
        peer.parser.feed(event.data)
        self._advance(peer)

    def _flushed(self, event: Flushed) -> None:
        peer = self.peers.get(event.peer)
        if peer is None or peer.state != FLUSHING:
            return
        if not peer.keep:
            self._drop(peer)
            return
        peer.state = STATES[(FLUSHING, "flushed")]
        self._advance(peer)
        if peer.state == IDLE:
            self._arm(peer)

    def _closed(self, event: Closed) -> None:
        peer = self.peers.pop(event.peer, None)
        if peer is not None:
            self.held_bytes -= peer.held_bytes

    def _due(self, event: Due) -> None:
        peer = self.peers.get(event.peer)
        if peer is None or peer.state == BUSY:
            return
        if peer.state == READING:
            self._refuse(peer, 408, "the request did not arrive in time")
        elif peer.framing == HTTP:
            self._drop(peer)

    def _computed(self, event: Computed) -> None:
        exchange, slot, call = self.pending.pop(event.ticket)
        model = metrics.label("model", call.model.name)
        outcome = "ok" if event.outputs is not None else "failed"
        self.metrics.add("edgegate_inferences_total", model + ',outcome="' + outcome + '"', 1)
        self.metrics.add("edgegate_inference_seconds_sum", model, event.duration_us / 1000000.0)
        reply = self.protocol.computed(call, event.outputs, event.code)
        exchange.replies[slot] = reply
        exchange.waiting -= 1
        if exchange.waiting == 0:
            self._finish(exchange)

    # --- one peer -----------------------------------------------------------------------------

    def _arm(self, peer: Peer) -> None:
        """Set the timer that belongs to the peer's state."""
        if peer.framing == HTTP:
            setting = PATIENCE.get(peer.state)
            due_ms = None if setting is None else self.now_ms + self.settings[setting]
            self.effects.append(Timer(peer=peer.name, due_ms=due_ms))

    def _advance(self, peer: Peer) -> None:
        """Take the next message of a peer that is not being answered."""
        while peer.state in (IDLE, READING):
            found = peer.parser.next()
            if not self._hold(peer):
                self._refuse(peer, 503, "too much is being received at this moment")
            elif found is None:
                self._wait(peer)
                return
            elif type(found) is http1.Refusal:
                self._refuse(peer, found.status, found.reason)
            else:
                peer.state = STATES[(peer.state, "message")]
                self._message(peer, found)

    def _hold(self, peer: Peer) -> bool:
        """Account for what is kept of the peer's bytes; False when it is more than there may be."""
        held = peer.parser.pending_bytes()
        self.held_bytes += held - peer.held_bytes
        peer.held_bytes = held
        return self.held_bytes <= self.settings["max_buffered_bytes"]

    def _wait(self, peer: Peer) -> None:
        if peer.parser.wants_continue():
            self._send(peer, b"HTTP/1.1 100 Continue\r\n\r\n")
        if peer.state == IDLE and peer.parser.begun():
            peer.state = STATES[(IDLE, "partial")]
            self._arm(peer)

    def _message(self, peer: Peer, found: object) -> None:
        if peer.framing == HTTP:
            self._http_request(peer, found)
        else:
            self._line(peer, found)

    def _send(self, peer: Peer, data: bytes) -> None:
        self.effects.append(Send(peer=peer.name, data=data))

    def _drop(self, peer: Peer) -> None:
        peer.state = CLOSING
        self._arm(peer)
        self.effects.append(Close(peer=peer.name))

    def _refuse(self, peer: Peer, status: int, words: str) -> None:
        """Answer what cannot be served; HTTP closes, a line peer goes on with the next line."""
        if peer.framing == HTTP:
            peer.keep = False
            self._http_error(peer, status, words, "")
            self._drop(peer)
            return
        refusal = protocol.fault(protocol.INVALID_REQUEST, words)
        reply = self.protocol.refuse(refusal, None, False, "")
        self._count(reply)
        self._send(peer, bytes(reply.text + "\n", "ascii"))
        peer.state = FLUSHING

    # --- lines --------------------------------------------------------------------------------

    def _line(self, peer: Peer, data: bytes) -> None:
        message = self.protocol.parse(data)
        if type(message) is protocol.Fault:
            self._answer_fault(peer, message)
            return
        revision = self._revision(message, peer.revision)
        if revision is None:
            method = message.get("method") if isinstance(message, dict) else None
            if isinstance(message, dict) and "id" in message and method not in (
                "initialize", "ping", None,
            ):
                words = "Send initialize first, or _meta with a protocol version"
                self._answer_fault(peer, protocol.fault(protocol.INVALID_REQUEST, words), message)
                return
            revision = revisions.NEWEST_LEGACY
            if method == "initialize" and isinstance(message.get("params"), dict):
                peer.revision = revisions.negotiate(message["params"].get("protocolVersion"))
        self._exchange(peer, message, revision, None)

    def _answer_fault(
        self, peer: Peer, refusal: object, message: "dict | None" = None
    ) -> None:
        identity = None if message is None else protocol.identity_text(message)
        reply = self.protocol.refuse(refusal, identity, False, "")
        exchange = Exchange(peer=peer.name, batch=False, replies=[reply], status=0, waiting=0)
        self._finish(exchange)

    def _revision(self, message: object, otherwise: object) -> object:
        """Modern when the message says a version itself, else what was agreed."""
        if isinstance(message, dict):
            version = protocol.meta_version(message)
            if version is not None:
                return _modern(version)
        return otherwise

    # --- HTTP ---------------------------------------------------------------------------------

    def _http_request(self, peer: Peer, request: http1.Request) -> None:
        peer.keep = request.keep_alive and not self.stopping
        wrong = webguard.check(request, self.settings)
        if wrong is not None:
            extra = ""
            if wrong[0] == 405:
                extra = "Allow: " + ", ".join(webguard.ROUTES[request.path]) + "\r\n"
            self._http_error(peer, wrong[0], wrong[1], extra)
        elif request.path == webguard.MCP:
            self._http_message(peer, request)
        elif request.path == "/health":
            self._http_page(peer, request, "application/json", self._health())
        else:
            self._http_page(peer, request, metrics.CONTENT_TYPE, self._metrics_text())

    def _http_message(self, peer: Peer, request: http1.Request) -> None:
        message = self.protocol.parse(request.body)
        header = request.headers.get("mcp-protocol-version")
        if type(message) is protocol.Fault:
            self._answer_fault(peer, message)
            return
        if header is None:
            revision = self._revision(message, revisions.ASSUMED)
        elif header in revisions.BY_NAME and not revisions.BY_NAME[header].modern:
            revision = self._revision(message, revisions.BY_NAME[header])
        elif header in revisions.BY_NAME:
            revision = revisions.BY_NAME[header]
        elif protocol.meta_version(message) is None:
            identified = message if isinstance(message, dict) else None
            self._answer_fault(peer, protocol.unsupported(header[:64]), identified)
            return
        else:
            revision = revisions.MODERN[0]
        self._exchange(peer, message, revision, request.headers)

    def _http_page(self, peer: Peer, request: http1.Request, kind: str, text: str) -> None:
        body = bytes(text, "utf-8")
        data = http1.response(200, kind, body, peer.keep, "")
        if request.method == "HEAD":
            data = data[: len(data) - len(body)]
        self._respond(peer, 200, data)

    def _http_error(self, peer: Peer, status: int, words: str, extra: str) -> None:
        refusal = protocol.fault(protocol.INVALID_REQUEST, words)
        text = self.protocol.refuse(refusal, None, True, "").text
        data = http1.response(
            status, "application/json", bytes(text, "ascii"), peer.keep, extra
        )
        self._respond(peer, status, data)

    def _respond(self, peer: Peer, status: int, data: bytes) -> None:
        self.metrics.add("edgegate_http_responses_total", 'status="%d"' % status, 1)
        self._send(peer, data)
        if peer.state == BUSY:
            peer.state = STATES[(BUSY, "answered")]
            self._arm(peer)

    def _health(self) -> str:
        names = [model.name for model in self.models]
        page = {"models": names, "status": "ok", "version": self.info["version"]}
        return jsontext.dumps(page) + "\n"

    def _metrics_text(self) -> str:
        uptime = (self.now_ms - self.started_ms) / 1000.0
        self.metrics.put("edgegate_uptime_seconds", "", uptime)
        self.metrics.put("edgegate_connections", "", len(self.peers))
        return self.metrics.text()

    # --- messages and their answers -----------------------------------------------------------

    def _exchange(
        self, peer: Peer, message: object, revision: object, headers: "dict | None"
    ) -> None:
        messages = [message]
        batch = isinstance(message, list) and revision.batches
        if batch:
            refusal = _check_batch(message)
            if refusal is not None:
                self._answer_fault(peer, refusal)
                return
            messages = message
        exchange = Exchange(
            peer=peer.name, batch=batch, replies=[None] * len(messages), status=0, waiting=0
        )
        runs = []
        for slot in range(len(messages)):
            answer = self.protocol.message(messages[slot], revision, headers)
            if type(answer) is protocol.Call:
                runs.append((slot, answer))
            else:
                exchange.replies[slot] = answer
        exchange.waiting = len(runs)
        for slot, call in runs:
            self._run(exchange, slot, call)
        if not runs:
            self._finish(exchange)

    def _run(self, exchange: Exchange, slot: int, call: protocol.Call) -> None:
        self.tickets += 1
        self.pending[self.tickets] = (exchange, slot, call)
        self.effects.append(Run(ticket=self.tickets, index=call.model.index, inputs=call.inputs))

    def _count(self, reply: protocol.Reply) -> None:
        if reply.method:
            label = metrics.label("method", reply.method)
            self.metrics.add("edgegate_requests_total", label, 1)
        if reply.code:
            self.metrics.add("edgegate_request_errors_total", 'code="%d"' % reply.code, 1)

    def _finish(self, exchange: Exchange) -> None:
        """All replies are there: send them, if the peer still is."""
        texts = []
        for reply in exchange.replies:
            self._count(reply)
            if reply.text is not None:
                texts.append(reply.text)
        peer = self.peers.get(exchange.peer)
        if peer is None:
            return
        text = "[" + ",".join(texts) + "]" if exchange.batch and texts else "".join(texts)
        status = exchange.replies[0].status
        if exchange.batch:
            status = 200 if texts else 202
        if peer.framing == HTTP:
            body = bytes(text, "ascii")
            self._respond(
                peer, status, http1.response(status, "application/json", body, peer.keep, "")
            )
        elif text:
            self._send(peer, bytes(text + "\n", "ascii"))
            peer.state = STATES[(peer.state, "answered")]
        else:
            peer.state = IDLE


def _modern(version: object) -> object:
    """The modern revision of that name; for an unknown name any, whose checks will refuse it."""
    if isinstance(version, str) and version in revisions.MODERN_NAMES:
        return revisions.BY_NAME[version]
    return revisions.MODERN[0]


def _check_batch(messages: list) -> object:
    if not messages or len(messages) > MAX_BATCH:
        words = "A batch holds 1 to %d messages" % MAX_BATCH
        return protocol.fault(protocol.INVALID_REQUEST, words)
    for message in messages:
        if isinstance(message, dict) and message.get("method") == "initialize":
            return protocol.fault(protocol.INVALID_REQUEST, "initialize may not be in a batch")
    return None
