"""Commands that were given up: they wait for an operator, who retries or drops them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import orjson
from redis import Redis

from resolver.crypto.envelope import Envelope
from resolver.errors import Unreadable
from resolver.store.command import Command, Kind
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import WAKE_CHANNEL, Line, dead_of, decoded, line_in, partition_of, partitions

_PARTITIONS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Dead:
    name: str
    command: Command | None
    reason: str
    at: int
    sealed: bytes = b""
    """As it was read: whoever changes it changes this version alone."""


class Retried(Enum):
    """What came of a dead command that was to be put in line again; the values are `retry.lua`'s."""

    OVERTAKEN = 0
    """It was changed, retried or dropped since it was read."""
    DONE = 1
    NOT_HELD = 2
    """It registers what isn't held any more."""


class Opening(Protocol):
    """Opens commands, and counts those that don't."""

    def opened(self, name: str, sealed: bytes) -> Command | None: ...

    def count_unreadable(self) -> None: ...


class DeadLetters:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope, opening: Opening) -> None:
        self._redis, self._guard, self._envelope, self._opening = redis, guard, envelope, opening
        self._retry = redis.register_script(read_script("resolver.outbox", "retry"))

    def all(self) -> Iterator[Dead]:
        every = partitions()
        for start in range(0, len(every), _PARTITIONS_AT_ONCE):
            some = every[start : start + _PARTITIONS_AT_ONCE]
            with self._guard:
                pipeline = self._redis.pipeline(transaction=False)
                for partition in some:
                    pipeline.hgetall(dead_of(partition))
                found = pipeline.execute()
            for partition, fields in zip(some, found, strict=True):
                yield from (self._opened(partition, name, fields[name.encode()]) for name in decoded(fields))

    def retry(self, dead: Dead, command: Command) -> Retried:
        """Puts a dead command in line again; a registration only while its record is held."""
        line, name = line_of_dead(dead)
        sealed = self._envelope.seal(line.commands, command.to_bytes())
        keys = [line.commands, line.queue, line.dead, line.record, line.moves]
        only_held = int(command.kind is Kind.REGISTER)
        args: list[str | bytes | int] = [name, dead.sealed, sealed, only_held, line.member, WAKE_CHANNEL]
        with self._guard:
            return Retried(self._retry(keys=keys, args=args))

    def sealed_instead(self, dead: Dead, command: Command) -> bytes:
        """What stands among the dead, sealed, when the command is this one from now on."""
        line, _ = line_of_dead(dead)
        sealed = self._envelope.seal(line.commands, command.to_bytes())
        return self.sealed(line, dead.reason, dead.at, sealed)

    def discard(self, dead: Dead) -> int:
        """Out of the dead, as it is not wanted any more: 1, or 0 when it wasn't there."""
        line, name = line_of_dead(dead)
        with self._guard:
            return int(self._redis.hdel(line.dead, name))

    def sealed(self, line: Line, reason: str, at: int, sealed: bytes) -> bytes:
        entry = orjson.dumps({"reason": reason, "at": at, "command": sealed.hex()})
        return self._envelope.seal(line.dead, entry)

    def command(self, line: Line, sealed: bytes) -> Command | None:
        """The command in a sealed dead letter of this line; None when it doesn't open."""
        return self._opened(partition_of(line.record), f"{line.member}:", sealed).command

    def _opened(self, partition: str, name: str, sealed: bytes) -> Dead:
        full = f"{partition}:{name}"
        try:
            entry = orjson.loads(self._envelope.open(dead_of(partition), sealed))
        except Unreadable:
            self._opening.count_unreadable()
            return Dead(full, None, "cannot be opened with these keys", 0, sealed)
        line = line_in(partition, name.partition(":")[0])
        command = self._opening.opened(line.commands, bytes.fromhex(entry["command"]))
        return Dead(full, command, entry["reason"], entry["at"], sealed)


def line_of_dead(dead: Dead) -> tuple[Line, str]:
    """The line that a dead command came out of, and its name among the dead of that partition."""
    partition, name = dead.name.split(":", 1)
    return line_in(partition, name.partition(":")[0]), name
