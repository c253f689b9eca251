"""State of a held notification's registration at Velt."""

from __future__ import annotations

from typing import NamedTuple, cast

from redis import Redis

from resolver.crypto.envelope import Envelope
from resolver.errors import Unreadable
from resolver.outbox.dead_letters import DeadLetters
from resolver.store.command import Command, Kind
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import Keyspace, queue_of
from resolver.store.record import Record


class Registration(NamedTuple):
    record: Record
    waits: bool
    """Commands about it are queued."""
    is_undecided: bool
    """Its registration is in flight; if Velt refuses it, the record is rolled back."""
    was_refused: bool
    """Its registration is a dead letter."""


class Registrations:
    def __init__(
        self, redis: Redis, guard: Guard, keyspace: Keyspace, envelope: Envelope, dead_letters: DeadLetters
    ) -> None:
        self._guard, self._keyspace, self._envelope = guard, keyspace, envelope
        self._dead_letters = dead_letters
        self._look = redis.register_script(read_script("resolver.outbox", "registration"))

    def of(self, organization: str, notification: str) -> Registration | None:
        """Read record, queue and dead letters at one moment; None without a record that opens."""
        queue = queue_of(self._keyspace.record(organization, notification))
        with self._guard:
            found = self._look(
                keys=[queue.record, queue.commands, queue.dead_letters], args=[f"{queue.member}:*"]
            )
        sealed, waits, is_undecided, dead = cast(tuple[bytes, int, int, list[bytes]], found)
        if (record := self._opened(queue.record, sealed)) is None:
            return None
        commands = [self._dead_letters.command(queue, letter) for letter in dead]
        # A dead letter that doesn't open may be the registration.
        was_refused = any(command is None or registers(command, record) for command in commands)
        return Registration(record, bool(waits), bool(is_undecided), was_refused)

    def _opened(self, name: str, sealed: bytes) -> Record | None:
        try:
            return Record.from_bytes(self._envelope.open(name, sealed)) if sealed else None
        except Unreadable:
            return None


def registers(command: Command, record: Record) -> bool:
    """Whether a command about this notification registers this record, not one that was deleted before."""
    return command.kind is Kind.REGISTER and command.created >= record.created
