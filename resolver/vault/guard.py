"""What every use of Redis passes: is there time, is it our database, and a failure is VaultUnavailable.

    with guard:
        redis.get(…)

A Redis that doesn't answer holds each caller for its whole timeout. After three timeouts in a row callers are
turned away at once, but for one every half second who finds out whether it is back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib.resources import files
from types import TracebackType

from redis import ConnectionError as RedisConnectionError
from redis import ReadOnlyError, Redis, RedisError
from redis import TimeoutError as RedisTimeoutError

from resolver.deadline import CURRENT
from resolver.errors import VaultUnavailable
from resolver.vault.connect import ANSWER_SECONDS
from resolver.vault.fingerprint import Fingerprint
from resolver.vault.keyspace import Keyspace

_PATIENCE = 3
_PROBE_SECONDS = 0.5


class Guard:
    def __init__(self, redis: Redis, keyspace: Keyspace, is_ours: Callable[[str], bool]) -> None:
        self._redis = redis
        self._fingerprint = Fingerprint(redis, keyspace, is_ours)
        self._timeouts = 0
        self._next_probe = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if deadline := CURRENT.get():
            deadline.require(ANSWER_SECONDS)
        self._turn_away()
        try:
            self._fingerprint.check()
        except RedisError as error:
            raise self._judged(error) from error

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, RedisError):
            raise self._judged(error) from error
        if error is None:
            self._timeouts = 0

    def _turn_away(self) -> None:
        if self._timeouts < _PATIENCE:
            return
        with self._lock:
            now = time.monotonic()
            if now < self._next_probe:
                raise VaultUnavailable("redis: not answering")
            self._next_probe = now + _PROBE_SECONDS

    def _judged(self, error: RedisError) -> VaultUnavailable:
        # Any other error is an answer, if not a happy one: somebody is there.
        self._timeouts = (
            self._timeouts + 1 if isinstance(error, RedisTimeoutError | RedisConnectionError) else 0
        )
        if isinstance(error, ReadOnlyError):
            # Failed over under our feet: these connections lead to what is now a replica.
            self._redis.connection_pool.disconnect(inuse_connections=False)
        return VaultUnavailable(f"redis: {type(error).__name__}")


def read_script(package: str, name: str) -> str:
    return files(package).joinpath(f"scripts/{name}.lua").read_text(encoding="utf-8")
