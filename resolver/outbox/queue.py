"""The queues of commands: claim the first command of one, then complete, release or dead-letter it.

A claim is a lease by Redis's clock: when it runs out, its command is due again, so a process that dies loses
no command. A process whose lease ran out changes nothing any more.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from redis import Redis, RedisError
from redis.commands.core import Script

from resolver.crypto.envelope import Envelope
from resolver.deadline import without_deadline
from resolver.errors import Unreadable
from resolver.ops import metrics
from resolver.outbox.dead_letters import DeadLetters
from resolver.outbox.waiting import Fields, WaitingCommands
from resolver.store.cluster import by_server
from resolver.store.command import Command
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import (
    ACCEPTED_KEY,
    WAKE_CHANNEL,
    WORKER_KEY,
    Queue,
    dead_letters_of,
    decoded,
    moves_of,
    partitions,
    queue_in,
    queue_of,
    schedule_of,
)
from resolver.store.multiplexed import Values, get_all
from resolver.store.records import Written

JSON = dict[str, Any]
LEASE_MS = 15_000
_PER_PARTITION = 50
_HEARTBEAT_SECONDS = 15
# What `complete.lua` returns; 0: the claim was lost.
_COMPLETED, _REWRITTEN = 1, 2


@dataclass(frozen=True, slots=True)
class Claim:
    """A command that this process has leased. `command` is None when its bytes don't open."""

    queue: Queue
    token: str
    command: Command | None
    sealed: bytes = b""
    abandoned_attempts: int = 0
    """Claims before this one whose process died or hung."""
    is_held: bool = True
    """Whether its record was there when it was claimed."""
    failures: int = 0
    """Attempts that Velt answered with a failure, as far as they count."""
    failed_ms: int = -1
    """Milliseconds since Velt last answered it with a failure; -1: never."""


class Call(NamedTuple):
    """The arguments of a script that works on one queue."""

    keys: list[str]
    args: list[str | bytes | int]
    queue: Queue


@dataclass(frozen=True, slots=True)
class Depth:
    """Numbers of queues and of dead letters; `outbox status --json` has these names."""

    waiting: int
    due: int
    oldest_ms: int
    """Milliseconds since the oldest queue became due."""
    dead: int


def new_claim() -> str:
    return secrets.token_hex(8)


