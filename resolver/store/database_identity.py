"""Database identity: which deployment a Redis database belongs to.

The first process to reach an empty database writes digests of the lookup key, the partition count and the
Velt API key. A process with another identity (a wrong key, a restored backup, another deployment) would find
no record, store records that no other process finds, or send one environment's commands to another. It
answers "unavailable" until that is corrected, or until `resolver keys adopt` moves the database on purpose.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, cast

from redis import Redis

from resolver.config.secret import Secret
from resolver.crypto.envelope import Envelope
from resolver.errors import OutdatedSchema, Unreadable, WrongDatabase
from resolver.store.cluster import compare_and_set, primaries
from resolver.store.keyspace import IDENTITY_KEY, RECORD_PATTERN, Keyspace
from resolver.store.record import Record

# Schemas that this version reads, and the one it writes. Schema N's code reads N-1, for rolling upgrades.
# Schemas 1 and 2 were never released.
_READABLE = range(3, 4)
WRITTEN_SCHEMA = 3
_TRUSTED_SECONDS = 1.0
_SCAN_COUNT = 1000


class Identity(NamedTuple):
    """Digests that tell two keys apart, and reveal neither."""

    lookup: str
    """Digest of the lookup key, with the partition count."""
    environment: str
    """Digest of the Velt API key: each key is an isolated environment at Velt."""
    schema: int = WRITTEN_SCHEMA

    @classmethod
    def of(cls, keyspace: Keyspace, velt_api_key: Secret) -> Identity:
        return cls(keyspace.fingerprint(), keyspace.environment(velt_api_key))

    @classmethod
    def parse(cls, text: str) -> Identity | None:
        """Parse an identity; None for other texts, such as that of a re-index in progress."""
        schema, *parts = text.split(":")
        if not schema.isdecimal() or not 1 <= len(parts) <= 2:
            return None
        return cls(parts[0], parts[1] if len(parts) > 1 else "", int(schema))

    def text(self) -> str:
        return f"{self.schema}:{self.lookup}:{self.environment}"


class DatabaseIdentity:
    """Checks the identity before every use of Redis; reads it at most once a second."""

    def __init__(
        self,
        redis: Redis,
        own: Identity,
        keyspace: Keyspace,
        envelope: Envelope,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis, self._own = redis, own
        self._keyspace, self._envelope = keyspace, envelope
        self.clock = clock
        self.trusted_until = float("-inf")
        """By `clock`. Until then, `check` reads nothing."""

    def check(self) -> None:
        now = self.clock()
        if now < self.trusted_until:
            return
        found = _found(self._redis)
        require(self._claim() if found is None else found, self._own)
        self.trusted_until = now + _TRUSTED_SECONDS

    def _claim(self) -> str:
        """Write our identity into a database without one, if it is empty or a record in it is ours."""
        name = self._some_record()
        if name and not self._is_ours(name):
            raise WrongDatabase(
                "the Redis database holds records made with other keys or by another version, and no identity"
            )
        mine = self._own.text()
        self._redis.set(IDENTITY_KEY, mine, nx=True)
        # Read again: another process may have written its own first.
        return _found(self._redis) or mine

    def _some_record(self) -> str:
        for server in primaries(self._redis):
            _, names = server.scan(0, match=RECORD_PATTERN, count=_SCAN_COUNT)
            if names:
                return cast(bytes, names[0]).decode()
        return ""

    def _is_ours(self, name: str) -> bool:
        """Whether a record was stored with our keys: it opens, and has the name that we give it."""
        sealed = cast(bytes | None, self._redis.get(name))
        try:
            record = Record.from_bytes(self._envelope.open(name, sealed or b""))
        except Unreadable:
            return False
        return self._keyspace.record(record.organization, record.notification) == name


def require(text: str, own: Identity) -> None:
    """Raise WrongDatabase unless this identity is ours, and OutdatedSchema for another schema."""
    found = Identity.parse(text)
    if found is None:
        raise WrongDatabase("the Redis database belongs to another index key, or is being re-indexed")
    if found.schema not in _READABLE:
        raise OutdatedSchema(
            f"the Redis database has schema {found.schema}, and this version reads {_READABLE.start} only: "
            "run the version that wrote it, or start with an empty database"
        )
    if found.lookup != own.lookup:
        raise WrongDatabase("the Redis database belongs to another index key or partition count")
    if found.environment != own.environment:
        raise WrongDatabase(
            "the Redis database belongs to another VELT_API_KEY; `resolver keys adopt` moves it on purpose"
        )


class Adoption:
    """Moves a database from one Velt API key to another. The lookup key must stay the same."""

    def __init__(self, redis: Redis, own: Identity) -> None:
        self._redis, self._own = redis, own
        self._found = _found(redis) or ""

    def is_needed(self) -> bool:
        """False when the database is ours already. Raises WrongDatabase when more than the Velt API key
        differs."""
        found = Identity.parse(self._found)
        if found is None:
            raise WrongDatabase("the Redis database has no identity yet, or is being re-indexed")
        require(found._replace(environment=self._own.environment).text(), self._own)
        return found.environment != self._own.environment

    def adopt(self) -> None:
        if not swap(self._redis, self._found, self._own.text()):
            raise WrongDatabase("another process changed the identity of the Redis database meanwhile")


def swap(redis: Redis, before: str, after: str) -> bool:
    """Replace the identity if it is still `before`."""
    return compare_and_set(redis, IDENTITY_KEY, before, after)


def _found(redis: Redis) -> str | None:
    text = cast(bytes | None, redis.get(IDENTITY_KEY))
    return None if text is None else text.decode("ascii", "replace")
