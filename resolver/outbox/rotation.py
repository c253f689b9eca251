"""Resealing under the first master key: queued commands, records kept for a rollback, and dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import cast

import orjson
from redis import Redis

from resolver.crypto.envelope import Envelope, key_id_of
from resolver.errors import Unreadable
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import COMMANDS_PATTERN, dead_letters_of, partitions, queue_in, queue_of
from resolver.store.rotation import Resealed
from resolver.store.scan import scan

_PREVIOUS = b"p"
Fields = dict[bytes, bytes]


class CommandRotation:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope) -> None:
        self._redis, self._guard, self._envelope = redis, guard, envelope
        self._swap = redis.register_script(read_script("resolver.outbox", "swap"))

    def key_ids(self) -> Counter[str]:
        """Count sealed values for each master key."""
        found: Counter[str] = Counter()
        for name, fields in self._queues():
            found.update(key_id_of(sealed) for _, _, sealed in _sealed(name, fields))
        for name, fields in self._dead():
            found.update(
                key_id for sealed in fields.values() for key_id in self._key_ids_of_dead(name, sealed)
            )
        return found

    def run(self) -> Iterator[Counter[Resealed]]:
        """Reseal everything. Yields the outcomes of each queue, then of each partition's dead letters."""
        for name, fields in self._queues():
            yield self._replace(name, [(field, at, old) for field, at, old in _sealed(name, fields)])
        for name, fields in self._dead():
            yield self._reseal_dead_letters(name, fields)

    def _replace(self, name: str, sealed: list[tuple[bytes, str, bytes]]) -> Counter[Resealed]:
        swaps: list[bytes] = []
        outcome: Counter[Resealed] = Counter()
        for field, opens_as, old in sealed:
            try:
                fresh = self._envelope.is_fresh(old) or self._envelope.reseal(opens_as, old)
            except Unreadable:
                outcome[Resealed.UNREADABLE] += 1
                continue
            if fresh is True:
                outcome[Resealed.FRESH] += 1
            else:
                swaps += [field, old, fresh]
        return outcome + self._swapped(name, swaps)

    def _reseal_dead_letters(self, name: str, fields: Fields) -> Counter[Resealed]:
        """Reseal dead letters; the command in each is sealed by itself."""
        swaps: list[bytes] = []
        outcome: Counter[Resealed] = Counter()
        for field, old in fields.items():
            if self._key_ids_of_dead(name, old) == [self._envelope.sealing_id] * 2:
                outcome[Resealed.FRESH] += 1
                continue
            try:
                swaps += [field, old, self._resealed_letter(name, field, old)]
            except Unreadable:
                outcome[Resealed.UNREADABLE] += 1
        return outcome + self._swapped(name, swaps)

    def _resealed_letter(self, name: str, field: bytes, old: bytes) -> bytes:
        entry = orjson.loads(self._envelope.open(name, old))
        queue = queue_in(name[: name.index("}") + 1], field.decode().partition(":")[0])
        try:
            command = self._envelope.reseal(queue.commands, bytes.fromhex(entry["command"]))
        except Unreadable:
            # It may be dead-lettered for this reason; the reason beside it must stay readable.
            command = bytes.fromhex(entry["command"])
        return self._envelope.seal(name, orjson.dumps({**entry, "command": command.hex()}))

    def _key_ids_of_dead(self, name: str, sealed: bytes) -> list[str]:
        """Ids of the outer and the inner key; only the outer one when the dead letter doesn't open."""
        try:
            entry = orjson.loads(self._envelope.open(name, sealed))
        except Unreadable:
            return [key_id_of(sealed)]
        return [key_id_of(sealed), key_id_of(bytes.fromhex(entry["command"]))]

    def _swapped(self, name: str, swaps: list[bytes]) -> Counter[Resealed]:
        if not swaps:
            return Counter()
        with self._guard:
            done = int(self._swap(keys=[name], args=swaps))
        found = Counter({Resealed.DONE: done, Resealed.OVERTAKEN: len(swaps) // 3 - done})
        return +found

    def _queues(self) -> Iterator[tuple[str, Fields]]:
        for names in scan(self._redis, self._guard, COMMANDS_PATTERN):
            yield from ((name, self._fields(name)) for name in names)

    def _dead(self) -> Iterator[tuple[str, Fields]]:
        for partition in partitions():
            yield dead_letters_of(partition), self._fields(dead_letters_of(partition))

    def _fields(self, name: str) -> Fields:
        with self._guard:
            return cast(Fields, self._redis.hgetall(name))


def _sealed(name: str, fields: Fields) -> Iterator[tuple[bytes, str, bytes]]:
    """Yield each sealed field, the key name that its value is sealed for, and the value."""
    for field, value in fields.items():
        if field.isdigit():
            yield field, name, value
        elif field == _PREVIOUS and value:
            yield field, queue_of(name).record, value
