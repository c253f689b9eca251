"""Queued commands as an operator sees them: list them, drop one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from redis import Redis

from resolver.store.command import Command
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import COMMANDS_PATTERN, WAKE_CHANNEL, partition_of, queue_in, queue_of
from resolver.store.scan import scan

Fields = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class WaitingCommand:
    name: str
    command: Command | None
    sealed: bytes
    """The bytes that were read: only these are dropped, not a command that has replaced them."""


class Dropped(Enum):
    """Result of dropping a queued command; the values are `drop.lua`'s."""

    OVERTAKEN = 0
    """It was sent, changed or moved up since it was read."""
    DONE = 1
    BEING_SENT = 2


class Hashes(Protocol):
    """Reads the hashes of queues, and opens their commands."""

    def hashes(self, names: Sequence[str]) -> list[tuple[str, Fields]]: ...

    def opened(self, name: str, sealed: bytes) -> Command | None: ...


class WaitingCommands:
    def __init__(self, redis: Redis, guard: Guard, hashes: Hashes) -> None:
        self._redis, self._guard, self._hashes = redis, guard, hashes
        self._drop = redis.register_script(read_script("resolver.outbox", "drop"))

    def all(self) -> Iterator[WaitingCommand]:
        """Yield every queued command, queue by queue in no order. Slow: only for operators."""
        for names in scan(self._redis, self._guard, COMMANDS_PATTERN):
            for name, fields in self._hashes.hashes(names):
                queue = f"{partition_of(name)}:{queue_of(name).member}"
                for field in sorted(filter(bytes.isdigit, fields), key=int):
                    sealed = fields[field]
                    opened = self._hashes.opened(name, sealed)
                    yield WaitingCommand(f"{queue}.{int(field)}", opened, sealed)

    def drop(self, waiting: WaitingCommand) -> Dropped:
        """Take a command out of its queue."""
        partition, _, name = waiting.name.partition(":")
        member, _, position = name.partition(".")
        queue = queue_in(partition, member)
        args: list[str | bytes | int] = [int(position), waiting.sealed, member, WAKE_CHANNEL]
        with self._guard:
            return Dropped(self._drop(keys=[queue.commands, queue.schedule], args=args))
