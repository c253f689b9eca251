"""Changing what commands say after they were put in line: a person is taken out of those that wait and those
that were given up, and of the records that would come back should Velt refuse what was put in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from redis import Redis

from resolver.crypto.envelope import Envelope
from resolver.errors import Unreadable
from resolver.outbox.dead_letters import Dead, line_of_dead
from resolver.outbox.queue import Outbox
from resolver.outbox.waiting import Fields
from resolver.store.command import Command
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import COMMANDS_PATTERN, line_of
from resolver.store.record import Record
from resolver.store.scan import in_time_slices, scan

Change = Callable[[Command], Command]
"""Gives back the very command that it got, or another one for the same notification."""
ChangePrevious = Callable[[Record], Record | None]
"""Gives back the very record that it got, or what may come back in its place: None for nothing."""
_PREVIOUS = b"p"


class Rewritten(NamedTuple):
    changed: int
    overtaken: int
    """Those that were written between reading and changing: they must be looked at again."""


class Rewriting:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope, outbox: Outbox) -> None:
        self._redis, self._guard, self._envelope, self._outbox = redis, guard, envelope, outbox
        self._swap = redis.register_script(read_script("resolver.outbox", "swap"))

    def __call__(self, change: Change, change_previous: ChangePrevious) -> Rewritten:
        """First those that wait, then the dead: commands move from here to there by themselves."""
        changed = wanted = 0
        for names in scan(self._redis, self._guard, COMMANDS_PATTERN):
            for name, fields in in_time_slices(self._outbox.lines(names)):
                swaps = self._swaps(name, fields, change) + self._previous(name, fields, change_previous)
                changed += self._swapped(name, swaps)
                wanted += len(swaps) // 3
        for dead in in_time_slices(self._outbox.dead()):
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
        """What stood there before a put that nobody was answered for yet. Empty: nothing did."""
        if not (sealed := fields.get(_PREVIOUS)):
            return []
        record_name = line_of(name).record
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
        """Each where it stands, unless it is out of the line by now."""
        if not swaps:
            return 0
        with self._guard:
            return int(self._swap(keys=[name], args=swaps))

    def _changed(self, name: str, sealed: bytes, change: Change) -> bytes | None:
        if (command := self._outbox.opened(name, sealed)) is None:
            return None
        changed = change(command)
        return None if changed is command else self._envelope.seal(name, changed.to_bytes())

    def _dead(self, dead: Dead, changed: Command) -> int:
        """A retry sends what it says now. What became something else was never done, and is not wanted any
        more."""
        if dead.command and changed.kind is not dead.command.kind:
            return self._outbox.dead_letters.discard(dead)
        line, name = line_of_dead(dead)
        instead = self._outbox.dead_letters.sealed_instead(dead, changed)
        return self._swapped(line.dead, [name.encode(), dead.sealed, instead])
