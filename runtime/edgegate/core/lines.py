# SPDX-License-Identifier: Apache-2.0
"""Messages that end with a line feed: the framing of stdio, and twin of `http1.Parser`."""

from .http1 import Refusal


class Lines:
    """Takes bytes with `feed`, gives one line or Refusal at a time with `next`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.buffer = bytearray()
        self.skipping = False

    def feed(self, data: bytes) -> None:
        self.buffer.extend(data)

    def pending_bytes(self) -> int:
        return len(self.buffer)

    def begun(self) -> bool:
        """Never: who writes lines may think in mid-line as long as they like."""
        return False

    def wants_continue(self) -> bool:
        return False

    def next(self) -> "bytes | Refusal | None":
        """A line that is not blank, a Refusal for one that is too long, or None."""
        while True:
            end = self.buffer.find(b"\n")
            if end < 0:
                return self._unfinished()
            line = bytes(self.buffer[:end]).strip()
            self.buffer[: end + 1] = b""
            if self.skipping:
                self.skipping = False
            elif len(line) > self.max_bytes:
                return self._too_long()
            elif line:
                return line

    def _unfinished(self) -> "Refusal | None":
        if len(self.buffer) <= self.max_bytes:
            return None
        self.buffer = bytearray()
        if self.skipping:
            return None
        self.skipping = True
        return self._too_long()

    def _too_long(self) -> Refusal:
        return Refusal(status=413, reason="message larger than %d bytes" % self.max_bytes)
