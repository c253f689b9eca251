"""One connection to a Redis server, shared by all threads of a process.

Commands of several threads are sent together, and each reply wakes the thread that waits for it. When the
connection ends, every command in flight fails, and the next command connects anew. No command is sent twice:
a write may have run although its reply was lost. The reader notices at once when Redis closes an idle
connection, so no write is sent into a closed one.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from typing import Any, Final, Protocol, cast

from redis import (
    ConnectionError,  # noqa: A004 - Redis's own
    ConnectionPool,
    Redis,
    RedisError,
)
from redis.connection import AbstractConnection

from resolver.errors import Overloaded
from resolver.store.shared_connection import Command, Exchange, SharedConnection

PIECE: Final = 100
"""Maximum number of keys in one MGET."""
_MAX_WAIT_SECONDS = 0.5
Values = list[bytes | None]
Admit = Callable[[int], None]
"""Called with a number of bytes; raises when the reply would become too large."""


class MultiplexedConnection:
    """A connection that is made at first use, and again after it was lost."""

    def __init__(self, make: Callable[[], AbstractConnection]) -> None:
        """`make` returns an unconnected redis-py connection, which handles Sentinels, TLS, authentication and
        the database."""
        self._make = make
        self._lock = threading.Lock()
        self._link: SharedConnection | None = None
        _all.add(self)

    def call(self, *command: Any) -> Any:
        """Send one command and return the reply. Raises the error that Redis replied."""
        return only(self.send([command]).wait())

    def send(self, commands: Sequence[Command]) -> Exchange:
        """Send commands without waiting for their replies. Raises ConnectionError when no thread can be
        started."""
        exchange = Exchange(commands)
        link = self._link
        if link is None or not link.submit(exchange):
            self._connect(exchange)
        return exchange

    def replace(self) -> None:
        """Connect anew for the next command. Commands in flight still get their replies."""
        if link := self._detach():
            link.retire()

    def close(self) -> None:
        """Disconnect, and fail every command in flight."""
        if link := self._detach():
            link.end(ConnectionError("the connection was closed"))

    def _connect(self, exchange: Exchange) -> None:
        with self._lock:
            if self._link and self._link.submit(exchange):
                return  # another thread has connected
            link = SharedConnection(self._make)
            link.submit(exchange)
            link.start()
            self._link = link

    def _detach(self) -> SharedConnection | None:
        with self._lock:
            link, self._link = self._link, None
        return link

    def reset_after_fork(self) -> None:
        """Forget the connection in a child process: the parent's threads don't run there, and any lock may be
        held."""
        self._lock = threading.Lock()
        link, self._link = self._link, None
        if link:
            link.abandon()


def only(replies: Sequence[Any]) -> Any:
    """Return the reply to one command. Raises the error that Redis replied."""
    (reply,) = replies
    if isinstance(reply, Exception):
        raise reply
    return reply


class Read(Protocol):
    """A read in flight."""

    @property
    def exchanges(self) -> Sequence[Exchange]: ...

    def values(self) -> Values:
        """Wait for the values."""


class PieceReader:
    """Reads values in pieces of at most 100 keys. Only one read of several pieces is in flight at a time, so
    that small reads don't wait for many large ones."""

    def __init__(self, send: Callable[[Sequence[str]], Read]) -> None:
        self._send = send
        self._large_read = threading.Lock()

    def pieces(self, names: Sequence[str]) -> Generator[Values, None, None]:
        """Yield values in the order of the names, read in one round trip. A caller that stops early must
        close the iterator, which then waits for the remaining pieces and discards them.

        Raises Overloaded when other large reads take too long.
        """
        if len(names) <= PIECE:
            yield self._send(names).values()
            return
        if not self._large_read.acquire(timeout=_MAX_WAIT_SECONDS):
            raise Overloaded("redis: busy with other large reads")
        reads: deque[Read] = deque()
        try:
            for start in range(0, len(names), PIECE):
                reads.append(self._send(names[start : start + PIECE]))
            while reads:
                yield reads.popleft().values()
        finally:
            try:
                _drop([exchange for read in reads for exchange in read.exchanges])
            finally:
                self._large_read.release()


def _drop(exchanges: Sequence[Exchange]) -> None:
    for exchange in exchanges:
        exchange.drop()
    for exchange in exchanges:
        with suppress(RedisError):
            exchange.wait()


class _ServerRead:
    """One MGET."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchanges = (exchange,)

    def values(self) -> Values:
        return cast(Values, only(self.exchanges[0].wait()))


class Client(Redis):
    """A client of one server, or of the master that Sentinels name. It reads strings and runs scripts over
    one connection for the whole process, and uses the pool for everything else."""

    def __init__(self, connection_pool: ConnectionPool) -> None:
        super().__init__(connection_pool=connection_pool)
        self._multiplexed = multiplexed(connection_pool)
        self._reader = PieceReader(self._send_read)

    def get_many(self, names: Sequence[str]) -> Values:
        """Read up to 100 keys; the values are in the order of the names."""
        return cast(Values, self._multiplexed.call("MGET", *names))

    def get_in_pieces(self, names: Sequence[str]) -> Generator[Values, None, None]:
        return self._reader.pieces(names)

    def get(self, name: Any) -> Any:
        return self._multiplexed.call("GET", name)

    def evalsha(self, sha: Any, numkeys: int, *keys_and_args: Any) -> Any:
        return self._multiplexed.call("EVALSHA", sha, numkeys, *keys_and_args)

    def script_load(self, script: Any) -> Any:
        """Load a script. Many threads may find it missing at once, more than the pool serves."""
        return self._multiplexed.call("SCRIPT", "LOAD", script)

    def reset_connections(self) -> None:
        """Connect anew for the next command; commands in flight are not interrupted."""
        self.connection_pool.disconnect(inuse_connections=False)
        self._multiplexed.replace()

    def close(self) -> None:
        super().close()
        self.connection_pool.disconnect()
        self._multiplexed.close()

    def __del__(self) -> None:
        """Close nothing: garbage collection may interrupt a thread that holds the lock needed to close."""

    def _send_read(self, names: Sequence[str]) -> _ServerRead:
        return _ServerRead(self._multiplexed.send([("MGET", *names)]))


def read_into(values: Values, redis: Redis, names: Sequence[str], admit: Admit | None = None) -> None:
    """Append the values of keys in the order of the names, in one round trip to each server.

    Values come in pieces of at most 100. `admit` is called with the number of bytes of each piece before it
    is appended; when it raises, that piece and the later ones are discarded.
    """
    client = cast(Client, redis)
    if len(names) <= PIECE:
        found: AbstractContextManager[Iterable[Values]] = nullcontext([client.get_many(names)])
    else:
        found = closing(client.get_in_pieces(names))
    with found as pieces:
        for piece in pieces:
            if admit:
                admit(sum(map(len, filter(None, piece))))
            values += piece


def get_all(redis: Redis, names: Sequence[str]) -> Values:
    values: Values = []
    read_into(values, redis, names)
    return values


def multiplexed(pool: ConnectionPool) -> MultiplexedConnection:
    """Make a connection with the pool's settings, outside the pool."""
    return MultiplexedConnection(lambda: pool.connection_class(**pool.connection_kwargs))


_all: weakref.WeakSet[MultiplexedConnection] = weakref.WeakSet()


def _reset_after_fork() -> None:
    for connection in list(_all):
        connection.reset_after_fork()


os.register_at_fork(after_in_child=_reset_after_fork)
