"""Revoked tokens, as marks in Redis: every token of a person issued at or before the mark's time is revoked.

A mark is for one person in all organizations, or in one. It never expires, its time only moves forward, and
that time is from Redis's clock, which all processes share. Its name is a keyed digest and its value is
sealed, so that a stolen dump names no person. A mark that doesn't open revokes every token that it is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple, cast

import orjson
import structlog
from redis import Redis

from resolver.crypto.envelope import Envelope
from resolver.errors import Overtaken, Unreadable
from resolver.ops import metrics
from resolver.store.cluster import compare_and_set, holder
from resolver.store.guard import Guard
from resolver.store.keyspace import REVOCATION_PATTERN, Keyspace
from resolver.store.multiplexed import Values, get_all
from resolver.store.scan import scan

_TRIES = 3
_log = structlog.get_logger(__name__)


class Mark(NamedTuple):
    user: str
    organization: str
    """Empty: in every organization."""
    at_ms: int
    """Milliseconds of Redis's clock since the epoch."""

    def to_bytes(self) -> bytes:
        return orjson.dumps(list(self))

    @classmethod
    def from_bytes(cls, plaintext: bytes) -> Mark:
        try:
            user, organization, at_ms = orjson.loads(plaintext)
        except (orjson.JSONDecodeError, TypeError, ValueError):
            raise Unreadable() from None
        if not (isinstance(user, str) and isinstance(organization, str) and isinstance(at_ms, int)):
            raise Unreadable()
        return cls(user, organization, at_ms)

    def revokes(self, issued_at: float) -> bool:
        """`issued_at`: epoch seconds; minus infinity for a token without `iat`."""
        return issued_at <= self.at_ms / 1000


class Extent(Enum):
    """Where a token is revoked."""

    NOWHERE = "nowhere"
    ORGANIZATION = "in the organization of the call"
    EVERYWHERE = "everywhere"


class Revocations:
    def __init__(
        self, redis: Redis, guard: Guard, keyspace: Keyspace, envelope: Envelope, replicas: int = 0
    ) -> None:
        self._redis, self._guard = redis, guard
        self._keyspace, self._envelope = keyspace, envelope
        self._replicas = replicas
        self.names = keyspace.revocations
        """Key names of the marks that decide about a call; their values are read with the records."""
        self.unreadable = 0
        """Marks that didn't open since this process started."""

    def revoke(self, user: str, organization: str = "") -> Mark:
        """Revoke a person's tokens issued until now, in an organization or (empty) in all. Returns the mark,
        or an existing later one. Raises Overtaken when other processes change it three times in a row."""
        name = self._keyspace.revocation(user, organization)
        with self._guard:
            seconds, microseconds = holder(self._redis, name).time()
        mark = Mark(user, organization, seconds * 1000 + microseconds // 1000)
        for _ in range(_TRIES):
            with self._guard:
                held = cast(bytes | None, self._redis.get(name))
            # A mark that doesn't open is replaced.
            found = self._opened(name, held) if held else None
            kept = found if found and found.at_ms >= mark.at_ms else mark
            # An existing mark is written again: its write may have missed some replicas.
            sealed = self._envelope.seal(name, kept.to_bytes())
            with self._guard:
                if compare_and_set(self._redis, name, held or b"", sealed, replicas=self._replicas):
                    return kept
        raise Overtaken("The revocation is being changed by others. Please try again.")

    def values(self, names: Sequence[str]) -> Values:
        """Read marks, for a call that reads no records."""
        with self._guard:
            return get_all(self._redis, names)

    def extent(self, names: Sequence[str], values: Values, issued_at: float) -> Extent:
        """Return where a token issued at this time is revoked, by the values of `names`."""
        everywhere, here = (
            value is not None and self._revokes(name, value, issued_at)
            for name, value in zip(names, values, strict=True)
        )
        return Extent.EVERYWHERE if everywhere else Extent.ORGANIZATION if here else Extent.NOWHERE

    def scan(self) -> Iterator[Mark]:
        """Yield every mark that opens, in no order. Slow: only for operators' commands."""
        for names in scan(self._redis, self._guard, REVOCATION_PATTERN):
            for name, sealed in zip(names, self.values(names), strict=True):
                if sealed and (mark := self._opened(name, sealed)):
                    yield mark

    def _revokes(self, name: str, sealed: bytes, issued_at: float) -> bool:
        mark = self._opened(name, sealed)
        return mark is None or mark.revokes(issued_at)

    def _opened(self, name: str, sealed: bytes) -> Mark | None:
        try:
            return Mark.from_bytes(self._envelope.open(name, sealed))
        except Unreadable:
            self.unreadable += 1
            metrics.UNREADABLE.labels("revocation").inc()
            _log.error("revocation_unreadable", key=name)
            return None
