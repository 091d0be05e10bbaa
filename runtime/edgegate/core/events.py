# SPDX-License-Identifier: Apache-2.0
"""What a port tells the gateway (events), and what the gateway asks of a port (effects).

`peer` is any value that the port uses to name one connection, and never uses again for another.
"""

from .records import Record

HTTP = "http"
LINES = "lines"


class Opened(Record):
    """A peer is there. `framing`: HTTP, or LINES for JSON messages that end with a line feed."""

    __slots__ = ("framing", "peer")
    framing: str
    peer: int


class Received(Record):
    __slots__ = ("data", "peer")
    data: bytes
    peer: int


class Flushed(Record):
    """All that was sent to the peer so far has left."""

    __slots__ = ("peer",)
    peer: int


class Closed(Record):
    """The peer is gone; nothing can be sent to it."""

    __slots__ = ("peer",)
    peer: int


class Due(Record):
    """The peer's timer ran out."""

    __slots__ = ("peer",)
    peer: int


class Computed(Record):
    """A kernel's result. `outputs`: raw tensors, or None with the error `code` of the bundle."""

    __slots__ = ("code", "duration_us", "outputs", "ticket")
    code: int
    duration_us: int
    outputs: "list[bytes] | None"
    ticket: int


class Send(Record):
    __slots__ = ("data", "peer")
    data: bytes
    peer: int


class Close(Record):
    """Close when all that was sent has left and the peer has closed too; told again: at once."""

    __slots__ = ("peer",)
    peer: int


class Timer(Record):
    """Tell `Due(peer)` at `due_ms`; replaces the peer's earlier timer. None takes it away."""

    __slots__ = ("due_ms", "peer")
    due_ms: "int | None"
    peer: int


class Run(Record):
    """Run model `index` on raw input tensors and answer with `Computed(ticket)`."""

    __slots__ = ("index", "inputs", "ticket")
    index: int
    inputs: list[bytes]
    ticket: int
