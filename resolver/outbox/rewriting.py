"""Rewriting commands for an erasure: those queued, the dead letters, and records kept for a rollback."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from redis import Redis

from resolver.crypto.envelope import Envelope
from resolver.errors import Unreadable
from resolver.outbox.dead_letters import DeadLetter, queue_of_dead_letter
from resolver.outbox.queue import Outbox
from resolver.outbox.waiting import Fields
from resolver.store.command import Command
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import COMMANDS_PATTERN, queue_of
from resolver.store.record import Record
from resolver.store.scan import in_time_slices, scan

Change = Callable[[Command], Command]
"""Returns its argument itself for "no change", or another command for the same notification."""
ChangePrevious = Callable[[Record], Record | None]
"""Returns its argument itself for "no change", or another record to roll back to; None for none."""
_PREVIOUS = b"p"


class Rewritten(NamedTuple):
    changed: int
    overtaken: int
    """Commands written between reading and changing: scan again."""


class Rewriting:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope, outbox: Outbox) -> None:
        self._redis, self._guard, self._envelope, self._outbox = redis, guard, envelope, outbox
        self._swap = redis.register_script(read_script("resolver.outbox", "swap"))

    def __call__(self, change: Change, change_previous: ChangePrevious) -> Rewritten:
        """Rewrite queued commands, then dead letters: without an operator, commands move only in this
        direction."""
        changed = wanted = 0
        for names in scan(self._redis, self._guard, COMMANDS_PATTERN):
            for name, fields in in_time_slices(self._outbox.hashes(names)):
                swaps = self._swaps(name, fields, change) + self._previous(name, fields, change_previous)
                changed += self._swapped(name, swaps)
                wanted += len(swaps) // 3
        for dead in in_time_slices(self._outbox.dead_letters.all()):
            if dead.command and (instead := change(dead.command)) is not dead.command:
                changed += self._dead(dead, instead)
                wanted += 1
        return Rewritten(changed, wanted - changed)

    def _swaps(self, name: str, fields: Fields, change: Change) -> list[bytes]:
        swaps: list[bytes] = []
        for field, sealed in fields.items():
            if field.isdigit() and (changed := self._changed(name, sealed, change)):
                swaps += [field, sealed, changed]
        return swaps

    def _previous(self, name: str, fields: Fields, change: ChangePrevious) -> list[bytes]:
        """Fields that replace the record to roll back to. The stored value is empty when there was none."""
        if not (sealed := fields.get(_PREVIOUS)):
            return []
        record_name = queue_of(name).record
        try:
            record = Record.from_bytes(self._envelope.open(record_name, sealed))
        except Unreadable:
            self._outbox.count_unreadable()
            return []
        changed = change(record)
        if changed is record:
            return []
        return [_PREVIOUS, sealed, self._envelope.seal(record_name, changed.to_bytes()) if changed else b""]

    def _swapped(self, name: str, swaps: list[bytes]) -> int:
        """Replace each field that still is what was read. Returns how many were replaced."""
        if not swaps:
            return 0
        with self._guard:
            return int(self._swap(keys=[name], args=swaps))

    def _changed(self, name: str, sealed: bytes, change: Change) -> bytes | None:
        if (command := self._outbox.opened(name, sealed)) is None:
            return None
        changed = change(command)
        return None if changed is command else self._envelope.seal(name, changed.to_bytes())

    def _dead(self, dead: DeadLetter, changed: Command) -> int:
        """Rewrite a dead letter, or discard it when its command became one of another kind: an operator must
        not retry that."""
        if dead.command and changed.kind is not dead.command.kind:
            return self._outbox.dead_letters.discard(dead)
        queue, name = queue_of_dead_letter(dead)
        instead = self._outbox.dead_letters.reseal_with(dead, changed)
        return self._swapped(queue.dead_letters, [name.encode(), dead.sealed, instead])
