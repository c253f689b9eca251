"""Re-index for a new lookup key: rename every record, and every mark of revoked tokens.

This is offline: meanwhile the database has neither key's identity, so no other process is served. If it
stops half-way, run it again: keys with new names are skipped. The identity says how far it is:

    before            the old key's identity
    before?after      closed, nothing renamed yet: only this step can be cancelled
    before>after      renaming
    after             the new key's identity
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple, cast

from redis import Redis

from resolver.crypto.envelope import Envelope
from resolver.errors import StoreUnavailable, Unreadable, WrongDatabase
from resolver.store.database_identity import Identity, swap
from resolver.store.keyspace import (
    ERASURES,
    IDENTITY_KEY,
    RECORD_PATTERN,
    REVOCATION_PATTERN,
    UNFINISHED_DELETIONS,
    Keyspace,
    dead_letters_of,
    partitions,
    schedule_of,
)
from resolver.store.record import Record
from resolver.store.revocations import Mark
from resolver.store.scan import scan

_GONE = (0, -2)
"""PTTL of a key that expires now, or has expired."""


NameOf = Callable[[bytes], str]
"""Returns the new name for a plaintext; raises Unreadable."""


class Renamed(Enum):
    DONE = "renamed"
    FRESH = "under the right name already"
    GONE = "expired meanwhile"
    UNREADABLE = "does not open with these keys"


class _Move(NamedTuple):
    old: str
    new: str
    sealed: bytes
    px: int | None


def in_flight(redis: Redis) -> str:
    """Describe the commands and erasures that are not done yet; empty when there are none."""
    pipeline = redis.pipeline(transaction=False)
    for partition in partitions():
        pipeline.zcard(schedule_of(partition))
        pipeline.hlen(dead_letters_of(partition))
    pipeline.hlen(ERASURES)
    pipeline.hlen(UNFINISHED_DELETIONS)
    *lengths, erasures, deletions = pipeline.execute()
    waiting, dead = sum(lengths[::2]), sum(lengths[1::2])
    if waiting or dead or erasures or deletions:
        return (
            f"{waiting} commands wait, {dead} dead letters are kept, {erasures} erasures are under way, and "
            f"{deletions} deletions without ids are not finished"
        )
    return ""


class Reindex:
    def __init__(
        self, redis: Redis, new: Keyspace, envelope: Envelope, before: Identity, after: Identity
    ) -> None:
        self._redis, self._new, self._envelope = redis, new, envelope
        self._before, self._after = before.text(), after.text()
        self._closed, self._renaming = f"{self._before}?{self._after}", f"{self._before}>{self._after}"
        self.unreadable: list[str] = []
        """Names of records and marks that didn't open."""

    def is_done(self) -> bool:
        return self._found() == self._after

    def begin(self) -> bool:
        """Close the database: within a second no other process is served. False when an earlier run has begun
        to rename, which can't be cancelled."""
        if self._moved(self._before, self._closed) or self._found() == self._closed:
            return True
        if self._found() != self._renaming:
            raise WrongDatabase("the Redis database belongs to neither of these index keys")
        return False

    def cancel(self) -> bool:
        """Give the database back to the old key; False when renaming has begun."""
        return self._moved(self._closed, self._before)

    def start_renaming(self) -> None:
        """Begin to rename. From here on it must be run to the end."""
        if not self._moved(self._closed, self._renaming) and self._found() != self._renaming:
            raise WrongDatabase("another re-index was stopped or finished meanwhile")

    def run(self) -> Iterator[Counter[Renamed]]:
        """Rename everything. Yields the outcomes of each batch."""
        yield from self._all(RECORD_PATTERN, self._record_name)
        yield from self._all(REVOCATION_PATTERN, self._mark_name)

    def _all(self, pattern: str, name_of: NameOf) -> Iterator[Counter[Renamed]]:
        for names in scan(self._redis, None, pattern):
            reads = self._redis.pipeline(transaction=False)
            for name in names:
                reads.get(name)
                reads.pttl(name)
            found = reads.execute()
            triples = zip(names, found[::2], found[1::2], strict=True)
            looked = [self._one(name_of, *triple) for triple in triples]
            self._rename([move for _, move in looked if move])
            yield Counter(kind for kind, _ in looked)

    def finish(self) -> None:
        """Give the database to the new key. Running it again is safe."""
        if not self._moved(self._renaming, self._after) and not self.is_done():
            raise WrongDatabase("the Redis database isn't the one that was being renamed")

    def _record_name(self, plaintext: bytes) -> str:
        record = Record.from_bytes(plaintext)
        return self._new.record(record.organization, record.notification)

    def _mark_name(self, plaintext: bytes) -> str:
        mark = Mark.from_bytes(plaintext)
        return self._new.revocation(mark.user, mark.organization)

    def _one(
        self, name_of: NameOf, name: str, sealed: bytes | None, left: int
    ) -> tuple[Renamed, _Move | None]:
        if sealed is None or left in _GONE:
            return Renamed.GONE, None
        try:
            plaintext = self._envelope.open(name, sealed)
            new_name = name_of(plaintext)
        except Unreadable:
            self.unreadable.append(name)
            return Renamed.UNREADABLE, None
        if new_name == name:
            return Renamed.FRESH, None
        sealed = self._envelope.seal(new_name, plaintext)
        return Renamed.DONE, _Move(name, new_name, sealed, left if left > 0 else None)

    def _rename(self, moves: list[_Move]) -> None:
        """Write the new names, then delete the old ones whose new one was written: a full Redis refuses
        writes, but not deletions. If it stops in between, the next run finds the old names again."""
        writes = self._redis.pipeline(transaction=False)
        for move in moves:
            writes.set(move.new, move.sealed, px=move.px)
        said = writes.execute(raise_on_error=False)
        removals = self._redis.pipeline(transaction=False)
        for move, answer in zip(moves, said, strict=True):
            if answer is True:
                removals.delete(move.old)
        removals.execute()
        if refused := [answer for answer in said if answer is not True]:
            what = f"{len(refused)} records could not be written ({type(refused[0]).__name__})"
            raise StoreUnavailable(f"redis: {what}; nothing is lost, make room and run it again")

    def _moved(self, from_: str, to: str) -> bool:
        """Replace the identity; False when another re-index has changed it."""
        return swap(self._redis, from_, to)

    def _found(self) -> str:
        return (cast(bytes | None, self._redis.get(IDENTITY_KEY)) or b"").decode("ascii", "replace")
