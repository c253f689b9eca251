"""Connections to one server: a bounded pool, and for each thread one of its own, for what is done all day.

The client's way around a command (out of the pool, is it alive, retries, back) costs as much CPU as reading
twenty records. A thread keeps its connection, and finds out for itself when the server has closed it.
"""

from __future__ import annotations

import threading
from typing import Any

from hiredis import pack_command
from redis import BlockingConnectionPool, ConnectionPool, Redis, RedisError
from redis.exceptions import ResponseError
from redis.sentinel import SentinelConnectionPool

from resolver import turn


class _Waits:
    """Whoever takes a connection out of the pool is about to wait."""

    def get_connection(self, *args: Any, **options: Any) -> Any:
        turn.pass_on()
        return super().get_connection(*args, **options)  # type: ignore[misc]


class SentinelPool(_Waits, SentinelConnectionPool):
    pass


class NodePool(_Waits, ConnectionPool):
    """Of one node of a cluster."""


class Pool(_Waits, BlockingConnectionPool):
    def __init__(self, *, is_near: bool, **settings: Any) -> None:
        """`is_near`: reading takes no longer than waking another thread would."""
        super().__init__(**settings)  # type: ignore[no-untyped-call]
        self._is_near = is_near
        self._own = threading.local()
        self._disconnected = 0

    def ask(self, *command: Any) -> Any:
        """The answer to a command that may be sent twice: the caller does, when its connection was closed."""
        if not self._is_near:
            turn.pass_on()
        return _exchanged(self._of_this_thread(), command)

    def tell(self, *command: Any) -> Any:
        """The answer to one that may not, and that waits for a disk: a connection that was closed meanwhile
        is found out before."""
        turn.pass_on()
        connection = self._of_this_thread()
        if connection.is_connected and not _is_quiet(connection):
            connection.disconnect()
        return _exchanged(connection, command)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Threads' own may be in use: each is closed before its next use."""
        super().disconnect(inuse_connections)
        self._disconnected += 1

    def _of_this_thread(self) -> Any:
        own = self._own
        connection = getattr(own, "connection", None)
        if connection is None:
            connection = own.connection = self.make_connection()  # type: ignore[no-untyped-call]
        elif own.disconnected != self._disconnected:
            connection.disconnect()
        own.disconnected = self._disconnected
        return connection


class Client(Redis):
    """Of one server: reading records and running scripts go over the thread's own connection."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(connection_pool=pool)
        self._pool = pool

    def mget(self, keys: Any, *more: Any) -> Any:
        return self._pool.ask("MGET", *keys, *more)

    def evalsha(self, sha: Any, numkeys: int, *keys_and_args: Any) -> Any:
        return self._pool.tell("EVALSHA", sha, numkeys, *keys_and_args)


def _exchanged(connection: Any, command: tuple[Any, ...]) -> Any:
    try:
        connection.send_packed_command([pack_command(command)], check_health=False)
        return connection.read_response()
    except ResponseError:
        raise  # an answer too
    except BaseException:
        # Whatever is still on its way would be the next command's answer.
        connection.disconnect()
        raise


def _is_quiet(connection: Any) -> bool:
    """Nobody has closed it, and nothing is on it that would be the next answer."""
    try:
        return not connection.can_read()
    except (RedisError, OSError):
        return False
