"""Reseal records and marks of revoked tokens under the first master key.

The scan can be stopped and started again: values under the first key are skipped. Records written meanwhile
are sealed with it anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import Enum

from redis import Redis

from resolver.crypto.envelope import LONGEST_HEADER, Envelope, key_id_of, nonce_of
from resolver.errors import Unreadable
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import RECORD_PATTERN, REVOCATION_PATTERN, queue_of
from resolver.store.multiplexed import get_all
from resolver.store.scan import scan


class Resealed(Enum):
    DONE = "resealed"
    FRESH = "under the right key already"
    OVERTAKEN = "changed or removed meanwhile"
    UNREADABLE = "does not open with these keys"


class Rotation:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope) -> None:
        self._redis, self._guard, self._envelope = redis, guard, envelope
        self._reseal = redis.register_script(read_script("resolver.store", "reseal"))

    def size(self) -> int:
        """Approximate number of records, for a progress bar: other keys count too."""
        with self._guard:
            return int(self._redis.dbsize())

    def record_key_ids(self) -> Counter[str]:
        """Count records by master key."""
        return self._key_ids(RECORD_PATTERN)

    def revocation_key_ids(self) -> Counter[str]:
        """Count marks of revoked tokens by master key."""
        return self._key_ids(REVOCATION_PATTERN)

    def _key_ids(self, pattern: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for names in scan(self._redis, self._guard, pattern):
            with self._guard:
                pipeline = self._redis.pipeline(transaction=False)
                for name in names:
                    pipeline.getrange(name, 0, LONGEST_HEADER)
                heads = pipeline.execute()
            found.update(key_id_of(head) for head in heads if head)
        return found

    def run(self) -> Iterator[Counter[Resealed]]:
        """Reseal everything. Yields the outcomes of each batch."""
        for names in self._names():
            with self._guard:
                values = get_all(self._redis, names)
                held = [(name, sealed) for name, sealed in zip(names, values, strict=True) if sealed]
                outcome = Counter(self._one(name, sealed) for name, sealed in held)
            yield outcome

    def _one(self, name: str, sealed: bytes) -> Resealed:
        if self._envelope.is_fresh(sealed):
            return Resealed.FRESH
        try:
            fresh = self._envelope.reseal(name, sealed)
        except Unreadable:
            return Resealed.UNREADABLE
        done = self._reseal(keys=[name, queue_of(name).commands], args=[nonce_of(sealed), fresh])
        return Resealed.DONE if done else Resealed.OVERTAKEN

    def _names(self) -> Iterator[list[str]]:
        for pattern in (RECORD_PATTERN, REVOCATION_PATTERN):
            yield from scan(self._redis, self._guard, pattern)
