"""What every use of Redis passes: is there time, is it our database and no old one, and a failure is
VaultUnavailable.

with guard:
    redis.get(…)
"""

from __future__ import annotations

import time
from importlib.resources import files
from types import TracebackType

from redis import ConnectionError as RedisConnectionError
from redis import ReadOnlyError, Redis, RedisError
from redis import TimeoutError as RedisTimeoutError
from redis.exceptions import MovedError, RedisClusterException

from resolver.circuit_breaker import CircuitBreaker
from resolver.deadline import CURRENT
from resolver.errors import StoreUnavailable
from resolver.store.cluster import let_go_of_connections
from resolver.store.connect import ANSWER_SECONDS
from resolver.store.database_identity import DatabaseIdentity
from resolver.store.keyspace import IDENTITY_KEY
from resolver.store.restored_backup import Certificates

# What a cluster's client raises for a part that nobody serves is no relative of the others.
_FAILURES = (RedisError, RedisClusterException)


class Guard:
    def __init__(self, redis: Redis, identity: DatabaseIdentity, certificates: Certificates | None) -> None:
        """`certificates`: of erasures that this database must know of."""
        self._redis = redis
        self._identity = identity
        self._certificates = certificates
        self._breaker = CircuitBreaker.for_waiting_callers("redis")

    def __enter__(self) -> None:
        if deadline := CURRENT.get():
            deadline.require(ANSWER_SECONDS)
        if self._breaker.failures and not self._breaker.allow():
            raise StoreUnavailable("redis: not answering")
        try:
            if time.monotonic() >= self._identity.trusted_until:
                self._identity.check()
            if self._certificates:
                self._certificates.check(self._redis)
        except _FAILURES as error:
            raise self._judged(error) from error

    def require_replayed(self) -> None:
        """For what needs nothing of Redis: it is refused as well while erasures must be replayed. A Redis
        that doesn't answer is no reason."""
        if self._certificates is None or self._certificates.are_trusted() or not self._breaker.allow():
            return
        try:
            # Asked in any case: a probe that found nothing out would be another caller's, lost.
            self._redis.exists(IDENTITY_KEY)
            self._breaker.success()
            self._certificates.check(self._redis)
        except _FAILURES as error:
            self._judged(error)

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, _FAILURES):
            raise self._judged(error) from error
        if error is None and self._breaker.failures:
            self._breaker.success()

    def _judged(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, RedisTimeoutError | RedisConnectionError):
            # Commands that were in flight together on one connection fail with one cause.
            self._breaker.failure(cause=error.__cause__)
        else:
            self._breaker.success()  # Redis answered, if not with good news
        if isinstance(error, ReadOnlyError | MovedError):
            # Failed over under our feet: these connections lead to what is now a replica, or to another slot.
            let_go_of_connections(self._redis)
        return StoreUnavailable(f"redis: {type(error).__name__}")


def read_script(package: str, name: str) -> str:
    return files(package).joinpath(f"scripts/{name}.lua").read_text(encoding="utf-8")