class Outbox:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope) -> None:
        self._redis = redis
        self._envelope = envelope
        self._guard = guard
        self._claim = redis.register_script(read_script("resolver.outbox", "claim"))
        self._release = redis.register_script(read_script("resolver.outbox", "release"))
        self._complete = redis.register_script(read_script("resolver.outbox", "complete"))
        self.dead_letters = DeadLetters(redis, guard, envelope, self)
        self.waiting = WaitingCommands(redis, guard, self)
        self.unreadable = 0
        """Commands that didn't open since this process started."""

    def due(self) -> list[Queue]:
        """List queues whose first command can be claimed now, in one round trip of plain reads."""
        with self._guard:
            now = self._now()
            pipeline = self._redis.pipeline(transaction=False)
            for partition in partitions():
                pipeline.zrangebyscore(schedule_of(partition), "-inf", now, start=0, num=_PER_PARTITION)
            found = pipeline.execute()
        return [
            queue_in(partition, member)
            for partition, members in zip(partitions(), found, strict=True)
            for member in decoded(members)
        ]

    def claim(self, queue: Queue) -> Claim | None:
        """Claim the first command of a queue; None when another process was faster."""
        claims, _ = self.claim_all([queue])
        return claims[0] if claims else None

    def claim_all(
        self, queues: Sequence[Queue], isolate_after: int | None = None
    ) -> tuple[list[Claim], list[Queue]]:
        """Claim the first commands of many queues, in one round trip. Returns the claims, and the queues left
        unclaimed because their first command has `isolate_after` abandoned attempts or more."""
        most = "" if isolate_after is None else isolate_after
        calls = [
            Call(
                [queue.commands, queue.schedule, queue.record],
                [queue.member, new_claim(), LEASE_MS, most],
                queue,
            )
            for queue in queues
        ]
        with self._guard:
            found = self._call_all(self._claim, calls)
        claims = [self._claimed(call, *answer) for call, answer in found if answer and answer[0]]
        return claims, [call.queue for call, answer in found if answer and not answer[0]]

    def _claimed(self, call: Call, sealed: bytes, *counts: int) -> Claim:
        """Build the claim from a result of `claim.lua`; `counts` is what follows the command in it."""
        abandoned_attempts, is_held, failures, failed_ms = counts
        command = self.opened(call.queue.commands, sealed)
        token = str(call.args[1])
        return Claim(
            call.queue, token, command, sealed, abandoned_attempts, bool(is_held), failures, failed_ms
        )

    def complete(self, claim: Claim) -> bool:
        """Take a command out of its queue; False when the claim was lost meanwhile."""
        return self._remove(claim) == _COMPLETED

    def complete_all(self, claims: Sequence[Claim]) -> list[Claim]:
        """Complete many in one round trip. Returns those whose claim was lost."""
        calls = [_completion(claim) for claim in claims]
        with without_deadline(), self._guard:
            found = self._call_all(self._complete, calls)
        lost = {call.queue for call, done in found if not done}
        return [claim for claim in claims if claim.queue in lost]

    def dead_letter(self, claim: Claim, reason: str) -> bool:
        """Move a command to the dead letters; False unless it was moved. A command that an erasure has
        changed since it was claimed was never tried: it is released instead."""
        with self._guard:
            now = self._now()
        letter = self.dead_letters.seal(claim.queue, reason, now, claim.sealed)
        done = self._remove(claim, letter, undo=True)
        if done == _REWRITTEN:
            self.release(claim, tried=False)
        return done == _COMPLETED

    def roll_back(self, claim: Claim) -> bool:
        """Complete, and restore the record that its write replaced, unless the record was written since."""
        return self._remove(claim, undo=True) == _COMPLETED

    def release(
        self, claim: Claim, delay_ms: int = 0, *, tried: bool = True, failures: int | None = None
    ) -> bool:
        """End a claim so that the command is due again. `failures`: the count of failures, when Velt has just
        answered with one. False when the claim was lost."""
        queue = claim.queue
        failed = "" if failures is None else failures
        args: list[str | int] = [queue.member, claim.token, delay_ms, int(tried), failed]
        with without_deadline(), self._guard:
            return bool(self._release(keys=[queue.commands, queue.schedule], args=args))

    def _remove(self, claim: Claim, letter: bytes = b"", *, undo: bool = False) -> int:
        """Run `complete.lua`, and return what it returns."""
        call = _completion(claim, letter, undo=undo)
        with without_deadline(), self._guard:
            return int(self._complete(keys=call.keys, args=call.args))

    def _call_all(self, script: Script, calls: Sequence[Call]) -> list[tuple[Call, Any]]:
        """Run a script for each call, in one round trip to each server. Failed calls are left out unless all
        fail: a queue whose slot has moved must not lose the results of the others."""
        found: list[tuple[Call, Any]] = []
        for server, some in by_server(self._redis, calls, lambda call: call.keys[0]).items():
            pipeline = server.pipeline(transaction=False)
            for call in some:
                script(keys=call.keys, args=call.args, client=pipeline)
            try:
                answers = pipeline.execute(raise_on_error=False)
            except RedisError as error:
                answers = [error] * len(some)
            found += zip(some, answers, strict=True)
        answered = [(call, answer) for call, answer in found if not isinstance(answer, RedisError)]
        if found and not answered:
            raise found[0][1]
        return answered

    def depth(self) -> Depth:
        with self._guard:
            now = self._now()
            pipeline = self._redis.pipeline(transaction=False)
            for partition in partitions():
                schedule = schedule_of(partition)
                pipeline.zcard(schedule)
                pipeline.zcount(schedule, "-inf", now)
                pipeline.zrange(schedule, 0, 0, withscores=True)
                pipeline.hlen(dead_letters_of(partition))
            found = pipeline.execute()
        waiting, due, first, dead = (found[n::4] for n in range(4))
        oldest = min((entry[0][1] for entry in first if entry), default=now)
        return Depth(sum(waiting), sum(due), max(0, int(now - oldest)), sum(dead))

    def commands(self) -> Iterator[tuple[str, JSON]]:
        """Kind and data of every command that opens, queued or dead-lettered. Slow: only for operators."""
        for found in (self.waiting.all(), self.dead_letters.all()):
            for entry in found:
                if entry.command:
                    yield entry.command.kind, entry.command.data

    def hashes(self, names: Sequence[str]) -> list[tuple[str, Fields]]:
        """Read hashes of queues or of dead letters, in one round trip."""
        with self._guard:
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(name)
            return list(zip(names, cast(list[Fields], pipeline.execute()), strict=True))

    def fields(self, name: str) -> Fields:
        """Read the hash of a queue, or of a partition's dead letters, as stored."""
        with self._guard:
            return cast(Fields, self._redis.hgetall(name))

    def moves(self) -> Values:
        """Count, for each partition, bytes that moved back: a rolled-back record, or a dead letter that was
        queued again. If a scan finds the same counts before and after, it missed none of them."""
        with self._guard:
            return get_all(self._redis, [moves_of(partition) for partition in partitions()])

    def note_accepted(self) -> None:
        """Note for all processes that Velt has just accepted a call."""
        with self._guard:
            self._redis.set(ACCEPTED_KEY, str(self._now()))

    def accepted_within(self, seconds: float) -> bool:
        with self._guard:
            noted = cast(bytes | None, self._redis.get(ACCEPTED_KEY))
            return bool(noted and noted.isdigit()) and self._now() - int(noted or 0) <= seconds * 1000

    def heartbeat(self) -> None:
        """Note that a worker is alive, for 15 seconds."""
        with self._guard:
            # A full Redis refuses SET, but allows EXPIRE.
            if not self._redis.expire(WORKER_KEY, _HEARTBEAT_SECONDS):
                self._redis.set(WORKER_KEY, b"1", ex=_HEARTBEAT_SECONDS)

    def has_live_worker(self) -> bool:
        with self._guard:
            return bool(self._redis.exists(WORKER_KEY))

    def opened(self, name: str, sealed: bytes) -> Command | None:
        try:
            return Command.from_bytes(self._envelope.open(name, sealed))
        except Unreadable:
            self.count_unreadable()
            return None

    def count_unreadable(self) -> None:
        self.unreadable += 1
        metrics.UNREADABLE.labels("command").inc()

    def _now(self) -> int:
        """Milliseconds by Redis's clock: hosts' clocks may be wrong, and differ."""
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000


def _completion(claim: Claim, letter: bytes = b"", *, undo: bool = False) -> Call:
    queue = claim.queue
    keys = [queue.commands, queue.schedule, queue.dead_letters, queue.record, queue.moves]
    return Call(keys, [queue.member, claim.token, WAKE_CHANNEL, letter, int(undo), claim.sealed], queue)


def claim_of(written: Written, command: Command) -> Claim:
    """The claim that a write was given on its own command."""
    return Claim(queue_of(written.key_name), written.claim, command)
