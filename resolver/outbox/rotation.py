"""Commands under an older master key: those that wait, the records kept lest Velt refuses, and the dead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import cast

import orjson
from redis import Redis

from resolver.crypto.envelope import Envelope, key_id_of
from resolver.errors import Unreadable
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import COMMANDS_PATTERN, dead_of, line_in, line_of, partitions
from resolver.store.rotation import Resealed
from resolver.store.scan import scan

_PREVIOUS = b"p"
Fields = dict[bytes, bytes]


class CommandRotation:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope) -> None:
        self._redis, self._guard, self._envelope = redis, guard, envelope
        self._swap = redis.register_script(read_script("resolver.outbox", "swap"))

    def key_ids(self) -> Counter[str]:
        """How many commands, waiting or dead, are under each key."""
        found: Counter[str] = Counter()
        for name, fields in self._lines():
            found.update(key_id_of(sealed) for _, _, sealed in _sealed(name, fields))
        for name, fields in self._dead():
            found.update(key_id for sealed in fields.values() for key_id in self._of_dead(name, sealed))
        return found

    def run(self) -> Iterator[Counter[Resealed]]:
        """What became of the commands of each line, and of each partition's dead."""
        for name, fields in self._lines():
            yield self._replace(name, [(field, at, old) for field, at, old in _sealed(name, fields)])
        for name, fields in self._dead():
            yield self._replace_dead(name, fields)

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

    def _replace_dead(self, name: str, fields: Fields) -> Counter[Resealed]:
        """A dead command lies sealed within what is sealed about it."""
        swaps: list[bytes] = []
        outcome: Counter[Resealed] = Counter()
        for field, old in fields.items():
            if self._of_dead(name, old) == [self._envelope.sealing_id] * 2:
                outcome[Resealed.FRESH] += 1
                continue
            try:
                swaps += [field, old, self._resealed_dead(name, field, old)]
            except Unreadable:
                outcome[Resealed.UNREADABLE] += 1
        return outcome + self._swapped(name, swaps)

    def _resealed_dead(self, name: str, field: bytes, old: bytes) -> bytes:
        entry = orjson.loads(self._envelope.open(name, old))
        line = line_in(name[: name.index("}") + 1], field.decode().partition(":")[0])
        try:
            command = self._envelope.reseal(line.commands, bytes.fromhex(entry["command"]))
        except Unreadable:
            # Why it is dead, perhaps: it stays as it is, and what is said about it can be read on.
            command = bytes.fromhex(entry["command"])
        return self._envelope.seal(name, orjson.dumps({**entry, "command": command.hex()}))

    def _of_dead(self, name: str, sealed: bytes) -> list[str]:
        """The keys of the outer and of the inner seal; the outer alone when that doesn't open."""
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

    def _lines(self) -> Iterator[tuple[str, Fields]]:
        for names in scan(self._redis, self._guard, COMMANDS_PATTERN):
            yield from ((name, self._fields(name)) for name in names)

    def _dead(self) -> Iterator[tuple[str, Fields]]:
        for partition in partitions():
            yield dead_of(partition), self._fields(dead_of(partition))

    def _fields(self, name: str) -> Fields:
        with self._guard:
            return cast(Fields, self._redis.hgetall(name))


def _sealed(name: str, fields: Fields) -> Iterator[tuple[bytes, str, bytes]]:
    """Field, the name that its value opens under, and the value."""
    for field, value in fields.items():
        if field.isdigit():
            yield field, name, value
        elif field == _PREVIOUS and value:
            yield field, line_of(name).record, value
