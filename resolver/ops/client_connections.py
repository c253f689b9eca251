"""Time limits for the client connections of a web process.

    idle ── first byte ──> receiving ── reply begins ──> sending ── reply is sent ──> idle …
                                                            └── last reply ──> closing

A greenlet that waits for its client is never interrupted. Instead, an overdue connection is shut down, and
its greenlet sees an ordinary end of file or error.
"""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

REQUEST_SECONDS: Final = 20.0
"""For receiving a request, head and body."""
REPLY_SECONDS: Final = 20.0
"""For sending a reply; for a stream, for sending each piece."""
CLOSING_SECONDS: Final = 2.0
"""For receiving what the client still sends after its last reply."""
_AT_ONCE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
_MOST_WITHOUT_PAUSE = 8

Clock = Callable[[], float]

IDLE, RECEIVING, SENDING, CLOSING, WORKING = range(5)
"""WORKING: the request is being handled, so no limit applies to the client."""


class ClientConnection:
    """A client's socket that notes what it waits for. Everything else is delegated to the socket."""

    def __init__(self, client: socket.socket, connections: ClientConnections) -> None:
        self._socket = client
        self._connections = connections
        self._requests = 0
        self._is_ended = False
        self.phase, self.since = IDLE, connections.clock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def handshake(self) -> None:
        """Complete the TLS handshake, within the time limit of a request."""
        if isinstance(self._socket, ssl.SSLSocket):
            self.enter(RECEIVING)
            self._socket.do_handshake()
            self.enter(IDLE)

    def recv(self, size: int) -> bytes:
        if self._was_ended():
            # The kernel delivers data even after a shutdown. The rest of a request that was cut off must not
            # be taken for the next request.
            return b""
        if self.phase != RECEIVING:
            self.enter(IDLE)
        try:
            data = self._socket.recv(size)
        except OSError:
            if not self._was_ended():
                raise
            return b""  # gevent raises where other sockets return an end of file
        if self.phase == IDLE and data:
            self.enter(RECEIVING)
        return data

    def sendall(self, data: bytes) -> None:
        self.enter(SENDING)
        try:
            self._socket.sendall(data)
        except OSError as error:
            if not self._is_ended:
                raise
            raise BrokenPipeError(errno.EPIPE, "the client took too long") from error
        self.enter(WORKING)

    def send(self, data: bytes) -> int:
        """Send gunicorn's 100 Continue, with a time limit: a client may not even read that."""
        self.sendall(data)
        self.enter(RECEIVING)
        return len(data)

    def begin_request(self) -> bool:
        """Note that the head of a request was received. Return whether to yield to other connections first: a
        client that pipelines requests never waits otherwise."""
        is_pipelined = self.phase != RECEIVING
        if is_pipelined:
            self.enter(RECEIVING)  # the body may still be on its way
        self._requests += 1
        return is_pipelined or self._requests % _MOST_WITHOUT_PAUSE == 0

    def close(self) -> None:
        """Close the connection after the client has finished sending. If it were closed earlier, the kernel
        would reset it, and the client would lose its reply."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self.enter(CLOSING)
            while self._socket.recv(_AT_ONCE):
                pass
        self._socket.close()

    def _was_ended(self) -> bool:
        return self._is_ended

    def enter(self, phase: int) -> None:
        self.phase, self.since = phase, self._connections.clock()

    def end(self) -> None:
        """Shut the connection down while its greenlet waits for it."""
        self._is_ended = True
        with suppress(OSError):
            if self.phase == SENDING:
                # Close with a reset: otherwise the kernel keeps the data that the client doesn't read.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            # A request that was cut off can still be answered. With TLS, shut down only the socket: the TLS
            # layer belongs to the connection's greenlet.
            how = socket.SHUT_RD if self.phase == RECEIVING else socket.SHUT_RDWR
            socket.socket.shutdown(self._socket, how)
        self.enter(WORKING)


class ClientConnections:
    """All client connections of a process."""

    def __init__(self, *, idle_seconds: float, most: int, clock: Clock = time.monotonic) -> None:
        """`most`: with more connections than this, those idle for longest are closed."""
        self.clock = clock
        self._most = most
        self._limits = {
            IDLE: idle_seconds,
            RECEIVING: REQUEST_SECONDS,
            SENDING: REPLY_SECONDS,
            CLOSING: CLOSING_SECONDS,
        }
        self._open: set[ClientConnection] = set()

    @contextmanager
    def opened(self, client: socket.socket) -> Iterator[ClientConnection]:
        """Track a connection while the block runs."""
        connection = ClientConnection(client, self)
        self._open.add(connection)
        try:
            yield connection
        finally:
            self._open.discard(connection)

    def stop(self, idle_seconds: float) -> None:
        """From now on, close idle connections after at most this time."""
        self._limits[IDLE] = min(idle_seconds, self._limits[IDLE])

    def end_overdue(self) -> None:
        """End the connections that have waited for too long, and idle ones when there are too many."""
        now, limits = self.clock(), self._limits
        for connection in list(self._open):
            limit = limits.get(connection.phase)
            if limit is not None and now - connection.since >= limit:
                connection.end()
        if (too_many := len(self._open) - self._most) > 0:
            idle = (connection for connection in self._open if connection.phase == IDLE)
            for connection in sorted(idle, key=lambda connection: connection.since)[:too_many]:
                connection.end()
