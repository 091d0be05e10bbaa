# SPDX-License-Identifier: Apache-2.0
"""One thread, one epoll: moves bytes between sockets and the gateway, and tells it the time."""

import _socket
import os
import select
import time

from edgegate.core.events import (
    HTTP,
    LINES,
    Close,
    Closed,
    Due,
    Flushed,
    Opened,
    Received,
    Run,
    Send,
    Timer,
)
from edgegate.core.gateway import Gateway
from edgegate.linux import kernels

READ_BYTES = 65536
BACKLOG = 128
STOP_MS = 5000


def now_ms() -> int:
    return time.monotonic_ns() // 1000000


class Connection:
    """One accepted socket. `out`: bytes that it did not take yet."""

    __slots__ = ("closing", "name", "out", "socket")

    def __init__(self, name: int, socket: _socket.socket) -> None:
        self.name = name
        self.socket = socket
        self.out = b""
        self.closing = False


def listen(host: str, port: int) -> _socket.socket:
    """A listening socket; OSError when the address cannot be had."""
    family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
    socket = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        socket.bind((host, port))
        socket.listen(BACKLOG)
        socket.setblocking(False)
    except OSError:
        socket.close()
        raise
    return socket


class Server:
    """`run` serves until `stop_fd` becomes readable, then lets what is under way finish."""

    def __init__(self, gateway: Gateway, listener: _socket.socket, stop_fd: int) -> None:
        self.gateway = gateway
        self.listener = listener
        self.stop_fd = stop_fd
        self.epoll = select.epoll()
        self.by_fd: dict[int, Connection] = {}
        self.by_name: dict[int, Connection] = {}
        self.timers: dict[int, int] = {}
        self.earliest_ms: int | None = None
        self.names = 0
        self.accepting = False
        self.stop_ms: int | None = None
        self.acts: dict = {Send: self._send, Close: self._close, Timer: self._timer, Run: self._run}
        self.epoll.register(stop_fd, select.EPOLLIN)
        self._accept_more()

    def run(self) -> None:
        while self.stop_ms is None or (self.by_fd and now_ms() < self.stop_ms):
            for fd, _mask in self.epoll.poll(self._patience(), 64):
                if fd == self.stop_fd:
                    self._stop()
                elif fd == self.listener.fileno():
                    self._accept()
                elif fd in self.by_fd:
                    self._ready(self.by_fd[fd])
            self._fire()
        for connection in list(self.by_fd.values()):
            self._forget(connection)
        self.epoll.close()

    def _patience(self) -> float:
        """Seconds until something is due, -1 for ever."""
        due = self.earliest_ms
        if self.stop_ms is not None:
            due = self.stop_ms if due is None else min(due, self.stop_ms)
        if due is None:
            return -1
        return max(0, due - now_ms()) / 1000 + 0.001

    def _fire(self) -> None:
        now = now_ms()
        if self.earliest_ms is None or now < self.earliest_ms:
            return
        due = [name for name, at in self.timers.items() if at <= now]
        for name in due:
            del self.timers[name]
        self.earliest_ms = min(self.timers.values()) if self.timers else None
        for name in due:
            self._tell(Due(peer=name))

    def _stop(self) -> None:
        os.read(self.stop_fd, 8)
        if self.stop_ms is not None:
            self.stop_ms = 0  # asked a second time: at once
            return
        self.stop_ms = now_ms() + STOP_MS
        if self.accepting:
            self.epoll.unregister(self.listener)
        self.listener.close()
        self._act(self.gateway.stop(now_ms()))

    # --- connections --------------------------------------------------------------------------

    def _accept_more(self) -> None:
        if not self.accepting and self.stop_ms is None:
            self.epoll.register(self.listener, select.EPOLLIN)
            self.accepting = True

    def _accept(self) -> None:
        try:
            fd, _address = self.listener._accept()  # type: ignore[attr-defined]  # as socket.py does
        except BlockingIOError:
            return
        except OSError:  # no descriptor left: wait until a connection ends
            self.epoll.unregister(self.listener)
            self.accepting = False
            return
        socket = _socket.socket(fileno=fd)
        socket.setblocking(False)
        socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self.names += 1
        connection = Connection(self.names, socket)
        self.by_fd[fd] = connection
        self.by_name[self.names] = connection
        self.epoll.register(fd, select.EPOLLIN)
        self._tell(Opened(peer=self.names, framing=HTTP))

    def _forget(self, connection: Connection) -> None:
        """Close at once, and tell the gateway."""
        fd = connection.socket.fileno()
        if fd < 0:
            return
        self.epoll.unregister(fd)
        connection.socket.close()
        del self.by_fd[fd]
        del self.by_name[connection.name]
        self.timers.pop(connection.name, None)
        self._accept_more()
        self._tell(Closed(peer=connection.name))

    def _ready(self, connection: Connection) -> None:
        if connection.out:
            self._flush(connection)
            if not connection.out and connection.name in self.by_name:
                self.epoll.modify(connection.socket, select.EPOLLIN)
                if connection.closing:
                    self._half_close(connection)
                else:
                    self._tell(Flushed(peer=connection.name))
            return
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(connection)
        elif not connection.closing:
            self._tell(Received(peer=connection.name, data=data))

    def _flush(self, connection: Connection) -> None:
        try:
            sent = connection.socket.send(connection.out)
        except BlockingIOError:
            return
        except OSError:
            connection.out = b""
            self._forget(connection)
            return
        connection.out = connection.out[sent:]

    def _half_close(self, connection: Connection) -> None:
        """Say that no more comes, then read to the end: a reset would eat the answer."""
        try:
            connection.socket.shutdown(_socket.SHUT_WR)
        except OSError:
            self._forget(connection)

    # --- effects ------------------------------------------------------------------------------

    def _tell(self, event: object) -> None:
        self._act(self.gateway.feed(event, now_ms()))

    def _act(self, effects: list) -> None:
        """Do the effects, and those of the events that they cause."""
        while effects:
            later: list = []
            for effect in effects:
                event = self.acts[type(effect)](effect)
                if event is not None:
                    later.extend(self.gateway.feed(event, now_ms()))
            effects = later

    def _send(self, effect: Send) -> Flushed | None:
        connection = self.by_name.get(effect.peer)
        if connection is None:
            return None
        waiting = bool(connection.out)
        connection.out += effect.data
        if not waiting:
            self._flush(connection)
        if effect.peer not in self.by_name:
            return None
        if connection.out:
            self.epoll.modify(connection.socket, select.EPOLLOUT)
            return None
        return Flushed(peer=effect.peer)

    def _close(self, effect: Close) -> None:
        connection = self.by_name.get(effect.peer)
        if connection is None:
            return
        if connection.closing:
            self._forget(connection)
            return
        connection.closing = True
        if not connection.out:
            self._half_close(connection)

    def _timer(self, effect: Timer) -> None:
        if effect.due_ms is None or effect.peer not in self.by_name:
            self.timers.pop(effect.peer, None)
            return
        self.timers[effect.peer] = effect.due_ms
        if self.earliest_ms is None or effect.due_ms < self.earliest_ms:
            self.earliest_ms = effect.due_ms

    def _run(self, effect: Run) -> object:
        return kernels.run(effect)


def serve_lines(gateway: Gateway, source_fd: int, sink_fd: int) -> None:
    """One line peer on two descriptors, until end of file; for --stdio."""
    effects = gateway.feed(Opened(peer=0, framing=LINES), now_ms())
    while True:
        while effects:
            later: list = []
            for effect in effects:
                if type(effect) is Send:
                    _write_all(sink_fd, effect.data)
                    later.extend(gateway.feed(Flushed(peer=0), now_ms()))
                elif type(effect) is Run:
                    later.extend(gateway.feed(kernels.run(effect), now_ms()))
            effects = later
        data = os.read(source_fd, READ_BYTES)
        if not data:
            return
        effects = gateway.feed(Received(peer=0, data=data), now_ms())


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
