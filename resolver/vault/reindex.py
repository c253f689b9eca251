"""The index key changed: every record under the name that the new key gives it.

Offline: from the first step to the last no other process is served, since the fingerprint is neither key's.
Stopped half-way, the same step is done again: what has its new name already is passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import cast

from redis import Redis
from redis.client import Pipeline

from resolver.errors import Unreadable, VaultForeign
from resolver.record import Record
from resolver.vault.envelope import Envelope
from resolver.vault.fingerprint import claim_text
from resolver.vault.keyspace import (
    FINGERPRINT_KEY,
    FORMER_SIGNERS,
    ORDERS,
    RECORD_PATTERN,
    Keyspace,
    dead_of,
    partitions,
    queue_of,
)
from resolver.vault.scanning import scan

_GONE = (0, -2)
"""What PTTL says of a key that expires this moment, or did."""


class Renamed(Enum):
    DONE = "renamed"
    FRESH = "under the right name already"
    GONE = "expired meanwhile"
    UNREADABLE = "does not open with these keys"


class Reindex:
    def __init__(self, redis: Redis, old: Keyspace, new: Keyspace, envelope: Envelope) -> None:
        self._redis, self._old, self._new, self._envelope = redis, old, new, envelope
        self._before, self._after = (claim_text(keyspace.fingerprint()) for keyspace in (old, new))
        self._between = f"{self._before}>{self._after}".encode()

    def is_done(self) -> bool:
        return self._found() == self._after.encode()

    def begin(self) -> None:
        """From here on nobody else is served. Within a second those who looked a moment ago notice."""
        found = self._found()
        if found not in (self._before.encode(), self._between):
            raise VaultForeign("the Redis database belongs to neither of these index keys")
        self._redis.set(FINGERPRINT_KEY, self._between)

    def under_way(self) -> str:
        """What has names in it that are not a record's own; empty when there is nothing of it."""
        pipeline = self._redis.pipeline(transaction=False)
        for partition in partitions():
            pipeline.zcard(queue_of(partition))
            pipeline.hlen(dead_of(partition))
        pipeline.hlen(ORDERS)
        *lines, orders = pipeline.execute()
        waiting, dead = sum(lines[::2]), sum(lines[1::2])
        if waiting or dead or orders:
            return f"{waiting} commands wait, {dead} were given up, {orders} erasures are under way"
        return ""

    def former_signers(self) -> dict[str, str]:
        found = cast(dict[bytes, bytes], self._redis.hgetall(FORMER_SIGNERS))
        return {key.decode(): proof.decode() for key, proof in found.items()}

    def give_up(self) -> None:
        """Nothing was renamed yet: as it was."""
        self._redis.set(FINGERPRINT_KEY, self._before)

    def run(self) -> Iterator[Counter[Renamed]]:
        """What became of each batch of records."""
        for names in scan(self._redis, None, RECORD_PATTERN):
            reads = self._redis.pipeline(transaction=False)
            for name in names:
                reads.get(name)
                reads.pttl(name)
            found = reads.execute()
            writes = self._redis.pipeline(transaction=False)
            triples = zip(map(bytes.decode, names), found[::2], found[1::2], strict=True)
            outcome = Counter(self._one(writes, *triple) for triple in triples)
            writes.execute()
            yield outcome

    def finish(self, former: dict[str, str]) -> None:
        """`former`: public keys that signed before, each with what proves that it was ours."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.delete(FORMER_SIGNERS)
        pipeline.hset(FORMER_SIGNERS, items=[part for pair in former.items() for part in pair])
        pipeline.set(FINGERPRINT_KEY, self._after)
        pipeline.execute()

    def _one(self, writes: Pipeline, name: str, sealed: bytes | None, left: int) -> Renamed:
        if sealed is None or left in _GONE:
            return Renamed.GONE
        try:
            plaintext = self._envelope.open(name, sealed)
            record = Record.from_bytes(plaintext)
        except Unreadable:
            return Renamed.UNREADABLE
        new_name = self._new.record(record.organization, record.notification)
        if new_name == name:
            return Renamed.FRESH
        # The new one first: stopped in between there are two, and the old one is found again.
        writes.set(new_name, self._envelope.seal(new_name, plaintext), px=left if left > 0 else None)
        writes.delete(name)
        return Renamed.DONE

    def _found(self) -> bytes | None:
        return cast(bytes | None, self._redis.get(FINGERPRINT_KEY))
