"""Sealed records in Redis: put, read, change, remove.

Changes use optimistic concurrency: read, open, change, seal, and a script that replaces the record only if it
is still the version that was read. Every failure of Redis is StoreUnavailable: an outage never looks like
"not found".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple, TypeVar, cast

import structlog
from msgspec.structs import replace
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from resolver.crypto.envelope import Envelope, nonce_of
from resolver.errors import Overtaken, StoreUnavailable, Unavailable, Unreadable
from resolver.ops import metrics
from resolver.store.cluster import by_server, run_replicated
from resolver.store.command import Entry
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import IDENTITY_KEY, RECORD_PATTERN, WAKE_CHANNEL, Keyspace, queue_of
from resolver.store.multiplexed import Admit, Values, read_into
from resolver.store.record import Form, Record
from resolver.store.scan import scan

_DAY_MS = 86_400_000
_TRIES = 3
_MAX_NAMES = 1024  # names in one round trip
Keys = list[str]
Arguments = list[bytes | str | int]
Tag = TypeVar("Tag")
Result = TypeVar("Result")
_log = structlog.get_logger(__name__)

Changed = tuple[Record | None, Entry | None]
"""The record to store instead (None removes it), and the command to queue in the same step."""
Change = Callable[[Record], Changed]
"""May run again on a newer version. Returns its argument itself for "no change"."""


class _Write(NamedTuple):
    """Arguments of `scripts/commit.lua` about the record."""

    mode: str
    sealed: bytes = b""
    px: int | bytes = b""
    read: bytes = b""


class Held(NamedTuple):
    """A record as it was read, with what it takes to replace it."""

    key_name: str
    sealed: bytes
    record: Record


@dataclass(frozen=True, slots=True)
class Written:
    """Result of a write."""

    key_name: str
    claim: str = ""
    """The entry's claim token if the command was claimed; else empty."""


class Retention(NamedTuple):
    """How long records are kept, and how many replicas must have one before its write succeeds."""

    days: int = 0
    """0: forever."""
    replicas: int = 0


