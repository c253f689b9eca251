"""The connections of a web process: what each one waits for, and how long it may.

    idle ── first byte ──> receiving ── reply begins ──> sending ── reply is sent ──> idle …
                                                            └── last reply ──> closing

A greenlet that waits for its client is never interrupted. A connection that has waited for too long is shut
down, and its greenlet goes on with an ordinary end of file or error.
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
"""For sending a reply; of a stream, for sending each of its pieces."""
CLOSING_SECONDS: Final = 2.0
"""For what the client is still sending when its last reply is out."""
_AT_ONCE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
_MOST_WITHOUT_PAUSE = 8

Clock = Callable[[], float]

IDLE, RECEIVING, SENDING, CLOSING, WORKING = range(5)
"""WORKING: the client waits, and not the connection."""


class ClientConnection:
    """A client's socket that notes what it waits for. Everything else about it is the socket's."""

    def __init__(self, client: socket.socket, connections: ClientConnections) -> None:
        self._socket = client
        self._connections = connections
        self._requests = 0
        self._is_ended = False
        self.phase, self.since = IDLE, connections.clock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def handshake(self) -> None:
        """Complete the TLS handshake, which a client must not draw out any more than a request."""
        if isinstance(self._socket, ssl.SSLSocket):
            self.enter(RECEIVING)
            self._socket.do_handshake()
            self.enter(IDLE)

    def recv(self, size: int) -> bytes:
        if self._was_ended():
            # The kernel still delivers what comes after a shutdown. The rest of a request that was cut off
            # must not pass for the next one.
            return b""
        if self.phase != RECEIVING:
            self.enter(IDLE)
        try:
            data = self._socket.recv(size)
        except OSError:
            if not self._was_ended():
                raise
            return b""  # gevent raises where other sockets are at their end
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
        """Send what gunicorn sends before it reads a body: 100 Continue. A client may not take even that."""
        self.sendall(data)
        self.enter(RECEIVING)
        return len(data)

    def begin_request(self) -> bool:
        """Note that the head of a request is there. Returns whether it is time to let other connections go
        first: a client that sends its requests in one go is never waited for."""
        is_pipelined = self.phase != RECEIVING
        if is_pipelined:
            self.enter(RECEIVING)  # the body may still be on its way
        self._requests += 1
        return is_pipelined or self._requests % _MOST_WITHOUT_PAUSE == 0

    def close(self) -> None:
        """Close the connection once the client has finished sending: closed before that, the system would
        reset it, and the client would lose its reply."""
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
        """Shut the connection down under the greenlet that waits for it."""
        self._is_ended = True
        with suppress(OSError):
            if self.phase == SENDING:
                # Closed with a reset: the kernel would go on holding what the client doesn't take.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            # A request that was cut off can still be answered. Under TLS, too, it is the socket that is shut
            # down: the layer above it is its own greenlet's business.
            how = socket.SHUT_RD if self.phase == RECEIVING else socket.SHUT_RDWR
            socket.socket.shutdown(self._socket, how)
        self.enter(WORKING)


class ClientConnections:
    """All client connections of a process."""

    def __init__(self, *, idle_seconds: float, most: int, clock: Clock = time.monotonic) -> None:
        """`most`: how many there may be before those that have been idle for longest are closed."""
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
        """A connection for as long as it is open."""
        connection = ClientConnection(client, self)
        self._open.add(connection)
        try:
            yield connection
        finally:
            self._open.discard(connection)

    def stop(self, idle_seconds: float) -> None:
        """Close idle connections after so little time from now on."""
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
