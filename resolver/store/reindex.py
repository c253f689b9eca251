"""The index key changed: every record, and every mark that revokes tokens, under the name that the new key
gives it.

Offline: from the first step to the last no other process is served, since the identity is neither key's.
Stopped half-way, the same step is done again: what has its new name already is passed over.

    before            the old key's own
    before?after      closed, and nothing renamed yet: the only one that goes back
    before>after      being renamed, until every record is
    after             the new key's own
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
    FORMER_SIGNERS,
    IDENTITY_KEY,
    ORDERS,
    RECORD_PATTERN,
    REVOCATION_PATTERN,
    Keyspace,
    dead_letters_of,
    partitions,
    schedule_of,
)
from resolver.store.record import Record
from resolver.store.revocations import Mark
from resolver.store.scan import scan

_GONE = (0, -2)
"""What PTTL says of a key that expires this moment, or did."""


NameOf = Callable[[bytes], str]
"""The new key's name for what a plaintext holds; Unreadable when that can't be told."""


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
    pipeline.hlen(ORDERS)
    *lines, erasure_store = pipeline.execute()
    waiting, dead = sum(lines[::2]), sum(lines[1::2])
    if waiting or dead or erasure_store:
        return f"{waiting} commands wait, {dead} were given up, {erasure_store} erasures are under way"
    return ""


class Reindex:
    def __init__(
        self, redis: Redis, new: Keyspace, envelope: Envelope, before: Identity, after: Identity
    ) -> None:
        self._redis, self._new, self._envelope = redis, new, envelope
        self._before, self._after = before.text(), after.text()
        self._closed, self._renaming = f"{self._before}?{self._after}", f"{self._before}>{self._after}"
        self.unreadable: list[str] = []
        """The names of records and marks that didn't open."""

    def is_done(self) -> bool:
        return self._found() == self._after

    def begin(self) -> bool:
        """From here on nobody else is served. Within a second those who looked a moment ago notice. False
        when records were renamed before: there is no way back then."""
        if self._moved(self._before, self._closed) or self._found() == self._closed:
            return True
        if self._found() != self._renaming:
            raise WrongDatabase("the Redis database belongs to neither of these index keys")
        return False

    def former_signers(self) -> dict[str, str]:
        found = cast(dict[bytes, bytes], self._redis.hgetall(FORMER_SIGNERS))
        return {key.decode(): proof.decode() for key, proof in found.items()}

    def dead_letter(self) -> bool:
        """As it was, unless something was renamed."""
        return self._moved(self._closed, self._before)

    def go(self) -> None:
        """From here on there is no way but to the end."""
        if not self._moved(self._closed, self._renaming) and self._found() != self._renaming:
            raise WrongDatabase("another re-index was given up or finished meanwhile")

    def run(self) -> Iterator[Counter[Renamed]]:
        """What became of each batch of records, and then of marks."""
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

    def finish(self, former: dict[str, str]) -> None:
        """`former`: public keys that signed before, each with what proves that it was ours. Two steps, since
        they are two slots of a cluster: stopped in between, the next run finds them vouched for already."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.delete(FORMER_SIGNERS)
        pipeline.hset(FORMER_SIGNERS, items=[part for pair in former.items() for part in pair])
        pipeline.execute()
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
        """The new ones first, and of the old ones those alone whose new one is there: a Redis that is full
        refuses what adds to it, and goes on to remove. Stopped in between there are two, and the old one is
        found again."""
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
        """Unless another re-index was quicker."""
        return swap(self._redis, from_, to)

    def _found(self) -> str:
        return (cast(bytes | None, self._redis.get(IDENTITY_KEY)) or b"").decode("ascii", "replace")
