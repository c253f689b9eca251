"""The guard around every use of Redis. It requires time before the deadline, a closed circuit breaker, our
own database, and no unreplayed erasure; it turns failures into StoreUnavailable.

    with guard:
        redis.get(…)
"""

from __future__ import annotations

from importlib.resources import files
from types import TracebackType

from redis import ConnectionError as RedisConnectionError
from redis import ReadOnlyError, Redis, RedisError
from redis import TimeoutError as RedisTimeoutError
from redis.exceptions import MovedError, RedisClusterException

from resolver.circuit_breaker import CircuitBreaker
from resolver.deadline import CURRENT
from resolver.errors import StoreUnavailable
from resolver.store.cluster import reset_connections
from resolver.store.connect import ANSWER_SECONDS
from resolver.store.database_identity import DatabaseIdentity
from resolver.store.keyspace import IDENTITY_KEY
from resolver.store.restored_backup import Certificates

# A cluster's client raises RedisClusterException, which is no RedisError, for slots that no node serves.
_FAILURES = (RedisError, RedisClusterException)


class Guard:
    def __init__(
        self,
        redis: Redis,
        identity: DatabaseIdentity,
        certificates: Certificates | None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        """`certificates`: erasures that this database must know."""
        self._redis = redis
        self._identity = identity
        self._certificates = certificates
        self._breaker = breaker or CircuitBreaker.for_waiting_callers("redis")

    def __enter__(self) -> None:
        if deadline := CURRENT.get():
            deadline.require(ANSWER_SECONDS)
        if self._breaker.failures and not self._breaker.allow():
            raise StoreUnavailable("redis: not answering")
        try:
            # Asked here: every use of Redis passes, and nearly always nothing is to be read.
            if self._identity.clock() >= self._identity.trusted_until:
                self._identity.check()
            if self._certificates:
                self._certificates.check(self._redis)
        except _FAILURES as error:
            raise self._failure(error) from error

    def require_replayed(self) -> None:
        """Refuse a request that doesn't use Redis while erasures must be replayed. It passes when Redis
        doesn't answer."""
        if self._certificates is None or self._certificates.are_trusted() or not self._breaker.allow():
            return
        try:
            # Call Redis in any case: `allow` may have granted the only probe of an open circuit breaker.
            self._redis.exists(IDENTITY_KEY)
            self._breaker.success()
            self._certificates.check(self._redis)
        except _FAILURES as error:
            self._failure(error)

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, _FAILURES):
            raise self._failure(error) from error
        if error is None and self._breaker.failures:
            self._breaker.success()

    def _failure(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, RedisTimeoutError | RedisConnectionError):
            # Commands in flight together on one connection fail with one cause, and count once.
            self._breaker.failure(cause=error.__cause__)
        else:
            self._breaker.success()  # Redis answered, with an error
        if isinstance(error, ReadOnlyError | MovedError):
            # After a failover, these connections lead to a replica, or to a node without the slot.
            reset_connections(self._redis)
        return StoreUnavailable(f"redis: {type(error).__name__}")


def read_script(package: str, name: str) -> str:
    return files(package).joinpath(f"scripts/{name}.lua").read_text(encoding="utf-8")
