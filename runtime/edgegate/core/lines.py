# SPDX-License-Identifier: Apache-2.0
"""Messages that end with a line feed: the framing of stdio, and twin of `http1.Parser`."""

from .http1 import Refusal


class Lines:
    """Takes bytes with `feed`, gives one line or Refusal at a time with `next`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.ready: "list[bytes | Refusal]" = []
        self.ready_bytes = 0
        self.part = bytearray()
        self.skipping = False

    def feed(self, data: bytes) -> None:
        pieces = data.split(b"\n")
        for index in range(len(pieces) - 1):
            self._extend(pieces[index])
            self._complete()
        self._extend(pieces[len(pieces) - 1])

    def pending_bytes(self) -> int:
        return len(self.part) + self.ready_bytes

    def begun(self) -> bool:
        """Never: who writes lines may think in mid-line as long as they like."""
        return False

    def wants_continue(self) -> bool:
        return False

    def next(self) -> "bytes | Refusal | None":
        """A line that is not blank, a Refusal for one that is too long, or None."""
        if not self.ready:
            return None
        found = self.ready.pop(0)
        if isinstance(found, bytes):
            self.ready_bytes -= len(found)
        return found

    def _extend(self, piece: bytes) -> None:
        if self.skipping:
            return
        self.part.extend(piece)
        if len(self.part) > self.max_bytes:
            words = "message larger than %d bytes" % self.max_bytes
            self.ready.append(Refusal(status=413, reason=words))
            self.part = bytearray()
            self.skipping = True

    def _complete(self) -> None:
        line = bytes(self.part).strip()
        if line and not self.skipping:
            self.ready.append(line)
            self.ready_bytes += len(line)
        self.part = bytearray()
        self.skipping = False
