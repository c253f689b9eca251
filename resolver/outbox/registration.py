"""What became of the registration of a notification that is held."""

from __future__ import annotations

from typing import NamedTuple, cast

from redis import Redis

from resolver.crypto.envelope import Envelope
from resolver.errors import Unreadable
from resolver.outbox.dead_letters import DeadLetters
from resolver.store.command import Command, Kind
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import Keyspace, line_of
from resolver.store.record import Record


class Registration(NamedTuple):
    record: Record
    waits: bool
    """Commands about it wait for Velt."""
    is_undecided: bool
    """Velt is being asked, and its refusal would take the record away."""
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
        """The state of all of it at one moment; None when no record is held, or none that opens."""
        line = line_of(self._keyspace.record(organization, notification))
        with self._guard:
            found = self._look(keys=[line.record, line.commands, line.dead], args=[f"{line.member}:*"])
        sealed, waits, is_undecided, dead = cast(tuple[bytes, int, int, list[bytes]], found)
        if (record := self._opened(line.record, sealed)) is None:
            return None
        commands = [self._dead_letters.command(line, letter) for letter in dead]
        # One that doesn't open may be any.
        was_refused = any(command is None or registers(command, record) for command in commands)
        return Registration(record, bool(waits), bool(is_undecided), was_refused)

    def _opened(self, name: str, sealed: bytes) -> Record | None:
        try:
            return Record.from_bytes(self._envelope.open(name, sealed)) if sealed else None
        except Unreadable:
            return None


def registers(command: Command, record: Record) -> bool:
    """Whether a command about this notification registers this record: an older one registered a record that
    was deleted since."""
    return command.kind is Kind.REGISTER and command.created >= record.created
