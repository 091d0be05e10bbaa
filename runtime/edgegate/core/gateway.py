# SPDX-License-Identifier: Apache-2.0
"""The gateway: `Gateway.feed(event, now_ms) -> list[effect]`, and nothing else of the world."""

from . import http1, jsontext, lines, metrics, peers, protocol, revisions, rpc, webguard
from .events import HTTP, Close, Closed, Computed, Due, Flushed, Opened, Received, Run, Send, Timer
from .peers import BUSY, CLOSING, FLUSHING, IDLE, READING, Peer
from .records import Record
from .revisions import Revision

MAX_BATCH = 64


class Exchange(Record):
    """One message or batch that is being answered. `waiting`: how many models still run."""

    __slots__ = ("batch", "peer", "replies", "waiting")
    batch: bool
    peer: int
    replies: list
    waiting: int


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
        self.now_ms = now_ms
        self.stopping = False
        self.effects: list = []
        self.doors: dict = {
            Opened: self._opened,
            Received: self._received,
            Flushed: self._flushed,
            Closed: self._closed,
            Due: self._due,
            Computed: self._computed,
        }
        labels = [metrics.label(key, info[key]) for key in ("name", "version")]
        self.metrics.put("edgegate_build_info", ",".join(labels), 1)

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
        for name in sorted(self.peers):
            peer = self.peers[name]
            peer.keep = False
            if peer.state in (IDLE, READING):
                self._end_now(peer)
        return self.effects

    # --- events -------------------------------------------------------------------------------

    def _opened(self, event: Opened) -> None:
        settings = self.settings
        limit = settings["max_request_bytes"]
        http = event.framing == HTTP
        peer = Peer(
            name=event.peer,
            framing=event.framing,
            parser=http1.Parser(settings["max_header_bytes"], limit)
            if http
            else lines.Lines(limit),
            state=IDLE,
            revision=None,
            keep=True,
            held_bytes=0,
        )
        full = len(self.peers) >= settings["max_connections"] or self.stopping
        self.peers[event.peer] = peer
        if full:
            self._refuse(peer, 503, "too many connections")
            self._end(peer)  # for the second time: a crowd is not waited for
        else:
            self._arm(peer)

    def _received(self, event: Received) -> None:
        peer = self.peers.get(event.peer)
        if peer is not None and peer.state != CLOSING:
            peer.parser.feed(event.data)
            self._advance(peer)

    def _flushed(self, event: Flushed) -> None:
        peer = self.peers.get(event.peer)
        if peer is None or peer.state != FLUSHING:
            return
        if not peer.keep:
            self._end(peer)
            return
        peers.move(peer, "flushed")
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
        else:
            self._end(peer)

    def _computed(self, event: Computed) -> None:
        exchange, slot, call = self.pending.pop(event.ticket)
        labels = metrics.label("model", call.model.name)
        outcome = metrics.label("outcome", "ok" if event.outputs is not None else "failed")
        self.metrics.add("edgegate_inferences_total", labels + "," + outcome, 1)
        self.metrics.add("edgegate_inference_seconds_sum", labels, event.duration_us / 1000000.0)
        exchange.replies[slot] = self.protocol.computed(call, event.outputs, event.code)
        exchange.waiting -= 1
        if exchange.waiting == 0:
            self._finish(exchange)

    # --- one peer -----------------------------------------------------------------------------

    def _arm(self, peer: Peer) -> None:
        """Set the timer that belongs to the peer's state. Line peers have all the time there is."""
        if peer.framing == HTTP:
            setting = peers.PATIENCE.get(peer.state)
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
            elif isinstance(found, http1.Refusal):
                self._refuse(peer, found.status, found.reason)
            else:
                peers.move(peer, "message")
                if isinstance(found, http1.Request):
                    self._request(peer, found)
                else:
                    self._line(peer, found)

    def _hold(self, peer: Peer) -> bool:
        """Account for what is kept of the peer's bytes; False when it is more than there may be."""
        held = peer.parser.pending_bytes()
        self.held_bytes += held - peer.held_bytes
        peer.held_bytes = held
        return bool(self.held_bytes <= self.settings["max_buffered_bytes"])

    def _wait(self, peer: Peer) -> None:
        if peer.parser.wants_continue():
            self._send(peer, b"HTTP/1.1 100 Continue\r\n\r\n")
        if peer.state == IDLE and peer.parser.begun():
            peers.move(peer, "partial")
            self._arm(peer)

    def _send(self, peer: Peer, data: bytes) -> None:
        self.effects.append(Send(peer=peer.name, data=data))

    def _end(self, peer: Peer) -> None:
        peers.move(peer, "ending")
        self._arm(peer)
        self.effects.append(Close(peer=peer.name))

    def _end_now(self, peer: Peer) -> None:
        self._end(peer)
        self._end(peer)

    def _refuse(self, peer: Peer, status: int, words: str) -> None:
        """Answer bytes that are no message. HTTP ends there; lines go on with the next one."""
        if peer.framing == HTTP:
            peer.keep = False
            self._error(peer, status, words, "")
            self._end(peer)
            return
        peers.move(peer, "message")
        self._fault(peer, rpc.fault(rpc.INVALID_REQUEST, words), None)

    # --- lines --------------------------------------------------------------------------------

    def _line(self, peer: Peer, data: bytes) -> None:
        message = self.protocol.parse(data)
        if isinstance(message, rpc.Fault):
            self._fault(peer, message, None)
            return
        version = rpc.meta_version(message)
        if version is not None:
            self._exchange(peer, message, revisions.of_meta(version), None)
            return
        method = message.get("method") if isinstance(message, dict) else None
        if peer.revision is None and rpc.needs_revision(message):
            words = "Send initialize first, or a protocol version in params._meta"
            self._fault(peer, rpc.fault(rpc.INVALID_REQUEST, words), message)
            return
        if method == "initialize":
            peer.revision = revisions.negotiate(rpc.offered_version(message))
        self._exchange(peer, message, peer.revision or revisions.NEWEST_LEGACY, None)

    # --- HTTP ---------------------------------------------------------------------------------

    def _request(self, peer: Peer, request: http1.Request) -> None:
        peer.keep = request.keep_alive and not self.stopping
        wrong = webguard.check(request, self.settings)
        if wrong is not None:
            extra = ""
            if wrong[0] == 405:
                extra = "Allow: " + ", ".join(webguard.ROUTES[request.path]) + "\r\n"
            self._error(peer, wrong[0], wrong[1], extra)
        elif request.path == webguard.MCP:
            self._post(peer, request)
        elif request.path == "/health":
            self._page(peer, request, "application/json", self._health())
        else:
            self._page(peer, request, metrics.CONTENT_TYPE, self._metrics())

    def _post(self, peer: Peer, request: http1.Request) -> None:
        message = self.protocol.parse(request.body)
        if isinstance(message, rpc.Fault):
            self._fault(peer, message, None)
            return
        header = request.headers.get("mcp-protocol-version")
        revision = revisions.of_request(header, rpc.meta_version(message))
        if revision is None:
            self._fault(peer, rpc.unsupported((header or "")[:64]), message)
        else:
            self._exchange(peer, message, revision, request.headers)

    def _page(self, peer: Peer, request: http1.Request, kind: str, text: str) -> None:
        body = bytes(text, "utf-8")
        data = http1.response(200, kind, body, peer.keep, "")
        if request.method == "HEAD":
            data = data[: len(data) - len(body)]
        self._respond(peer, 200, data)

    def _error(self, peer: Peer, status: int, words: str, extra: str) -> None:
        reply = self.protocol.refuse(rpc.fault(rpc.INVALID_REQUEST, words), None, True, "")
        body = bytes(reply.text or "", "ascii")
        data = http1.response(status, "application/json", body, peer.keep, extra)
        self._respond(peer, status, data)

    def _respond(self, peer: Peer, status: int, data: bytes) -> None:
        self.metrics.add("edgegate_http_responses_total", 'status="%d"' % status, 1)
        self._send(peer, data)
        if peer.state == BUSY:
            peers.move(peer, "answered")
            self._arm(peer)

    def _health(self) -> str:
        names = [model.name for model in self.models]
        page = {"models": names, "status": "ok", "version": self.info["version"]}
        return jsontext.dumps(page) + "\n"

    def _metrics(self) -> str:
        uptime_s = (self.now_ms - self.started_ms) / 1000.0
        self.metrics.put("edgegate_uptime_seconds", "", uptime_s)
        self.metrics.put("edgegate_connections", "", len(self.peers))
        return self.metrics.text()

    # --- messages and their answers -----------------------------------------------------------

    def _fault(self, peer: Peer, refusal: rpc.Fault, message: object) -> None:
        """Answer with an error before the message was looked into."""
        identity = rpc.identity_text(message)
        reply = self.protocol.refuse(refusal, identity, False, "")
        self._finish(Exchange(peer=peer.name, batch=False, replies=[reply], waiting=0))

    def _exchange(
        self, peer: Peer, message: object, revision: Revision, headers: "dict | None"
    ) -> None:
        """Answer a message, or each message of a batch where the revision has batches."""
        messages = [message]
        batch = isinstance(message, list) and revision.batches
        if isinstance(message, list) and batch:
            refusal = rpc.check_batch(message, MAX_BATCH)
            if refusal is not None:
                self._fault(peer, refusal, None)
                return
            messages = message
        answers = [self.protocol.message(one, revision, headers) for one in messages]
        exchange = Exchange(peer=peer.name, batch=batch, replies=answers, waiting=0)
        for slot in range(len(answers)):
            answer = answers[slot]
            if isinstance(answer, protocol.Call):
                self._run(exchange, slot, answer)
        if exchange.waiting == 0:
            self._finish(exchange)

    def _run(self, exchange: Exchange, slot: int, call: protocol.Call) -> None:
        exchange.waiting += 1
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
        text = "".join(texts)
        status = exchange.replies[0].status
        if exchange.batch:
            text = "[" + ",".join(texts) + "]" if texts else ""
            status = 200 if texts else 202
        if peer.framing == HTTP:
            body = bytes(text, "ascii")
            data = http1.response(status, "application/json", body, peer.keep, "")
            self._respond(peer, status, data)
        elif text:
            self._send(peer, bytes(text + "\n", "ascii"))
            peers.move(peer, "answered")
        else:
            peers.move(peer, "silent")