class RecordStore:
    def __init__(
        self,
        redis: Redis,
        guard: Guard,
        keyspace: Keyspace,
        envelope: Envelope,
        retention: Retention,
    ) -> None:
        self._redis = redis
        self._keyspace = keyspace
        self._envelope = envelope
        self._retention_ms = retention.days * _DAY_MS
        self._replicas = retention.replicas
        self.guard = guard
        self._commit = redis.register_script(read_script("resolver.store", "commit"))
        self.unreadable = 0
        """Records that didn't open since this process started."""

    def put(self, record: Record, entry: Entry | None = None) -> Written:
        """Store a record and queue its command in one step. Replaces a record with this id; its retention
        starts now."""
        key_name, write = self._put("put", record)
        return self._write_always(key_name, write, entry, waits=True)

    def put_new(self, record: Record, entry: Entry | None = None) -> Written | None:
        """Store a record and queue its command, unless its id is taken: then None."""
        key_name, write = self._put("put new", record)
        return self._write(key_name, write, entry, waits=True)

    def make_durable(self, organization: str, notification: str) -> None:
        """Write a record again unchanged, and wait for the replicas: some may have missed its add."""
        if self._replicas:
            self.change(organization, notification, lambda record: (replace(record), None), waits=True)

    def remove(self, organization: str, notification: str, entry: Entry | None = None) -> Written:
        return self._write_always(self._keyspace.record(organization, notification), _Write("remove"), entry)

    def enqueue(self, organization: str, notification: str, entry: Entry) -> Written:
        """Queue a command without touching the record."""
        return self._write_always(self._keyspace.record(organization, notification), _Write("keep"), entry)

    def change(
        self, organization: str, notification: str, change: Change, *, waits: bool = False
    ) -> Written | None:
        """Change the stored record; None when there is none that opens. Raises Overtaken when other writers
        change it three times in a row."""
        key_name = self._keyspace.record(organization, notification)
        for _ in range(_TRIES):
            sealed = cast(bytes | None, self._timed("read", self._redis.get, key_name))
            record = self._open(key_name, sealed)
            if record is None or sealed is None:
                return None
            changed, entry = change(record)
            if changed is record:
                return Written(key_name)
            write = self._replacement(key_name, sealed, changed)
            if written := self._write(key_name, write, entry, waits=waits):
                return written
        raise Overtaken()

    def open(
        self,
        decode: Callable[[bytes], Form],
        organization: str,
        notifications: Sequence[str],
        others: Sequence[str] = (),
        *,
        admit: Admit | None = None,
    ) -> tuple[Iterator[tuple[str, Form]], Values]:
        """Read records, and the values of other keys, in one round trip.

        Absent and unreadable records are left out. The iterator opens one record at a time, so a caller that
        keeps only contents doesn't hold every decoded audience in memory.

        `admit`: see `read_into`.
        """
        names: list[str] = self._keyspace.records(organization, notifications)
        wanted, values = [*names, *others], list[bytes | None]()
        # The guard checks the deadline before each round trip; a data provider's read takes only one.
        for start in range(0, len(wanted), _MAX_NAMES):
            values += self._timed("read", self._values, wanted[start : start + _MAX_NAMES], admit)
        own, beside = values[: len(names)], values[len(names) :]
        each = map(own.pop, repeat(0, len(own)))  # frees the sealed bytes of each record as it is opened
        return self._each_opened(decode, notifications, names, each), beside

    def read(
        self, organization: str, notifications: Sequence[str], *, admit: Admit | None = None
    ) -> dict[str, Record]:
        """Read the records with these ids, in one round trip."""
        return dict(self.open(Record.from_bytes, organization, notifications, admit=admit)[0])

    def scan(self) -> Iterator[Record]:
        """Yield every record, in no order. Slow: for exports and operators' commands."""
        for batch in self.batches():
            yield from (held.record for held in batch)

    def batches(self) -> Iterator[list[Held]]:
        """Yield every record in batches of some hundred, ready for `replace_all`."""
        for names in scan(self._redis, self.guard, RECORD_PATTERN):
            yield self._batch(names)

    def batch(self, organization: str, notifications: Sequence[str]) -> list[Held]:
        """Read records for `replace_all`, in one round trip to each server."""
        return self._batch(self._keyspace.records(organization, notifications)) if notifications else []

    def _batch(self, names: list[str]) -> list[Held]:
        with self.guard:
            values = self._values(names)
        stored = zip(names, values, strict=True)
        opened = self._each_opened(Record.from_bytes, stored, names, values)
        return [Held(name, sealed, record) for (name, sealed), record in opened if sealed]

    def replace_all(self, changes: Sequence[tuple[Held, Changed]]) -> list[bool]:
        """Replace records in one round trip to each server. False for each that was written since it was
        read: use `change` for those."""
        done: dict[str, bool] = {}
        with self.guard:
            for server, some in by_server(self._redis, changes, lambda change: change[0].key_name).items():
                pipeline = server.pipeline(transaction=False)
                for held, (changed, entry) in some:
                    write = self._replacement(held.key_name, held.sealed, changed)
                    keys, args = self._arguments(held.key_name, write, entry)
                    self._commit(keys=keys, args=args, client=pipeline)
                written = zip(some, pipeline.execute(), strict=True)
                done |= {held.key_name: bool(is_done) for (held, _), (is_done, _) in written}
        return [done[held.key_name] for held, _ in changes]

    def ping(self) -> None:
        """Check that Redis answers, and is our database. Raises StoreUnavailable."""
        with self.guard:
            self._redis.exists(IDENTITY_KEY)

    def state(self) -> str:
        """`ok`, or the `state` of the StoreUnavailable that `ping` raises."""
        try:
            self.ping()
        except StoreUnavailable as error:
            return error.state
        return "ok"

    def _timed(self, operation: str, function: Callable[..., Result], *args: Any) -> Result:
        """Call a function that uses Redis, under the guard, and record its time and outcome."""
        started, outcome = time.perf_counter(), "ok"
        try:
            with self.guard:
                return function(*args)
        except Exception as error:
            outcome = "unavailable" if isinstance(error, Unavailable) else "failed"
            raise
        finally:
            metrics.series(metrics.STORE, operation, outcome).observe(time.perf_counter() - started)

    def _values(self, names: Sequence[str], admit: Admit | None = None) -> Values:
        values: Values = []
        try:
            read_into(values, self._redis, names, admit)
        except RedisConnectionError:
            # The connection was lost: read again, which is harmless. Under the guard, so that not every
            # request in flight tries in vain to connect.
            with self.guard:
                read_into(values, self._redis, names[len(values) :], admit)
        return values

    def _open(self, key_name: str, sealed: bytes | None) -> Record | None:
        opened = self._each_opened(Record.from_bytes, [key_name], [key_name], [sealed])
        return next((record for _, record in opened), None)

    def _each_opened(
        self,
        decode: Callable[[bytes], Form],
        tags: Iterable[Tag],
        names: Sequence[str],
        values: Iterable[bytes | None],
    ) -> Iterator[tuple[Tag, Form]]:
        """Yield the records that are there and open, each with its tag."""
        open_ = self._envelope.open
        for tag, key_name, sealed in zip(tags, names, values, strict=True):
            if sealed is None:
                continue
            try:
                record = decode(open_(key_name, sealed))
            except Unreadable:
                self.unreadable += 1
                metrics.UNREADABLE.labels("record").inc()
                _log.error("record_unreadable", key=key_name)
                continue
            yield tag, record

    def _write_always(
        self, key_name: str, write: _Write, entry: Entry | None, *, waits: bool = False
    ) -> Written:
        """Write without comparing versions: such a write can't be overtaken."""
        return self._write(key_name, write, entry, waits=waits) or Written(key_name)

    def _write(
        self, key_name: str, write: _Write, entry: Entry | None, *, waits: bool = False
    ) -> Written | None:
        """Write record and command in one step; None when another write was faster, and nothing is written.
        With `waits`, raises StoreUnavailable unless RESOLVER_REDIS_WAIT replicas have it."""
        keys, args = self._arguments(key_name, write, entry)
        done, claimed = self._timed(write.mode, self._committed, keys, args, waits)
        if not done:
            return None
        return Written(key_name, entry.claim if entry and claimed else "")

    def _committed(self, keys: Keys, args: Arguments, waits: bool) -> tuple[int, int]:
        if waits and self._replicas:
            found = run_replicated(self._redis, self._commit, keys, args, self._replicas)
        else:
            found = self._commit(keys=keys, args=args)
        return cast(tuple[int, int], found)

    def _put(self, mode: str, record: Record) -> tuple[str, _Write]:
        """Return the record's key name, and the write that stores it."""
        key_name = self._keyspace.record(record.organization, record.notification)
        sealed = self._envelope.seal(key_name, record.to_bytes())
        return key_name, _Write(mode, sealed, px=self._retention_ms or b"")

    def _replacement(self, key_name: str, sealed: bytes, changed: Record | None) -> _Write:
        replacement = self._envelope.seal(key_name, changed.to_bytes()) if changed else b""
        return _Write("replace", replacement, read=nonce_of(sealed))

    def _arguments(self, key_name: str, write: _Write, entry: Entry | None) -> tuple[Keys, Arguments]:
        queue = queue_of(key_name)
        command = self._envelope.seal(queue.commands, entry.command.to_bytes()) if entry else b""
        _, place, claim, lease_ms = entry or ("", "", "", 0)
        keys = [key_name, queue.commands, queue.schedule]
        return keys, [*write, command, place, claim, lease_ms, queue.member, WAKE_CHANNEL]
