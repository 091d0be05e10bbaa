# SPDX-License-Identifier: Apache-2.0
"""The HTTP/1.1 reader, fed in every way that a network may cut the bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.core import http1
from edgegate.core.lines import Lines

POST = b"POST /mcp?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /mcp HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\nhel\r\n002\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
)
GET = b"\r\nGET /health HTTP/1.1\r\nhost:a\r\nX-A: 1\r\nx-a:  2 \r\n\r\n"


def read(pieces: list[bytes], head: int = 1000, body: int = 100) -> list[object]:
    parser = http1.Parser(head, body)
    found: list[object] = []
    for piece in pieces:
        parser.feed(piece)
        while (one := parser.next()) is not None:
            found.append(one)
    return found


def refusal(data: bytes, head: int = 1000, body: int = 100) -> tuple[int, str]:
    found = read([data], head, body)
    assert len(found) == 1, found
    assert isinstance(found[0], http1.Refusal), found
    return found[0].status, found[0].reason


def test_reads_a_request() -> None:
    (request,) = read([POST])
    assert request == http1.Request(
        method="POST",
        path="/mcp",
        headers={"host": "a", "content-length": "5"},
        keep_alive=True,
        body=b"hello",
    )


def test_reads_chunks() -> None:
    (request,) = read([CHUNKED])
    assert isinstance(request, http1.Request)
    assert request.body == b"hello"


def test_joins_repeated_fields() -> None:
    (request,) = read([GET])
    assert isinstance(request, http1.Request)
    assert request.headers["x-a"] == "1, 2"


@given(st.lists(st.integers(0, 300), max_size=30))
def test_cuts_make_no_difference(cuts: list[int]) -> None:
    stream = POST + CHUNKED + GET + POST
    places = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    assert read(pieces) == read([POST, CHUNKED, GET, POST])


@given(st.binary(max_size=200), st.integers(1, 200))
def test_any_bytes_give_requests_or_one_refusal(data: bytes, cut: int) -> None:
    for stream in (data, POST[:40] + data, CHUNKED[:62] + data, POST + data):
        found = read([stream[:cut], stream[cut:]], head=150, body=50)
        refusals = [one for one in found if isinstance(one, http1.Refusal)]
        assert len(refusals) <= 1
        assert refusals == [] or found[-1] is refusals[0]
        for one in found:
            if isinstance(one, http1.Request):
                assert len(one.body) <= 50


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"GET /\r\nHost: a\r\n\r\n", 400, "request line"),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line"),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "HTTP/1.1"),
        (b"GET / FTP/1.1\r\nHost: a\r\n\r\n", 400, "HTTP/1.1"),
        (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request target"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "repeated host"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "header field"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400, "header field"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n", 400, "header field"),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare CR or LF"),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400, "bare CR or LF"),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400, "bare CR or LF"),
        (b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400, "control"),
        (b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n", 400, "non-ASCII"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 64 + b"\r\n", 431, "64 header fields"),
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * 1000, 431, "larger than 1000"),
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * 1000 + b"\r\n\r\n", 431, "larger than 1000"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", 413, "larger than 100"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: coffee\r\n\r\n", 417, "expectation"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "coding"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Length: 1\r\n\r\n",
            400,
            "both",
        ),
    ],
)
def test_refuses_heads(data: bytes, status: int, words: str) -> None:
    found = refusal(data)
    assert found[0] == status
    assert words in found[1]


@pytest.mark.parametrize(
    ("chunks", "status", "words"),
    [
        (b"x\r\n", 400, "chunk size"),
        (b"\r\n", 400, "chunk size"),
        (b"-1\r\n", 400, "chunk size"),
        (b"ffffffffffffffff\r\n", 400, "chunk size"),
        (b"65\r\n", 413, "larger than 100"),
        (b"60\r\n" + b"a" * 96 + b"\r\n5\r\n", 413, "larger than 100"),
        (b"1\r\nab\r\n", 400, "longer than its size"),
        (b"1;" + b"x" * 300, 400, "line too long"),
        (b"0\r\n" + b"A: b\r\n" * 1000, 431, "trailer"),
    ],
)
def test_refuses_chunks(chunks: bytes, status: int, words: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = refusal(head + chunks)
    assert found[0] == status
    assert words in found[1]


def test_a_refused_stream_stays_refused() -> None:
    parser = http1.Parser(100, 100)
    parser.feed(b"nonsense\r\n\r\n")
    assert isinstance(parser.next(), http1.Refusal)
    parser.feed(POST)
    assert parser.next() is None


def test_what_is_held_is_counted() -> None:
    parser = http1.Parser(100, 100)
    assert not parser.begun()
    parser.feed(POST[:-2])
    assert parser.next() is None
    assert parser.begun()
    assert parser.pending_bytes() == 3
    parser.feed(POST[-2:])
    assert parser.next() is not None
    assert parser.pending_bytes() == 0
    assert not parser.begun()


def test_asks_for_the_body_once() -> None:
    parser = http1.Parser(100, 100)
    assert not parser.wants_continue()
    parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.next() is None
    assert parser.wants_continue()
    assert not parser.wants_continue()


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"GET / HTTP/1.1\r\nHost: a", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close", False),
        (b"GET / HTTP/1.0", False),
    ],
)
def test_keep_alive(head: bytes, keep_alive: bool) -> None:
    assert http1.parse_head(head).keep_alive is keep_alive


def test_absolute_targets_name_the_host() -> None:
    request = http1.parse_head(b"GET http://b:1/x?y HTTP/1.1\r\nHost: a")
    assert (request.headers["host"], request.path) == ("b:1", "/x")
    assert http1.parse_head(b"GET http://b HTTP/1.1\r\nHost: a").path == "/"


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (None, True),
        ("*/*", True),
        ("application/*", True),
        ("text/event-stream, application/json", True),
        ("text/html", False),
        ("application/json;q=0", False),
        ("application/json;q=0.0, */*;q=0.1", True),
        ("", False),
    ],
)
def test_accept(header: str | None, answer: bool) -> None:
    assert http1.accepts(header, "application/json") is answer


def test_response_bytes() -> None:
    assert http1.response(200, "a/b", b"xy", False, "Allow: GET\r\n") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n"
        b"Allow: GET\r\nConnection: close\r\n\r\nxy"
    )
    assert http1.response(202, "a/b", b"", True, "") == (
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
    )


def lines(pieces: list[bytes], limit: int = 10) -> list[object]:
    framing = Lines(limit)
    found: list[object] = []
    for piece in pieces:
        framing.feed(piece)
        while (one := framing.next()) is not None:
            found.append(one)
    return found


def test_lines_are_whole_and_not_blank() -> None:
    assert lines([b"a\n\n b\r", b"\nc", b"d\nrest"]) == [b"a", b"b", b"cd"]


def test_a_long_line_is_refused_once_and_skipped() -> None:
    found = lines([b"x" * 8, b"x" * 8, b"x" * 8 + b"\nok\n"])
    assert [type(one) for one in found] == [http1.Refusal, bytes]
    assert found[1] == b"ok"


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_lines_do_not_depend_on_cuts(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert lines(pieces) == lines([whole]) == lines([whole[i : i + 1] for i in range(len(whole))])


def test_lines_count_what_they_hold() -> None:
    framing = Lines(100)
    framing.feed(b"abc\nde")
    assert framing.pending_bytes() == 5
    assert framing.next() == b"abc"
    assert framing.pending_bytes() == 2
    assert not framing.begun()
    assert not framing.wants_continue()
