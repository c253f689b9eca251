"""Changing what commands say after they were put in line: a person is taken out of those that wait and those
that were given up."""

from __future__ import annotations

from collections.abc import Callable

from redis import Redis

from resolver.command import Command
from resolver.errors import Unreadable
from resolver.outbox.queue import Dead, Outbox
from resolver.vault.envelope import Envelope
from resolver.vault.guard import Guard, read_script
from resolver.vault.keyspace import COMMANDS_PATTERN
from resolver.vault.scanning import scan

Change = Callable[[Command], Command]
"""Gives back the very command that it got, or another one for the same notification."""


class Rewriting:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope, outbox: Outbox) -> None:
        self._redis, self._guard, self._envelope, self._outbox = redis, guard, envelope, outbox
        self._swap = redis.register_script(read_script("resolver.outbox", "swap"))

    def __call__(self, change: Change) -> None:
        for names in scan(self._redis, self._guard, COMMANDS_PATTERN):
            for name in map(bytes.decode, names):
                self._line(name, change)
        for dead in self._outbox.dead():
            if dead.command and change(dead.command) is not dead.command:
                self._dead(dead, change(dead.command))

    def _line(self, name: str, change: Change) -> None:
        """Each where it stands, unless it is out of the line by now."""
        swaps: list[bytes] = []
        for field, sealed in self._outbox.fields(name).items():
            if field.isdigit() and (changed := self._changed(name, sealed, change)):
                swaps += [field, sealed, changed]
        if swaps:
            with self._guard:
                self._swap(keys=[name], args=swaps)

    def _changed(self, name: str, sealed: bytes, change: Change) -> bytes | None:
        try:
            command = Command.from_bytes(self._envelope.open(name, sealed))
        except Unreadable:
            return None
        changed = change(command)
        return None if changed is command else self._envelope.seal(name, changed.to_bytes())

    def _dead(self, dead: Dead, changed: Command) -> None:
        """Whoever retries it sends what it says now. What became something else was never done, and is not
        wanted any more."""
        if dead.command and changed.kind is not dead.command.kind:
            self._outbox.bury(dead)
        else:
            self._outbox.replace_dead(dead, changed)
