"""Replace queued commands, dead letters, and records kept for a rollback: for an erasure, or under the first
master key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import orjson
from redis import Redis

from resolver.crypto.envelope import Envelope, key_id_of
from resolver.errors import Unreadable
from resolver.outbox.dead_letters import DeadLetter, queue_of_dead_letter
from resolver.outbox.queue import Outbox
from resolver.outbox.waiting import Fields
from resolver.store.command import Command
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import COMMANDS_PATTERN, dead_letters_of, partitions, queue_in, queue_of
from resolver.store.record import Record
from resolver.store.records import Changed
from resolver.store.rotation import Resealed
from resolver.store.scan import in_time_slices, scan

ChangeCommand = Callable[[Command], Command]
"""Returns its argument itself for "no change", or another command for the same notification."""
ChangePrevious = Callable[[str, Record], Changed]
"""Given a record to roll back to and its key name. Returns the record itself for "no change", or another one
(None for none), and the command that Velt gets after a rollback."""
# Fields for a rollback, see store/scripts/commit.lua.
_PREVIOUS, _AFTERWARDS = b"p", b"u"


class Rewritten(NamedTuple):
    changed: int
    overtaken: int
    """Commands written between reading and changing: scan again."""


class Rewriting:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope, outbox: Outbox) -> None:
        self._redis, self._guard, self._envelope, self._outbox = redis, guard, envelope, outbox
        self._swap, self._swap_previous = (
            redis.register_script(read_script("resolver.outbox", name)) for name in ("swap", "swap_previous")
        )

    def __call__(self, change: ChangeCommand, change_previous: ChangePrevious) -> Rewritten:
        """Rewrite queued commands, then dead letters: without an operator, commands move only in this
        direction."""
        changed = wanted = 0
        for names in scan(self._redis, self._guard, COMMANDS_PATTERN):
            for name, fields in in_time_slices(self._outbox.hashes(names)):
                swaps = self._swaps(name, fields, change)
                previous = self._previous(name, fields, change_previous)
                changed += self._swapped(name, swaps) + self._previous_swapped(name, previous)
                wanted += len(swaps) // 3 + bool(previous)
        for letter in in_time_slices(self._outbox.dead_letters.all()):
            if letter.command and (instead := change(letter.command)) is not letter.command:
                changed += self._rewrite_letter(letter, instead)
                wanted += 1
        return Rewritten(changed, wanted - changed)

    def _swaps(self, name: str, fields: Fields, change: ChangeCommand) -> list[bytes]:
        swaps: list[bytes] = []
        for field, sealed in fields.items():
            if field.isdigit() and (changed := self._changed(name, sealed, change)):
                swaps += [field, sealed, changed]
        return swaps

    def _previous(self, name: str, fields: Fields, change: ChangePrevious) -> list[bytes]:
        """Arguments of `swap_previous.lua`, or none. The stored value is empty when there was no record."""
        if not (sealed := fields.get(_PREVIOUS)):
            return []
        record_name = queue_of(name).record
        try:
            record = Record.from_bytes(self._envelope.open(record_name, sealed))
        except Unreadable:
            self._outbox.count_unreadable()
            return []
        changed, entry = change(record_name, record)
        if changed is record:
            return []
        return [
            sealed,
            self._envelope.seal(record_name, changed.to_bytes()) if changed else b"",
            self._envelope.seal(name, entry.command.to_bytes()) if entry else b"",
        ]

    def _previous_swapped(self, name: str, args: list[bytes]) -> int:
        if not args:
            return 0
        with self._guard:
            return int(self._swap_previous(keys=[name], args=args))

    def _swapped(self, name: str, swaps: list[bytes]) -> int:
        """Replace each field that still is what was read. Returns how many were replaced."""
        if not swaps:
            return 0
        with self._guard:
            return int(self._swap(keys=[name], args=swaps))

    def _changed(self, name: str, sealed: bytes, change: ChangeCommand) -> bytes | None:
        if (command := self._outbox.opened(name, sealed)) is None:
            return None
        changed = change(command)
        return None if changed is command else self._envelope.seal(name, changed.to_bytes())

    def _rewrite_letter(self, letter: DeadLetter, changed: Command) -> int:
        """Rewrite a dead letter, or discard it when its command became one of another kind: an operator must
        not retry that."""
        if letter.command and changed.kind is not letter.command.kind:
            return self._outbox.dead_letters.discard(letter)
        queue, name = queue_of_dead_letter(letter)
        instead = self._outbox.dead_letters.reseal_with(letter, changed)
        return self._swapped(queue.dead_letters, [name.encode(), letter.sealed, instead])


class CommandRotation:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope) -> None:
        self._redis, self._guard, self._envelope = redis, guard, envelope
        self._swap = redis.register_script(read_script("resolver.outbox", "swap"))

    def key_ids(self) -> Counter[str]:
        """Count sealed values for each master key."""
        found: Counter[str] = Counter()
        for name, fields in self._queues():
            found.update(key_id_of(sealed) for _, _, sealed in _sealed(name, fields))
        for name, fields in self._letters():
            found.update(
                key_id for sealed in fields.values() for key_id in self._letter_key_ids(name, sealed)
            )
        return found

    def run(self) -> Iterator[Counter[Resealed]]:
        """Reseal everything. Yields the outcomes of each queue, then of each partition's dead letters."""
        for name, fields in self._queues():
            yield self._replace(name, [(field, at, old) for field, at, old in _sealed(name, fields)])
        for name, fields in self._letters():
            yield self._reseal_letters(name, fields)

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

    def _reseal_letters(self, name: str, fields: Fields) -> Counter[Resealed]:
        """Reseal dead letters; the command in each is sealed by itself."""
        swaps: list[bytes] = []
        outcome: Counter[Resealed] = Counter()
        for field, old in fields.items():
            if self._letter_key_ids(name, old) == [self._envelope.sealing_id] * 2:
                outcome[Resealed.FRESH] += 1
                continue
            try:
                swaps += [field, old, self._reseal_letter(name, field, old)]
            except Unreadable:
                outcome[Resealed.UNREADABLE] += 1
        return outcome + self._swapped(name, swaps)

    def _reseal_letter(self, name: str, field: bytes, old: bytes) -> bytes:
        entry = orjson.loads(self._envelope.open(name, old))
        queue = queue_in(name[: name.index("}") + 1], field.decode().partition(":")[0])
        try:
            command = self._envelope.reseal(queue.commands, bytes.fromhex(entry["command"]))
        except Unreadable:
            # It may be dead-lettered for this reason; the reason beside it must stay readable.
            command = bytes.fromhex(entry["command"])
        return self._envelope.seal(name, orjson.dumps({**entry, "command": command.hex()}))

    def _letter_key_ids(self, name: str, sealed: bytes) -> list[str]:
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

    def _letters(self) -> Iterator[tuple[str, Fields]]:
        for partition in partitions():
            yield dead_letters_of(partition), self._fields(dead_letters_of(partition))

    def _fields(self, name: str) -> Fields:
        with self._guard:
            return cast(Fields, self._redis.hgetall(name))


def _sealed(name: str, fields: Fields) -> Iterator[tuple[bytes, str, bytes]]:
    """Yield each sealed field, the key name that its value is sealed for, and the value."""
    for field, value in fields.items():
        if field.isdigit() or field == _AFTERWARDS:
            yield field, name, value
        elif field == _PREVIOUS and value:
            yield field, queue_of(name).record, value
