"""One connection to Redis from connecting to its end, with one thread that reads and one that writes.

    submit() ──▶ unsent ──▶ writer ──▶ Redis
                              │
    wait() ◀── in flight ◀────┴─────── reader ◀── Redis

Replies come in the order of sending. When the connection ends, every exchange in flight fails.

The threads share the socket. The operating system permits that for a plain socket. OpenSSL doesn't: a TLS
session takes one call at a time, and a reader that waited for the network in such a call would block the
writer.
"""

from __future__ import annotations

import copy
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from hiredis import PushNotification, Reader, pack_command
from redis import (
    ConnectionError,  # noqa: A004 - Redis's own
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.connection import AbstractConnection
from redis.exceptions import InvalidResponse

from resolver.deadline import call_at

_Result = TypeVar("_Result")


class SharedSocket(Protocol):
    """The methods used of a socket. They block without a time-out; `shutdown` ends them."""

    def recv_into(self, buffer: bytearray, /) -> int: ...

    def sendall(self, data: bytes, /) -> None: ...

    def shutdown(self, how: int, /) -> None: ...


def shared_socket(connection: AbstractConnection) -> SharedSocket:
    """The socket of a redis-py connection that has connected."""
    sock = connection._get_socket()
    if sock is None:
        raise OSError("not connected")
    if isinstance(sock, ssl.SSLSocket):
        return _SharedTLSSocket(sock)
    sock.settimeout(None)
    return sock


class _SharedTLSSocket:
    """Calls OpenSSL under a lock, and waits for the network without it."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._lock = threading.Lock()

    def recv_into(self, buffer: bytearray, /) -> int:
        return self._repeat(lambda: self._sock.recv_into(buffer))

    def sendall(self, data: bytes, /) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._repeat(lambda: self._sock.send(rest)) :]  # noqa: B023 - called at once

    def shutdown(self, how: int, /) -> None:
        # SSLSocket's own method forgets the TLS session first: a send after it would not be encrypted.
        socket.socket.shutdown(self._sock, how)

    def _repeat(self, call: Callable[[], _Result]) -> _Result:
        """Repeat a call until it no longer has to wait for the network."""
        while True:
            try:
                with self._lock:
                    return call()
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def _wait(self, event: int) -> None:
        waiting = select.poll()
        waiting.register(self._sock, event)
        waiting.poll()


_CHECK_SECONDS = 0.05
_MAX_SEND_BYTES = 64 * 1024
"""Small, because the time limit of a reply starts when its command is taken for sending."""
_RECEIVE_BYTES = 64 * 1024
_INCOMPLETE = object()

Command = Sequence[Any]


class Exchange:
    """Commands sent in one piece, and their replies; an error that Redis replied is a reply."""

    __slots__ = ("_is_settled", "error", "is_dropped", "missing", "packed", "replies", "sent_at")

    def __init__(self, commands: Sequence[Command]) -> None:
        self.packed = b"".join(map(pack_command, map(tuple, commands)))
        self.missing = len(commands)
        self.replies: list[Any] = []
        self.is_dropped = False
        self.sent_at = 0.0
        self.error: RedisError | None = None
        self._is_settled = threading.Event()

    def wait(self) -> list[Any]:
        """Wait for the replies. Raises ConnectionError or TimeoutError when the connection ends before."""
        self._is_settled.wait()
        if self.error:
            # A copy, since each thread adds its own traceback. The common cause lets the circuit breaker
            # count the failure once.
            raise copy.copy(self.error) from self.error
        return self.replies

    def drop(self) -> None:
        """Discard the replies, also those still to come."""
        self.is_dropped = True
        self.replies = []

    def settle(self, error: RedisError | None = None) -> None:
        self.error = error
        self._is_settled.set()


class SharedConnection:
    def __init__(self, make: Callable[[], AbstractConnection]) -> None:
        self._connection = make()
        self._answer_seconds = self._connection.socket_timeout or 0.5
        # For all of it: Sentinels, name resolution, each address of a name, TLS, authentication.
        self._connect_seconds = 2 * self._answer_seconds
        self._lock = threading.Lock()
        self._unsent: deque[Exchange] = deque()
        self._in_flight: deque[Exchange] = deque()
        self._has_unsent = threading.Event()
        self._socket: SharedSocket | None = None
        """None while connecting."""
        self._error: RedisError | None = None
        """Why it ended."""
        self._late: RedisError | None = None
        """Set when connecting takes too long: commands fail with it until the connection is made."""
        self._heard_at = time.monotonic()
        self._is_retired = self._is_watched = False
        self._overdue_checks = 0

    def start(self) -> None:
        try:
            threading.Thread(target=self._run, name="redis-reader", daemon=True).start()
        except RuntimeError as error:
            self.end(ConnectionError(str(error)))

    def submit(self, exchange: Exchange) -> bool:
        """Queue an exchange for sending. False when the connection has ended."""
        with self._lock:
            if self._error:
                return False
            if self._late:
                exchange.settle(self._late)
                return True
            if not self._is_watched:
                self._overdue_checks = 0
                self._watch()
            self._unsent.append(exchange)
        self._has_unsent.set()
        return True

    def retire(self) -> None:
        """End the connection after the last reply."""
        with self._lock:
            self._is_retired = True
            if not (self._is_watched or self._error):
                self._watch()

    def end(self, error: RedisError) -> None:
        """End the connection, and fail every exchange that waits."""
        with self._lock:
            waiting = self._end(error)
        for exchange in waiting:
            exchange.settle(error)

    def abandon(self) -> None:
        """Close this process's copy of a socket that the parent process uses."""
        with suppress(OSError):
            self._connection.disconnect()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        try:
            self._connection.connect()  # type: ignore[no-untyped-call]
            if shared := self._opened():
                self._serve(shared)
        except RedisError as error:
            self.end(copy.copy(error))  # without its traceback
        except Exception as error:  # noqa: BLE001 - commands wait, and must fail
            self.end(ConnectionError(f"{type(error).__name__}: {error}"))
        finally:
            self.end(ConnectionError("the thread was ended"))
            self._connection.disconnect()  # type: ignore[no-untyped-call]

    def _opened(self) -> SharedSocket | None:
        """Start to use the socket; None when the connection was ended meanwhile."""
        with self._lock:
            if self._error:
                return None
            self._socket = shared_socket(self._connection)
            self._late = None
            return self._socket

    def _serve(self, shared: SharedSocket) -> None:
        writer = threading.Thread(target=self._write, args=(shared,), name="redis-writer", daemon=True)
        writer.start()
        try:
            self._read(shared)
        except (OSError, InvalidResponse) as error:
            self.end(ConnectionError(f"while reading: {error}"))
        finally:
            self.end(ConnectionError("closed by Redis"))
            writer.join()

    def _write(self, shared: SharedSocket) -> None:
        try:
            while not self._error:
                self._has_unsent.wait()
                self._has_unsent.clear()
                while packed := self._next_packed():
                    shared.sendall(packed)
        except OSError as error:
            self.end(ConnectionError(f"while writing: {error}"))
        finally:
            self.end(ConnectionError("the writer was ended"))

    def _next_packed(self) -> bytes:
        """Take the next commands to send; they are in flight from now on."""
        packed: list[bytes] = []
        size, now = 0, time.monotonic()
        with self._lock:
            while self._unsent and size < _MAX_SEND_BYTES:
                exchange = self._unsent.popleft()
                packed.append(exchange.packed)
                size += len(exchange.packed)
                exchange.packed, exchange.sent_at = b"", now
                self._in_flight.append(exchange)
        return packed[0] if len(packed) == 1 else b"".join(packed)

    def _read(self, shared: SharedSocket) -> None:
        reader = Reader(
            protocolError=InvalidResponse,
            replyError=self._connection._get_parser().parse_error,
            notEnoughData=_INCOMPLETE,
        )
        buffer = bytearray(_RECEIVE_BYTES)
        while received := shared.recv_into(buffer):
            reader.feed(buffer, 0, received)  # type: ignore[arg-type]
            self._heard_at = time.monotonic()
            while (reply := reader.gets()) is not _INCOMPLETE:
                if not isinstance(reply, PushNotification):
                    self._deliver(reply)

    def _deliver(self, reply: Any) -> None:
        with self._lock:
            if not self._in_flight:
                raise InvalidResponse("a reply without a command")
            exchange = self._in_flight[0]
            if not exchange.is_dropped:
                exchange.replies.append(reply)
            exchange.missing -= 1
            if exchange.missing:
                return
            self._in_flight.popleft()
        exchange.settle()

    def _watch(self) -> None:
        """Have `_check` called soon. Raises ConnectionError when the watchdog's thread can't be started."""
        try:
            call_at(time.monotonic() + _CHECK_SECONDS, self._check)
        except RuntimeError as error:
            raise ConnectionError(str(error)) from error
        self._is_watched = True

    def _check(self) -> None:
        """Time out when a reply is overdue at two checks in a row; the watchdog calls this while exchanges
        wait. Two, because a process that was itself suspended must first read the replies that have come."""
        error = TimeoutError("no reply in time")
        with self._lock:
            self._overdue_checks = self._overdue_checks + 1 if self._is_overdue() else 0
            failed = self._time_out(error) if self._overdue_checks > 1 else []
            self._is_watched = False
            if self._in_flight or self._unsent:
                self._watch()
            elif self._is_retired:
                self._end(ConnectionError("the connection was replaced"))
        for exchange in failed:
            exchange.settle(error)

    def _is_overdue(self) -> bool:
        now = time.monotonic()
        if self._socket is None:
            return now - self._heard_at > self._connect_seconds
        if not self._in_flight:
            return False
        return now - max(self._in_flight[0].sent_at, self._heard_at) > self._answer_seconds

    def _time_out(self, error: RedisError) -> list[Exchange]:
        if self._socket:
            return self._end(error)
        # New exchanges fail until this attempt ends. A second attempt meanwhile would block one more thread
        # if name resolution hangs.
        self._late = error
        return self._take_waiting()

    def _end(self, error: RedisError) -> list[Exchange]:
        """End the connection and return the exchanges to fail; call it with the lock held.

        The socket is only shut down. The reader closes it when no thread uses it any more, since the number
        of a closed socket may be given to another file.
        """
        if self._error:
            return []
        self._error = error
        if self._socket:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._has_unsent.set()
        return self._take_waiting()

    def _take_waiting(self) -> list[Exchange]:
        waiting = [*self._in_flight, *self._unsent]
        self._in_flight.clear()
        self._unsent.clear()
        return waiting
