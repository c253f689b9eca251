"""Connections to one server: a bounded pool, and for each thread one of its own to read with.

The client's way around a command (out of the pool, is it alive, retries, back) costs as much CPU as reading
twenty records. Reading may be repeated, so a thread can keep its connection and find out at its next use that
the server closed it.
"""

from __future__ import annotations

import threading
from typing import Any

from redis import BlockingConnectionPool, ConnectionPool
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

    def ask(self, *command: str) -> Any:
        """The answer to a command that may be sent twice."""
        connection = self._of_this_thread()
        if not self._is_near:
            turn.pass_on()
        try:
            connection.send_packed_command(connection.pack_command(*command), check_health=False)
            return connection.read_response()
        except BaseException:
            # Whatever is still on its way would be the next command's answer.
            connection.disconnect()
            raise

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Those that threads read with may be in use: each is closed before its next use."""
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
