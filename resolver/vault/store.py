"""Sealed records in Redis: put, read, change, remove.

Every change of a stored record is read, open, change, seal, and a script that replaces it only if it is
still the version that was read. A Redis that fails in any way is VaultUnavailable: an outage never looks
like "not found".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import cast

import structlog
from redis import ConnectionError as RedisConnectionError
from redis import Redis, RedisError

from resolver.deadline import CURRENT
from resolver.errors import Overtaken, Unreadable, VaultUnavailable
from resolver.record import Record
from resolver.vault.connect import ANSWER_SECONDS
from resolver.vault.envelope import Envelope, nonce_of
from resolver.vault.fingerprint import Fingerprint
from resolver.vault.keyspace import RECORD_PATTERN, Keyspace

_DAY_MS = 86_400_000
_TRIES = 3
_SCAN_BATCH = 500
_log = structlog.get_logger(__name__)

Values = list[bytes | None]
Change = Callable[[Record], Record | None]
"""Returns what to store instead, or None to remove the record. May run again on a fresher version."""


@dataclass(frozen=True, slots=True)
class Written:
    """What `take_back` needs: where, which version is ours, and what stood there before."""

    key_name: str
    nonce: bytes
    previous: bytes | None
    time_left: int
    """Milliseconds that it had to live; 0 when it had no end."""


class Vault:
    def __init__(self, redis: Redis, keyspace: Keyspace, envelope: Envelope, retention_days: int) -> None:
        self._redis = redis
        self._keyspace = keyspace
        self._envelope = envelope
        self._retention_ms = retention_days * _DAY_MS
        self._fingerprint = Fingerprint(redis, keyspace, self._is_ours)
        self._replace = redis.register_script(
            files("resolver.vault").joinpath("scripts/replace.lua").read_text(encoding="utf-8")
        )
        self.unreadable = 0
        """Records that didn't open since this process started."""

    def put(self, record: Record) -> Written:
        """Stores it, over whatever stood under its id. The retention starts now."""
        key_name = self._keyspace.record(record.organization, record.notification)
        sealed = self._envelope.seal(key_name, record.to_bytes())
        with self._redis_errors():
            transaction = self._redis.pipeline(transaction=True)
            transaction.pttl(key_name)
            transaction.set(key_name, sealed, px=self._retention_ms or None, get=True)
            time_left, previous = transaction.execute()
        return Written(key_name, nonce_of(sealed), previous, max(time_left, 0))

    def take_back(self, written: Written) -> None:
        """Restores what stood there before a put, unless somebody wrote since."""
        with self._redis_errors():
            self._replace(
                keys=[written.key_name],
                args=[written.nonce, written.previous or b"", written.time_left or "0"],
            )

    def read(self, organization: str, notifications: Sequence[str]) -> dict[str, Record]:
        """What is held of these, in one round trip. Absent and unreadable ones are simply not there."""
        names = [self._keyspace.record(organization, n) for n in notifications]
        if not names:
            return {}
        with self._redis_errors():
            values = self._mget(names)
        opened = zip(notifications, map(self._open, names, values), strict=True)
        return {notification: record for notification, record in opened if record}

    def change(self, organization: str, notification: str, change: Change) -> bool:
        """Applies the change to the stored record; False when there is none (or none that opens)."""
        key_name = self._keyspace.record(organization, notification)
        for _ in range(_TRIES):
            with self._redis_errors():
                sealed = cast(bytes | None, self._redis.get(key_name))
            record = self._open(key_name, sealed)
            if record is None or sealed is None:
                return False
            changed = change(record)
            if changed is record or self._swap(key_name, sealed, changed):
                return True
        raise Overtaken()

    def remove(self, organization: str, notifications: Iterable[str]) -> None:
        names = [self._keyspace.record(organization, n) for n in notifications]
        with self._redis_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.unlink(name)
            pipeline.execute()

    def scan(self) -> Iterator[Record]:
        """Every record, in no order. Long: for operators' commands, never for a request."""
        with self._redis_errors():
            names: list[bytes] = []
            for name in self._redis.scan_iter(match=RECORD_PATTERN, count=_SCAN_BATCH):
                names.append(name)
                if len(names) == _SCAN_BATCH:
                    yield from self._opened(names)
                    names = []
            yield from self._opened(names)

    def ping(self) -> None:
        """Reached, and ours."""
        with self._redis_errors():
            self._redis.ping()

    def _opened(self, names: list[bytes]) -> Iterator[Record]:
        if names:
            texts = [name.decode() for name in names]
            yield from filter(None, map(self._open, texts, self._mget(texts)))

    def _mget(self, names: list[str]) -> Values:
        try:
            return cast(Values, self._redis.mget(names))
        except RedisConnectionError:
            # A pooled connection that the server closed meanwhile; reading twice is harmless.
            return cast(Values, self._redis.mget(names))

    def _open(self, key_name: str, sealed: bytes | None) -> Record | None:
        if sealed is None:
            return None
        try:
            return Record.from_bytes(self._envelope.open(key_name, sealed))
        except Unreadable:
            self.unreadable += 1
            _log.error("record_unreadable", key=key_name)
            return None

    def _swap(self, key_name: str, sealed: bytes, changed: Record | None) -> bool:
        replacement = self._envelope.seal(key_name, changed.to_bytes()) if changed else b""
        with self._redis_errors():
            return bool(self._replace(keys=[key_name], args=[nonce_of(sealed), replacement, b""]))

    def _is_ours(self, key_name: str) -> bool:
        """Whether a record that is there was put there with these keys: it opens, and its name is its own."""
        record = self._open(key_name, cast(bytes | None, self._redis.get(key_name)))
        return (
            record is not None and self._keyspace.record(record.organization, record.notification) == key_name
        )

    @contextmanager
    def _redis_errors(self) -> Iterator[None]:
        if deadline := CURRENT.get():
            deadline.require(ANSWER_SECONDS)
        try:
            self._fingerprint.check()
            yield
        except RedisError as error:
            raise VaultUnavailable(f"redis: {type(error).__name__}") from error
