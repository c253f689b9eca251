"""Connections to one server: a bounded pool, and for each thread one of its own, for what is done all day.

The client's way around a command (out of the pool, is it alive, retries, back) costs as much CPU as reading
twenty records. A thread keeps its connection, and finds out for itself when the server has closed it.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from hiredis import pack_command
from redis import (
    BlockingConnectionPool,
    ConnectionError,  # noqa: A004 - Redis's own
    ConnectionPool,
    Redis,
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.exceptions import ResponseError
from redis.sentinel import SentinelConnectionPool

from resolver import aside

_AWHILE = 0.05
_LEAST_SECONDS = 0.05
"""For what has arrived, and is more than one piece."""
_MOST_UNSENT = 8
"""The server begins with these while others ask."""


class _Waits:
    """Whoever takes a connection out of the pool is about to wait."""

    def get_connection(self, *args: Any, **options: Any) -> Any:
        return super().get_connection(*args, **options)  # type: ignore[misc]


class SentinelPool(_Waits, SentinelConnectionPool):
    pass


class NodePool(_Waits, ConnectionPool):
    """Of one node of a cluster."""


class SharedFate(Exception):
    """What ended somebody else's command on the same connection."""


class _AlsoClosed(SharedFate, ConnectionError):
    pass


class _AlsoTimedOut(SharedFate, TimeoutError):
    pass


class _Line:
    """One connection, for several who ask before the first of them reads: in the order of asking."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._unsent: list[bytes] = []
        self._asked = self._read = 0
        self._sent_at = 0.0
        self._fate: type[SharedFate] = _AlsoClosed

    def ask(self, command: tuple[Any, ...]) -> int:
        """Its number, to read the answer by."""
        self._unsent.append(pack_command(command))
        self._asked += 1
        if len(self._unsent) == _MOST_UNSENT:
            self.send()
        return self._asked

    def send(self) -> None:
        """What was asked, if it wasn't sent yet: several commands in one piece wake the server once."""
        if not self._unsent:
            return
        unsent, self._unsent = self._unsent, []
        self._sent_at = time.monotonic()
        try:
            self._connection.send_packed_command([b"".join(unsent)], check_health=False)
        except BaseException as error:
            self.close(error)
            raise

    def read(self, number: int) -> Any:
        if number <= self._read:
            raise self._fate  # it was closed meanwhile
        if number != self._read + 1:
            self.close()  # rather than give out what is somebody else's
            raise self._fate
        self.send()
        try:
            answer = self._connection.read_response(**self._patience())
        except ResponseError:
            self._read = number
            raise  # an answer too
        except BaseException as error:
            # Whatever is still on its way would be the next command's answer.
            self.close(error)
            raise
        self._read = number
        return answer

    def _patience(self) -> dict[str, float]:
        """From sending on: those who asked together wait together, not each after the other."""
        waited = time.monotonic() - self._sent_at
        if waited <= _AWHILE:
            return {}
        return {"timeout": max(_LEAST_SECONDS, self._connection.socket_timeout - waited)}

    def require_quiet(self) -> None:
        """Closes it unless nobody has, and nothing is on it that would be the next answer."""
        if self._asked > self._read or not self._connection.is_connected:
            return  # it was looked at before the first of those who asked
        try:
            if self._connection.can_read():
                self.close()
        except (RedisError, OSError) as error:
            self.close(error)

    def close(self, reason: BaseException | None = None) -> None:
        self._connection.disconnect()
        self._unsent.clear()
        self._read = self._asked
        self._fate = _AlsoTimedOut if isinstance(reason, TimeoutError) else _AlsoClosed


class Pool(_Waits, BlockingConnectionPool):
    def __init__(self, *, is_near: bool, **settings: Any) -> None:
        """`is_near`: reading takes no longer than waking another thread would."""
        super().__init__(**settings)  # type: ignore[no-untyped-call]
        self._is_near = is_near
        self._own = threading.local()
        self._disconnected = 0

    def ask(self, *command: Any) -> Any:
        """The answer to a command that may be sent twice: the caller does, when its connection was closed.
        Others of its thread may ask before it is read."""
        line = self._line()
        answer = line.ask(command)
        if not aside.step():
            aside.all_go_on()  # who asked before reads before
            if not self._is_near:
                line.send()
        return line.read(answer)

    def tell(self, *command: Any) -> Any:
        """The answer to one that may not, and that waits for a disk: a connection that was closed meanwhile
        is found out before."""
        line = self._line()
        line.require_quiet()
        answer = line.ask(command)
        aside.step()
        return line.read(answer)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Threads' own may be in use: each is closed before its next use."""
        super().disconnect(inuse_connections)
        self._disconnected += 1

    def _line(self) -> _Line:
        """This thread's."""
        own = self._own
        line: _Line | None = getattr(own, "line", None)
        if line is None:
            line = own.line = _Line(self.make_connection())  # type: ignore[no-untyped-call]
        elif own.disconnected != self._disconnected:
            line.close()
        own.disconnected = self._disconnected
        return line


class Client(Redis):
    """Of one server: reading records and running scripts go over the thread's own connection."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(connection_pool=pool)
        self._pool = pool

    def mget(self, keys: Any, *more: Any) -> Any:
        return self._pool.ask("MGET", *keys, *more)

    def evalsha(self, sha: Any, numkeys: int, *keys_and_args: Any) -> Any:
        return self._pool.tell("EVALSHA", sha, numkeys, *keys_and_args)
