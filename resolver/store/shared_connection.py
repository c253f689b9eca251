"""One connection to Redis from connecting to its end, with one thread that reads and one that writes.

    submit() ──▶ unsent ──▶ writer ──▶ Redis
                              │
    wait() ◀── in flight ◀────┴─────── reader ◀── Redis

Replies come in the order of sending. When the connection ends, every exchange that waits for it fails.
"""

from __future__ import annotations

import copy
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hiredis import PushNotification, Reader, pack_command
from redis import (
    ConnectionError,  # noqa: A004 - Redis's own
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.connection import AbstractConnection
from redis.exceptions import InvalidResponse

from resolver.deadline import call_at
from resolver.store.shared_socket import SharedSocket, shared_socket

_LOOK_SECONDS = 0.05
_LARGEST_SEND = 64 * 1024
"""Bytes. The time to answer starts when a command is sent, so it isn't sent long after it was taken."""
_RECEIVE_BYTES = 64 * 1024
_INCOMPLETE = object()

Command = Sequence[Any]


class Exchange:
    """Commands that are sent in one piece, and their replies. An error that Redis replied is one of them."""

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
        """The replies. Raises ConnectionError or TimeoutError when the connection ended before they came."""
        self._is_settled.wait()
        if self.error:
            # Each thread raises an error of its own. What they have in common is the cause, which the circuit
            # breaker counts once.
            raise copy.copy(self.error) from self.error
        return self.replies

    def drop(self) -> None:
        """Throw replies away, those that are still to come as well."""
        self.is_dropped = True
        self.replies = []

    def settle(self, error: RedisError | None = None) -> None:
        self.error = error
        self._is_settled.set()


class SharedConnection:
    """A connection from connecting to its end, with one thread that reads and one that writes."""

    def __init__(self, make: Callable[[], AbstractConnection]) -> None:
        self._connection = make()
        self._answer_seconds = self._connection.socket_timeout or 0.5
        # For everything: Sentinels, name resolution, each address of a name, TLS, authentication.
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
        """Why no commands are taken, when connecting takes too long."""
        self._heard_at = time.monotonic()
        self._is_retired = self._is_watched = False
        self._overdue_looks = 0

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
                self._overdue_looks = 0
                self._watch()
            self._unsent.append(exchange)
        self._has_unsent.set()
        return True

    def retire(self) -> None:
        """End when the last reply has come."""
        with self._lock:
            self._is_retired = True
            if not (self._is_watched or self._error):
                self._watch()

    def end(self, error: RedisError) -> None:
        """Fail every exchange that waits."""
        with self._lock:
            waiting = self._end(error)
        for exchange in waiting:
            exchange.settle(error)

    def abandon(self) -> None:
        """Close a socket that the parent process goes on using."""
        with suppress(OSError):
            self._connection.disconnect()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        try:
            self._connection.connect()  # type: ignore[no-untyped-call]
            if shared := self._opened():
                self._serve(shared)
        except RedisError as error:
            self.end(copy.copy(error))  # without its traceback
        except Exception as error:  # noqa: BLE001 - whatever it was, commands wait
            self.end(ConnectionError(f"{type(error).__name__}: {error}"))
        finally:
            self.end(ConnectionError("the thread was ended"))
            self._connection.disconnect()  # type: ignore[no-untyped-call]

    def _opened(self) -> SharedSocket | None:
        """The socket, unless this ended while it connected."""
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
        """What to send next, which is in flight from now on."""
        packed: list[bytes] = []
        size, now = 0, time.monotonic()
        with self._lock:
            while self._unsent and size < _LARGEST_SEND:
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
                raise InvalidResponse("a reply that no command asked for")
            exchange = self._in_flight[0]
            if not exchange.is_dropped:
                exchange.replies.append(reply)
            exchange.missing -= 1
            if exchange.missing:
                return
            self._in_flight.popleft()
        exchange.settle()

    def _watch(self) -> None:
        """Raises ConnectionError when the watchdog's thread can't be started."""
        try:
            call_at(time.monotonic() + _LOOK_SECONDS, self._look)
        except RuntimeError as error:
            raise ConnectionError(str(error)) from error
        self._is_watched = True

    def _look(self) -> None:
        """Called by the watchdog while exchanges wait. One that is overdue at two looks in a row has waited
        long enough: a process that was itself held up reads first what has come meanwhile."""
        error = TimeoutError("no reply in time")
        with self._lock:
            self._overdue_looks = self._overdue_looks + 1 if self._is_overdue() else 0
            failed = self._give_up(error) if self._overdue_looks > 1 else []
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

    def _give_up(self, error: RedisError) -> list[Exchange]:
        if self._socket:
            return self._end(error)
        # Until it has connected, no exchange is taken. There is no second attempt meanwhile: each would keep
        # one more thread, if it is the look-up of the name that hangs.
        self._late = error
        return self._taken()

    def _end(self, error: RedisError) -> list[Exchange]:
        """With the lock. Only the reader closes the socket, when nothing uses it any more: its number may be
        that of another file afterwards."""
        if self._error:
            return []
        self._error = error
        if self._socket:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._has_unsent.set()
        return self._taken()

    def _taken(self) -> list[Exchange]:
        waiting = [*self._in_flight, *self._unsent]
        self._in_flight.clear()
        self._unsent.clear()
        return waiting
