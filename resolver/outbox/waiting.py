"""Commands that wait for Velt, as an operator sees them: a list, and taking one out of its line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from redis import Redis

from resolver.store.command import Command
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import COMMANDS_PATTERN, WAKE_CHANNEL, line_in, line_of, partition_of
from resolver.store.scan import scan

Fields = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Waiting:
    name: str
    command: Command | None
    sealed: bytes
    """As it was read: another one in its place isn't dropped."""


class Dropped(Enum):
    """What came of a waiting command that was to be dropped; the values are `drop.lua`'s."""

    OVERTAKEN = 0
    """It was sent, changed or moved up since it was read."""
    DONE = 1
    BEING_SENT = 2


class Lines(Protocol):
    """Reads the hashes of lines, and opens their commands."""

    def lines(self, names: Sequence[str]) -> list[tuple[str, Fields]]: ...

    def opened(self, name: str, sealed: bytes) -> Command | None: ...


class WaitingCommands:
    def __init__(self, redis: Redis, guard: Guard, lines: Lines) -> None:
        self._redis, self._guard, self._lines = redis, guard, lines
        self._drop = redis.register_script(read_script("resolver.outbox", "drop"))

    def all(self) -> Iterator[Waiting]:
        """In no order of lines. Long: for operators alone."""
        for names in scan(self._redis, self._guard, COMMANDS_PATTERN):
            for name, fields in self._lines.lines(names):
                line = f"{partition_of(name)}:{line_of(name).member}"
                for field in sorted(filter(bytes.isdigit, fields), key=int):
                    sealed = fields[field]
                    yield Waiting(f"{line}.{int(field)}", self._lines.opened(name, sealed), sealed)

    def drop(self, waiting: Waiting) -> Dropped:
        """Take a command out of its line."""
        partition, _, name = waiting.name.partition(":")
        member, _, position = name.partition(".")
        line = line_in(partition, member)
        args: list[str | bytes | int] = [int(position), waiting.sealed, member, WAKE_CHANNEL]
        with self._guard:
            return Dropped(self._drop(keys=[line.commands, line.queue], args=args))
