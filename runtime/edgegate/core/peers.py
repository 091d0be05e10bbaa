# SPDX-License-Identifier: Apache-2.0
"""The life of one connection: states, what moves it from one to the next, and its patience."""

from . import http1
from .lines import Lines
from .records import Record
from .revisions import Revision

IDLE = "idle"
READING = "reading"
BUSY = "busy"
FLUSHING = "flushing"
CLOSING = "closing"

# (state, what happened) → next state. What is not listed does not happen in that state.
STATES = {
    (IDLE, "partial"): READING,
    (IDLE, "message"): BUSY,
    (IDLE, "ending"): CLOSING,
    (READING, "message"): BUSY,
    (READING, "ending"): CLOSING,
    (BUSY, "answered"): FLUSHING,
    (BUSY, "silent"): IDLE,
    (BUSY, "ending"): CLOSING,
    (FLUSHING, "flushed"): IDLE,
    (FLUSHING, "ending"): CLOSING,
    (CLOSING, "ending"): CLOSING,
}

# state → the setting that bounds the time in it; none for BUSY, where only we are slow.
PATIENCE = {
    IDLE: "idle_timeout_ms",
    READING: "request_timeout_ms",
    FLUSHING: "request_timeout_ms",
    CLOSING: "request_timeout_ms",
}


class Peer(Record):
    """`framing`: HTTP or LINES. `keep`: go on after this answer. `held_bytes`: kept of its input.
    `revision`: what a line peer has agreed on, None before it has.
    """

    __slots__ = ("framing", "held_bytes", "keep", "name", "parser", "revision", "state")
    framing: str
    held_bytes: int
    keep: bool
    name: int
    parser: "http1.Parser | Lines"
    revision: "Revision | None"
    state: str


def move(peer: Peer, happening: str) -> None:
    peer.state = STATES[(peer.state, happening)]
