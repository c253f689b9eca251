"""Dead letters: commands that the worker gave up, until an operator retries or discards them."""

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
from resolver.store.keyspace import (
    WAKE_CHANNEL,
    Queue,
    dead_letters_of,
    decoded,
    partition_of,
    partitions,
    queue_in,
)

_PARTITIONS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class DeadLetter:
    name: str
    command: Command | None
    reason: str
    at: int
    sealed: bytes = b""
    """The bytes that were read: a change applies to these only."""


class Retried(Enum):
    """Result of retrying a dead letter; the values are `retry.lua`'s."""

    OVERTAKEN = 0
    """It was changed, retried or discarded since it was read."""
    DONE = 1
    NOT_HELD = 2
    """It registers a notification that isn't held any more."""


class Opening(Protocol):
    """Opens commands, and counts those that can't be opened."""

    def opened(self, name: str, sealed: bytes) -> Command | None: ...

    def count_unreadable(self) -> None: ...


class DeadLetters:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope, opening: Opening) -> None:
        self._redis, self._guard, self._envelope, self._opening = redis, guard, envelope, opening
        self._retry = redis.register_script(read_script("resolver.outbox", "retry"))

    def all(self) -> Iterator[DeadLetter]:
        every = partitions()
        for start in range(0, len(every), _PARTITIONS_AT_ONCE):
            some = every[start : start + _PARTITIONS_AT_ONCE]
            with self._guard:
                pipeline = self._redis.pipeline(transaction=False)
                for partition in some:
                    pipeline.hgetall(dead_letters_of(partition))
                found = pipeline.execute()
            for partition, fields in zip(some, found, strict=True):
                yield from (self._opened(partition, name, fields[name.encode()]) for name in decoded(fields))

    def retry(self, letter: DeadLetter, command: Command) -> Retried:
        """Queue the command of a dead letter again; a registration only while its record is held."""
        queue, name = queue_of_dead_letter(letter)
        sealed = self._envelope.seal(queue.commands, command.to_bytes())
        keys = [queue.commands, queue.schedule, queue.dead_letters, queue.record, queue.moves]
        only_held = int(command.kind is Kind.REGISTER)
        args: list[str | bytes | int] = [name, letter.sealed, sealed, only_held, queue.member, WAKE_CHANNEL]
        with self._guard:
            return Retried(self._retry(keys=keys, args=args))

    def reseal_with(self, letter: DeadLetter, command: Command) -> bytes:
        """Seal a dead letter with another command in it."""
        queue, _ = queue_of_dead_letter(letter)
        sealed = self._envelope.seal(queue.commands, command.to_bytes())
        return self.seal(queue, letter.reason, letter.at, sealed)

    def discard(self, letter: DeadLetter) -> int:
        """Delete a dead letter. Returns 1, or 0 when there was none."""
        queue, name = queue_of_dead_letter(letter)
        with self._guard:
            return int(self._redis.hdel(queue.dead_letters, name))

    def seal(self, queue: Queue, reason: str, at: int, sealed: bytes) -> bytes:
        entry = orjson.dumps({"reason": reason, "at": at, "command": sealed.hex()})
        return self._envelope.seal(queue.dead_letters, entry)

    def command(self, queue: Queue, sealed: bytes) -> Command | None:
        """Open the command in a sealed dead letter of this queue; None when it doesn't open."""
        return self._opened(partition_of(queue.record), f"{queue.member}:", sealed).command

    def _opened(self, partition: str, name: str, sealed: bytes) -> DeadLetter:
        full = f"{partition}:{name}"
        try:
            entry = orjson.loads(self._envelope.open(dead_letters_of(partition), sealed))
        except Unreadable:
            self._opening.count_unreadable()
            return DeadLetter(full, None, "cannot be opened with these keys", 0, sealed)
        queue = queue_in(partition, name.partition(":")[0])
        command = self._opening.opened(queue.commands, bytes.fromhex(entry["command"]))
        return DeadLetter(full, command, entry["reason"], entry["at"], sealed)


def queue_of_dead_letter(letter: DeadLetter) -> tuple[Queue, str]:
    """The queue of a dead letter, and the dead letter's name within its partition."""
    partition, name = letter.name.split(":", 1)
    return queue_in(partition, name.partition(":")[0]), name
