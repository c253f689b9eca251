"""Erasures in Redis: open requests, sealed because they name people, and erasure certificates.

This module stores both without reading them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import orjson
import structlog
from redis import Redis

from resolver.crypto.envelope import Envelope, key_id_of
from resolver.errors import StoreUnavailable, Unreadable
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import (
    CERTIFICATES,
    ERASURES,
    KNOWN_ERASURES,
    SCAN_LEASE,
    Keyspace,
    decoded,
    queue_of,
    touched_by,
)

JSON = dict[str, Any]
_log = structlog.get_logger(__name__)
_AT_ONCE = 1000
_EFFECT_WIDTH = 16


class ErasureStore:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope, keyspace: Keyspace) -> None:
        self._redis, self._guard, self._envelope, self._keyspace = redis, guard, envelope, keyspace
        self._save, self._replace_field, self._close = (
            redis.register_script(read_script("resolver.store", name))
            for name in ("save_erasure", "replace_field", "close_erasure")
        )

    def file(self, erasure: str, state: JSON) -> None:
        with self._guard:
            self._redis.hset(ERASURES, erasure, self._sealed(erasure, state))

    def know(self, erasure: str) -> None:
        """Note that this database has carried the erasure out; a backup from before it doesn't know the id.
        Call it only after the content is gone: a backup taken earlier must not know it."""
        with self._guard:
            self._redis.sadd(KNOWN_ERASURES, erasure)

    def save(self, erasure: str, state: JSON, holder: str) -> None:
        """Save the state of an open erasure. Raises StoreUnavailable unless `holder` has the lease."""
        with self._guard:
            sealed = self._sealed(erasure, state)
            saved = self._save(keys=[ERASURES, SCAN_LEASE], args=[erasure, sealed, holder])
        if saved < 0:
            raise StoreUnavailable("another process is at work on erasures")

    def under_way(self) -> dict[str, JSON]:
        """Return the open erasures that can be decrypted; `read` raises for one that can't."""
        opened = ((name, self._opened(name, sealed)) for name, sealed in self._all().items())
        return {name: state for name, state in opened if state is not None}

    def read(self, erasure: str) -> JSON | None:
        with self._guard:
            sealed = cast(bytes | None, self._redis.hget(ERASURES, erasure))
        if not sealed:
            return None
        if (state := self._opened(erasure, sealed)) is None:
            # It was requested and isn't done: the caller must not take it for an unknown id.
            raise StoreUnavailable("an erasure does not open with these keys")
        return state

    def close(self, erasure: str, certificate: bytes) -> None:
        names = [CERTIFICATES, KNOWN_ERASURES, ERASURES, touched_by(erasure)]
        with self._guard:
            self._close(keys=names, args=[erasure, certificate])

    def certificate(self, erasure: str) -> bytes | None:
        with self._guard:
            return cast(bytes | None, self._redis.hget(CERTIFICATES, erasure))

    def known(self, erasures: Sequence[str]) -> set[str]:
        if not erasures:
            return set()
        with self._guard:
            known = cast(list[int], self._redis.smismember(KNOWN_ERASURES, list(erasures)))
        return {erasure for erasure, is_known in zip(erasures, known, strict=True) if is_known}

    def certificates(self) -> dict[str, bytes]:
        with self._guard:
            found = cast(dict[bytes, bytes], self._redis.hgetall(CERTIFICATES))
        return {name: found[name.encode()] for name in decoded(found)}

    def touch(self, erasure: str, effects: Mapping[str, str]) -> None:
        """Note which records the erasure is about to change, and how. After a crash, the process that
        continues counts none twice and forgets none."""
        if effects:
            items = [part for name, effect in effects.items() for part in self._noted(erasure, name, effect)]
            with self._guard:
                self._redis.hset(touched_by(erasure), items=items)

    def touch_if_new(self, erasure: str, name: str, effect: str) -> None:
        with self._guard:
            self._redis.hsetnx(touched_by(erasure), *self._noted(erasure, name, effect))

    def touched(self, erasure: str) -> dict[str, str]:
        touched: dict[str, str] = {}
        for found in self._touches(erasure):
            touched.update(self._read_touch(erasure, field, sealed) for field, sealed in found.items())
        return touched

    def _touches(self, erasure: str) -> Iterator[dict[bytes, bytes]]:
        """Scan in steps: one answer with all records of an organization may take too long."""
        cursor = 0
        while True:
            with self._guard:
                answer = self._redis.hscan(touched_by(erasure), cursor, count=_AT_ONCE)
            cursor, found = cast(tuple[int, dict[bytes, bytes]], answer)
            yield found
            if not cursor:
                return

    def _noted(self, erasure: str, name: str, effect: str) -> tuple[str, bytes]:
        """Build a hash field and its value. Neither reveals the record or the effect to a reader of the
        database, not by the length either."""
        field = self._keyspace.touched(erasure, name)
        return field, self._envelope.seal(
            _touch_of(erasure, field), f"{name} {effect:{_EFFECT_WIDTH}}".encode()
        )

    def _read_touch(self, erasure: str, field: bytes, sealed: bytes) -> tuple[str, str]:
        try:
            name, effect = (
                self._envelope.open(_touch_of(erasure, field.decode()), sealed).decode().split(" ", 1)
            )
        except (Unreadable, ValueError):
            raise StoreUnavailable("what an erasure touched does not open with these keys") from None
        return name, effect.rstrip()

    def waiting(self, records: list[str]) -> list[str]:
        """Return those records that have queued commands."""
        left: list[str] = []
        for start in range(0, len(records), _AT_ONCE):
            some = records[start : start + _AT_ONCE]
            with self._guard:
                pipeline = self._redis.pipeline(transaction=False)
                for name in some:
                    pipeline.exists(queue_of(name).commands)
                left += [name for name, is_there in zip(some, pipeline.execute(), strict=True) if is_there]
        return left

    def size(self) -> int:
        """Approximate number of records, for a progress bar. Other keys are counted too."""
        with self._guard:
            return int(self._redis.dbsize())

    def key_ids(self) -> Counter[str]:
        """Count values by the master key that sealed them."""
        found: Counter[str] = Counter()
        for erasure, sealed in self._all().items():
            found[key_id_of(sealed)] += 1
            for touches in self._touches(erasure):
                found.update(map(key_id_of, touches.values()))
        return found

    def reseal(self) -> None:
        """Seal everything again under the current master key, except values that changed meanwhile."""
        for erasure, sealed in self._all().items():
            if state := self._opened(erasure, sealed):
                self._replace(ERASURES, erasure.encode(), sealed, self._sealed(erasure, state))
            for touches in self._touches(erasure):
                for field, touch in touches.items():
                    if not self._envelope.is_fresh(touch):
                        resealed = self._envelope.reseal(_touch_of(erasure, field.decode()), touch)
                        self._replace(touched_by(erasure), field, touch, resealed)

    def _replace(self, name: str, field: bytes, old: bytes, new: bytes) -> None:
        with self._guard:
            self._replace_field(keys=[name], args=[field, old, new])

    def _all(self) -> dict[str, bytes]:
        with self._guard:
            found = cast(dict[bytes, bytes], self._redis.hgetall(ERASURES))
        return {name: found[name.encode()] for name in decoded(found)}

    def _sealed(self, erasure: str, state: JSON) -> bytes:
        return self._envelope.seal(touched_by(erasure), orjson.dumps(state))

    def _opened(self, erasure: str, sealed: bytes) -> JSON | None:
        try:
            state: JSON = orjson.loads(self._envelope.open(touched_by(erasure), sealed))
        except (Unreadable, orjson.JSONDecodeError):
            _log.error("erasure_unreadable", erasure=erasure)
            return None
        return state


def _touch_of(erasure: str, field: str) -> str:
    """Return the name a touch is sealed under, so that a value moved elsewhere doesn't open."""
    return f"{touched_by(erasure)}:{field}"
