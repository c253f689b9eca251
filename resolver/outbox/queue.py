"""The lines of commands: claim the first of one, then finish it, give it back or give it up.

A claim holds for a while, by Redis's clock, so the work of a process that died comes back by itself; whatever
comes after a claim was lost does nothing.
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
from resolver.outbox.dead_letters import Dead, DeadLetters
from resolver.outbox.waiting import Fields, WaitingCommands
from resolver.store.cluster import by_server
from resolver.store.command import Command
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import (
    ACCEPTED_KEY,
    WAKE_CHANNEL,
    WORKER_KEY,
    Line,
    dead_of,
    decoded,
    line_in,
    line_of,
    moves_of,
    partitions,
    queue_of,
)
from resolver.store.multiplexed import Values, get_all
from resolver.store.records import Written

JSON = dict[str, Any]
LEASE_MS = 15_000
_PER_PARTITION = 50
_HEARTBEAT_SECONDS = 15
# What `finish.lua` returns; 0 is a claim that was lost.
_FINISHED, _REWRITTEN = 1, 2


@dataclass(frozen=True, slots=True)
class Claimed:
    """A command in somebody's hands. `command` is None when its bytes don't open."""

    line: Line
    claim: str
    command: Command | None
    sealed: bytes = b""
    abandoned_attempts: int = 0
    """Claims before this one that came to no outcome: their holders died, or hung."""
    is_held: bool = True
    """Whether its record was there when it was claimed."""
    failures: int = 0
    """Failures that Velt answered it with, and that count."""
    failed_ms: int = -1
    """Milliseconds since Velt last answered it with a failure; -1: never."""


class Call(NamedTuple):
    """Of a script, about one line."""

    keys: list[str]
    args: list[str | bytes | int]
    line: Line


@dataclass(frozen=True, slots=True)
class Depth:
    waiting: int
    due: int
    oldest_ms: int
    """How long the longest has been due."""
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
        self._finish = redis.register_script(read_script("resolver.outbox", "finish"))
        self.dead_letters = DeadLetters(redis, guard, envelope, self)
        self.waiting = WaitingCommands(redis, guard, self)
        self.unreadable = 0
        """Commands that didn't open since this process started."""

    def due(self) -> list[Line]:
        """What could be claimed now: one round trip of plain reads, whatever the number of partitions."""
        with self._guard:
            now = self._now()
            pipeline = self._redis.pipeline(transaction=False)
            for partition in partitions():
                pipeline.zrangebyscore(queue_of(partition), "-inf", now, start=0, num=_PER_PARTITION)
            found = pipeline.execute()
        return [
            line_in(partition, member)
            for partition, members in zip(partitions(), found, strict=True)
            for member in decoded(members)
        ]

    def claim(self, line: Line) -> Claimed | None:
        """The first command of this line, or nothing when somebody else was quicker."""
        claims, _ = self.claim_all([line])
        return claims[0] if claims else None

    def claim_all(
        self, lines: Sequence[Line], suspicious: int | None = None
    ) -> tuple[list[Claimed], list[Line]]:
        """The same of many lines, in one round trip; and those left unclaimed because so many claims of them
        came to no outcome."""
        most = "" if suspicious is None else suspicious
        calls = [
            Call([line.commands, line.queue, line.record], [line.member, new_claim(), LEASE_MS, most], line)
            for line in lines
        ]
        with self._guard:
            found = self._call_all(self._claim, calls)
        claims = [self._claimed(call, *answer) for call, answer in found if answer and answer[0]]
        return claims, [call.line for call, answer in found if answer and not answer[0]]

    def _claimed(self, call: Call, sealed: bytes, *counts: int) -> Claimed:
        """`counts`: what `claim.lua` returns beside the command."""
        abandoned_attempts, is_held, failures, failed_ms = counts
        command = self.opened(call.line.commands, sealed)
        return Claimed(
            call.line,
            str(call.args[1]),
            command,
            sealed,
            abandoned_attempts,
            bool(is_held),
            failures,
            failed_ms,
        )

    def finish(self, claimed: Claimed) -> bool:
        """Done; False when the claim was lost meanwhile."""
        return self._out_of_line(claimed) == _FINISHED

    def finish_all(self, claims: Sequence[Claimed]) -> list[Claimed]:
        """The same of many, in one round trip. Returns those whose claim was lost."""
        calls = [_finishing(claimed) for claimed in claims]
        with without_deadline(), self._guard:
            found = self._call_all(self._finish, calls)
        lost = {call.line for call, done in found if not done}
        return [claimed for claimed in claims if claimed.line in lost]

    def dead_letter(self, claimed: Claimed, reason: str) -> bool:
        """Out of the line and among the dead, with the reason, until an operator looks. When an erasure has
        changed the command since it was claimed, that one was never tried: it is due again instead."""
        with self._guard:
            now = self._now()
        about = self.dead_letters.sealed(claimed.line, reason, now, claimed.sealed)
        done = self._out_of_line(claimed, dead=about, refused=True)
        if done == _REWRITTEN:
            self.release(claimed, tried=False)
        return done == _FINISHED

    def roll_back(self, claimed: Claimed) -> bool:
        """Done with, and the record as it was before it was written, unless somebody wrote since."""
        return self._out_of_line(claimed, refused=True) == _FINISHED

    def release(
        self, claimed: Claimed, delay_ms: int = 0, *, tried: bool = True, failures: int | None = None
    ) -> bool:
        """To be claimed again, by anybody. `failures`: Velt has answered it with a failure just now, and so
        many count."""
        line = claimed.line
        failed = "" if failures is None else failures
        args: list[str | int] = [line.member, claimed.claim, delay_ms, int(tried), failed]
        with without_deadline(), self._guard:
            return bool(self._release(keys=[line.commands, line.queue], args=args))

    def _out_of_line(self, claimed: Claimed, dead: bytes = b"", *, refused: bool = False) -> int:
        """What `finish.lua` returns."""
        call = _finishing(claimed, dead, refused=refused)
        with without_deadline(), self._guard:
            return int(self._finish(keys=call.keys, args=call.args))

    def _call_all(self, script: Script, calls: Sequence[Call]) -> list[tuple[Call, Any]]:
        """In one round trip to each server. What failed is left out, as long as anything did not: a line that
        has moved, say, must not cost the others what has happened to them."""
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
                queue = queue_of(partition)
                pipeline.zcard(queue)
                pipeline.zcount(queue, "-inf", now)
                pipeline.zrange(queue, 0, 0, withscores=True)
                pipeline.hlen(dead_of(partition))
            found = pipeline.execute()
        waiting, due, first, dead = (found[n::4] for n in range(4))
        oldest = min((entry[0][1] for entry in first if entry), default=now)
        return Depth(sum(waiting), sum(due), max(0, int(now - oldest)), sum(dead))

    def dead(self) -> Iterator[Dead]:
        """Those that were given up, waiting for an operator."""
        return self.dead_letters.all()

    def commands(self) -> Iterator[tuple[str, JSON]]:
        """Kind and data of every command that opens, waiting or dead: for operators alone."""
        for found in (self.waiting.all(), self.dead()):
            for entry in found:
                if entry.command:
                    yield entry.command.kind, entry.command.data

    def lines(self, names: Sequence[str]) -> list[tuple[str, Fields]]:
        """Some hashes, of lines or of the dead, in one round trip."""
        with self._guard:
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(name)
            return list(zip(names, cast(list[Fields], pipeline.execute()), strict=True))

    def fields(self, name: str) -> Fields:
        """Of a line's hash, or of a partition's dead, as they are."""
        with self._guard:
            return cast(Fields, self._redis.hgetall(name))

    def moves(self) -> Values:
        """Counts, by partition, of bytes that moved back: to a record from what an add would restore, into a
        line from the dead. Equal before and after looking, nothing moved past the one who looked."""
        with self._guard:
            return get_all(self._redis, [moves_of(partition) for partition in partitions()])

    def note_accepted(self) -> None:
        """Velt has accepted a call just now: every process may know."""
        with self._guard:
            self._redis.set(ACCEPTED_KEY, str(self._now()))

    def accepted_within(self, seconds: float) -> bool:
        with self._guard:
            noted = cast(bytes | None, self._redis.get(ACCEPTED_KEY))
            return bool(noted and noted.isdigit()) and self._now() - int(noted or 0) <= seconds * 1000

    def heartbeat(self) -> None:
        """A worker's sign of life, which ends by itself. Prolonged rather than set, where it can be: a Redis
        that is full still allows that."""
        with self._guard:
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
        """Redis's clock in milliseconds: the host's own may be wrong, and differs between hosts."""
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000


def _finishing(claimed: Claimed, dead: bytes = b"", *, refused: bool = False) -> Call:
    line = claimed.line
    keys = [line.commands, line.queue, line.dead, line.record, line.moves]
    return Call(keys, [line.member, claimed.claim, WAKE_CHANNEL, dead, int(refused), claimed.sealed], line)


def claimed_by(written: Written, command: Command) -> Claimed:
    """The claim that a write was given on its own command."""
    return Claimed(line_of(written.key_name), written.claim, command)
