# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 (RFC 9112), server side, as a machine that is fed bytes. Bounded and strict.

Whatever two readers of one request could disagree on is refused: bare line feeds, folded lines,
white space before a colon, Content-Length beside Transfer-Encoding, a doubled Host.
"""

from .records import Record

MAX_HEADERS = 64
MAX_CHUNK_LINE_BYTES = 256
MAX_TRAILER_BYTES = 4096

HEAD = "head"
BODY = "body"
CHUNK_SIZE = "chunk size"
CHUNK_DATA = "chunk data"
CHUNK_END = "chunk end"
TRAILER = "trailer"
BROKEN = "broken"

REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class Request(Record):
    """One request. `headers`: lower-case names, repeated ones joined by ', '. `path`: no query."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path")
    body: bytes
    headers: dict[str, str]
    keep_alive: bool
    method: str
    path: str


class Refusal(Record):
    """What is wrong with the bytes: the status to answer with, and words. The stream is lost."""

    __slots__ = ("reason", "status")
    reason: str
    status: int


class Wrong(Exception):
    """Inside this module: becomes a Refusal."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class Parser:
    """Takes bytes with `feed`, gives one Request or Refusal at a time with `next`.

    `steps` is the state machine: each step looks at the buffer and names the next state, or None
    to wait for more bytes.
    """

    def __init__(self, max_head_bytes: int, max_body_bytes: int) -> None:
        self.max_head_bytes = max_head_bytes
        self.max_body_bytes = max_body_bytes
        self.buffer = b""
        self.at = 0  # what is before it has been used
        self.state = HEAD
        self.request = Request(body=b"", headers={}, keep_alive=False, method="", path="")
        self.need = 0
        self.body = bytearray()
        self.trailer = 0
        self.steps = {
            HEAD: self._head,
            BODY: self._body,
            CHUNK_SIZE: self._chunk_size,
            CHUNK_DATA: self._chunk_data,
            CHUNK_END: self._chunk_end,
            TRAILER: self._trailer,
        }

    def feed(self, data: bytes) -> None:
        self.buffer = self.buffer[self.at :] + data
        self.at = 0

    def pending_bytes(self) -> int:
        """Bytes held for this peer."""
        return self._left() + len(self.body)

    def begun(self) -> bool:
        """Whether part of a request has arrived."""
        return self.state != HEAD or self._left() > 0

    def wants_continue(self) -> bool:
        """Whether the peer waits for 100 Continue before it sends the body; asked once."""
        if self.state not in (BODY, CHUNK_SIZE) or self._left() or self.body:
            return False
        headers = self.request.headers
        if headers.get("expect", "").lower() != "100-continue":
            return False
        headers["expect"] = ""
        return True

    def next(self) -> "Request | Refusal | None":
        """The next whole request, a Refusal, or None when more bytes are needed."""
        if self.state == BROKEN:
            return None
        try:
            while True:
                state = self.steps[self.state]()
                if state is None:
                    return None
                self.state = state
                if state == HEAD:
                    done = self.request
                    done.body = bytes(self.body)
                    self.body = bytearray()
                    return done
        except Wrong as wrong:
            self.state = BROKEN
            self.buffer = b""
            self.at = 0
            self.body = bytearray()
            return Refusal(status=wrong.status, reason=wrong.reason)

    def _left(self) -> int:
        return len(self.buffer) - self.at

    def _take(self, count: int) -> bytes:
        data = self.buffer[self.at : self.at + count]
        self.at += count
        return data

    def _line(self, limit: int) -> "bytes | None":
        """A line without its CRLF, or None when it is not all there."""
        end = self.buffer.find(b"\r\n", self.at)
        if (self._left() if end < 0 else end - self.at) > limit:
            raise Wrong(400, "line too long between the body's chunks")
        if end < 0:
            return None
        return self._take(end + 2 - self.at)[:-2]

    def _head(self) -> "str | None":
        while self.buffer[self.at : self.at + 2] == b"\r\n":  # RFC 9112 §2.2: robustness
            self.at += 2
        end = self.buffer.find(b"\r\n\r\n", self.at)
        if (self._left() if end < 0 else end - self.at) > self.max_head_bytes:
            raise Wrong(431, "head of the request larger than %d bytes" % self.max_head_bytes)
        if end < 0:
            return None
        self.request = parse_head(self._take(end + 4 - self.at)[:-4])
        return self._framing()

    def _framing(self) -> "str | None":
        """How the body is delimited; HEAD as the answer means that there is none."""
        headers = self.request.headers
        coding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if headers.get("expect", "100-continue").lower() != "100-continue":
            raise Wrong(417, "only the expectation 100-continue is known")
        if coding is not None:
            if length is not None:
                raise Wrong(400, "both Content-Length and Transfer-Encoding")
            if coding.lower() != "chunked":
                raise Wrong(501, "transfer coding other than chunked")
            return CHUNK_SIZE
        if length is None:
            return HEAD
        if not length or length.lstrip("0123456789") or len(length) > 18:
            raise Wrong(400, "malformed Content-Length")
        self.need = int(length)
        self._check_size(self.need)
        return BODY if self.need else HEAD

    def _check_size(self, size: int) -> None:
        if size > self.max_body_bytes:
            raise Wrong(413, "body larger than %d bytes" % self.max_body_bytes)

    def _some(self) -> bool:
        """Move what is there of `need` bytes to the body; whether it is all."""
        part = self._take(min(self.need, self._left()))
        self.body.extend(part)
        self.need -= len(part)
        return self.need == 0

    def _body(self) -> "str | None":
        return HEAD if self._some() else None

    def _chunk_size(self) -> "str | None":
        line = self._line(MAX_CHUNK_LINE_BYTES)
        if line is None:
            return None
        digits = line.split(b";")[0].strip(b" \t")
        if not digits or digits.lstrip(b"0123456789abcdefABCDEF") or len(digits) > 15:
            raise Wrong(400, "malformed chunk size")
        self.need = int(digits, 16)
        self._check_size(len(self.body) + self.need)
        self.trailer = 0
        return CHUNK_DATA if self.need else TRAILER

    def _chunk_data(self) -> "str | None":
        return CHUNK_END if self._some() else None

    def _chunk_end(self) -> "str | None":
        if self._left() < 2:
            return None
        if self._take(2) != b"\r\n":
            raise Wrong(400, "chunk longer than its size")
        return CHUNK_SIZE

    def _trailer(self) -> "str | None":
        line = self._line(MAX_TRAILER_BYTES)
        if line is None:
            return None
        self.trailer += len(line) + 2
        if self.trailer > MAX_TRAILER_BYTES:
            raise Wrong(431, "trailer larger than %d bytes" % MAX_TRAILER_BYTES)
        return TRAILER if line else HEAD


def parse_head(head: bytes) -> Request:
    """Request line and fields, without the empty line; raises Wrong."""
    check_octets(head)
    lines = str(head, "ascii").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not is_token(parts[0]):
        raise Wrong(400, "malformed request line")
    if parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise Wrong(505 if parts[2].startswith("HTTP/") else 400, "HTTP/1.1 is spoken here")
    if len(lines) - 1 > MAX_HEADERS:
        raise Wrong(431, "more than %d header fields" % MAX_HEADERS)
    headers = parse_fields(lines)
    target = parts[1]
    if target.startswith("http://"):
        rest = target[7:]
        slash = rest.find("/")
        headers["host"] = rest if slash < 0 else rest[:slash]
        target = "/" if slash < 0 else rest[slash:]
    if not target.startswith("/"):
        raise Wrong(400, "malformed request target")
    if "host" not in headers and parts[2] == "HTTP/1.1":
        raise Wrong(400, "no Host")
    connection = headers.get("connection", "").lower()
    return Request(
        method=parts[0],
        path=target.split("?")[0],
        headers=headers,
        keep_alive=parts[2] == "HTTP/1.1" and "close" not in connection,
        body=b"",
    )


def parse_fields(lines: list[str]) -> dict:
    headers: dict[str, str] = {}
    for index in range(1, len(lines)):
        line = lines[index]
        colon = line.find(":")
        name = line[:colon].lower() if colon > 0 else ""
        if not is_token(name):
            raise Wrong(400, "malformed header field")
        value = line[colon + 1 :].strip(" \t")
        if name in headers:
            if name in ("host", "content-length", "transfer-encoding"):
                raise Wrong(400, "repeated " + name)
            value = headers[name] + ", " + value
        headers[name] = value
    return headers


def is_token(text: str) -> bool:
    """Whether it is a token of RFC 9110, section 5.6.2: a method's or a field's name."""
    for char in text:
        if not ("a" <= char <= "z" or "A" <= char <= "Z" or "0" <= char <= "9"):
            if char not in "!#$%&'*+-.^_`|~":
                return False
    return text != ""


def check_octets(head: bytes) -> None:
    """ASCII, without control characters but tab and CR LF pairs."""
    previous = 0
    for octet in head:
        if (octet < 32 and octet != 9 and octet != 13 and octet != 10) or octet > 126:
            raise Wrong(400, "control or non-ASCII character in the head")
        if (octet == 10) != (previous == 13):
            raise Wrong(400, "bare CR or LF in the head")
        previous = octet
    if previous == 13:
        raise Wrong(400, "bare CR or LF in the head")


def response(status: int, kind: str, body: bytes, keep_alive: bool, extra: str) -> bytes:
    """A whole response; `extra` is further header lines, each with its CRLF."""
    head = "HTTP/1.1 %d %s\r\n" % (status, REASONS[status])
    if body:
        head += "Content-Type: " + kind + "\r\n"
    head += "Content-Length: %d\r\n%s" % (len(body), extra)
    if not keep_alive:
        head += "Connection: close\r\n"
    return bytes(head + "\r\n", "ascii") + body


def accepts(header: "str | None", kind: str) -> bool:
    """Whether an Accept header lets `kind` through; q=0 is a no, a missing header a yes."""
    if header is None:
        return True
    family = kind.split("/", 1)[0] + "/*"
    for item in header.split(","):
        parts = [part.strip() for part in item.lower().split(";")]
        if parts[0] in (kind, family, "*/*"):
            weights = [part for part in parts[1:] if part.startswith("q=")]
            if not weights or weights[0][2:].strip("0.") != "":
                return True
    return False
