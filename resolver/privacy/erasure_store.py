"""Erasures in Redis: those under way, sealed since they name people, and the certificates of those done,
which name nobody. What is in either is `privacy`'s to know.
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
    ORDERS,
    ORDERS_HELD,
    ORDERS_KNOWN,
    Keyspace,
    decoded,
    queue_of,
    touched_by,
)

JSON = dict[str, Any]
_log = structlog.get_logger(__name__)
_AT_ONCE = 1000
_FATE_WIDTH = 16


class ErasureStore:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope, keyspace: Keyspace) -> None:
        self._redis, self._guard, self._envelope, self._keyspace = redis, guard, envelope, keyspace
        self._hold, self._let_go, self._save, self._reseal, self._close = (
            redis.register_script(read_script("resolver.store", name))
            for name in ("hold", "let_go", "save_order", "reseal_order", "close_order")
        )

    def file(self, order: str, state: JSON) -> None:
        with self._guard:
            self._redis.hset(ORDERS, order, self._sealed(order, state))

    def know(self, order: str) -> None:
        """Its people are gone here: a database that doesn't know it is older than that. Not said sooner, or a
        backup that was taken while they were still here would say it too."""
        with self._guard:
            self._redis.sadd(ORDERS_KNOWN, order)

    def save(self, order: str, state: JSON, who: str) -> None:
        """Unless it was closed meanwhile. Only for whoever holds the right to work on it."""
        with self._guard:
            saved = self._save(keys=[ORDERS, ORDERS_HELD], args=[order, self._sealed(order, state), who])
        if saved < 0:
            raise StoreUnavailable("another process is at work on erasures")

    def under_way(self) -> dict[str, JSON]:
        """Those that open. One that doesn't must not end the others; `read` says so."""
        opened = ((name, self._opened(name, sealed)) for name, sealed in self._all().items())
        return {name: state for name, state in opened if state is not None}

    def read(self, order: str) -> JSON | None:
        with self._guard:
            sealed = cast(bytes | None, self._redis.hget(ORDERS, order))
        if not sealed:
            return None
        if (state := self._opened(order, sealed)) is None:
            # Somebody asked for it, and it isn't done: that must not look like "never heard of".
            raise StoreUnavailable("an erasure does not open with these keys")
        return state

    def close(self, order: str, certificate: bytes) -> None:
        names = [CERTIFICATES, ORDERS_KNOWN, ORDERS, touched_by(order)]
        with self._guard:
            self._close(keys=names, args=[order, certificate])

    def certificate(self, order: str) -> bytes | None:
        with self._guard:
            return cast(bytes | None, self._redis.hget(CERTIFICATES, order))

    def known(self, erasure_store: Sequence[str]) -> set[str]:
        if not erasure_store:
            return set()
        with self._guard:
            known = cast(list[int], self._redis.smismember(ORDERS_KNOWN, list(erasure_store)))
        return {order for order, is_known in zip(erasure_store, known, strict=True) if is_known}

    def certificates(self) -> dict[str, bytes]:
        with self._guard:
            found = cast(dict[bytes, bytes], self._redis.hgetall(CERTIFICATES))
        return {name: found[name.encode()] for name in decoded(found)}

    def hold(self, who: str, seconds: float) -> bool:
        """The right to work on orders, one process at a time. Two would do no harm, but everything twice."""
        with self._guard:
            return bool(self._hold(keys=[ORDERS_HELD], args=[who, int(seconds * 1000)]))

    def release_lease(self, who: str) -> None:
        with self._guard:
            self._let_go(keys=[ORDERS_HELD], args=[who])

    def touch(self, order: str, fates: Mapping[str, str]) -> None:
        """Which records it is about to change, and how: so that whoever goes on after a crash counts none
        twice, and forgets none."""
        if fates:
            items = [part for name, fate in fates.items() for part in self._noted(order, name, fate)]
            with self._guard:
                self._redis.hset(touched_by(order), items=items)

    def touch_if_new(self, order: str, name: str, fate: str) -> None:
        with self._guard:
            self._redis.hsetnx(touched_by(order), *self._noted(order, name, fate))

    def touched(self, order: str) -> dict[str, str]:
        touched: dict[str, str] = {}
        for found in self._touches(order):
            touched.update(self._read_touch(order, field, sealed) for field, sealed in found.items())
        return touched

    def _touches(self, order: str) -> Iterator[dict[bytes, bytes]]:
        """In steps: an organization may have had more than fits into one answer in time."""
        cursor = 0
        while True:
            with self._guard:
                answer = self._redis.hscan(touched_by(order), cursor, count=_AT_ONCE)
            cursor, found = cast(tuple[int, dict[bytes, bytes]], answer)
            yield found
            if not cursor:
                return

    def _noted(self, order: str, name: str, fate: str) -> tuple[str, bytes]:
        """Field and value: neither tells a reader of the database which record it is, nor what became of it
        (all are equally long)."""
        field = self._keyspace.touched(order, name)
        return field, self._envelope.seal(_touch_of(order, field), f"{name} {fate:{_FATE_WIDTH}}".encode())

    def _read_touch(self, order: str, field: bytes, sealed: bytes) -> tuple[str, str]:
        try:
            name, fate = self._envelope.open(_touch_of(order, field.decode()), sealed).decode().split(" ", 1)
        except (Unreadable, ValueError):
            raise StoreUnavailable("what an erasure touched does not open with these keys") from None
        return name, fate.rstrip()

    def waiting(self, records: list[str]) -> list[str]:
        """Those of which Velt hasn't been told all."""
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
        """About how many records there are, for a progress bar: other keys count too."""
        with self._guard:
            return int(self._redis.dbsize())

    def key_ids(self) -> Counter[str]:
        """Under which master keys orders are, and what they touched."""
        found: Counter[str] = Counter()
        for order, sealed in self._all().items():
            found[key_id_of(sealed)] += 1
            for touches in self._touches(order):
                found.update(map(key_id_of, touches.values()))
        return found

    def reseal(self) -> None:
        """Puts orders and what they touched under the key that seals now, unless they changed meanwhile."""
        for order, sealed in self._all().items():
            if state := self._opened(order, sealed):
                self._replace(ORDERS, order.encode(), sealed, self._sealed(order, state))
            for touches in self._touches(order):
                for field, touch in touches.items():
                    if not self._envelope.is_fresh(touch):
                        resealed = self._envelope.reseal(_touch_of(order, field.decode()), touch)
                        self._replace(touched_by(order), field, touch, resealed)

    def _replace(self, name: str, field: bytes, old: bytes, new: bytes) -> None:
        with self._guard:
            self._reseal(keys=[name], args=[field, old, new])

    def _all(self) -> dict[str, bytes]:
        with self._guard:
            found = cast(dict[bytes, bytes], self._redis.hgetall(ORDERS))
        return {name: found[name.encode()] for name in decoded(found)}

    def _sealed(self, order: str, state: JSON) -> bytes:
        return self._envelope.seal(touched_by(order), orjson.dumps(state))

    def _opened(self, order: str, sealed: bytes) -> JSON | None:
        try:
            state: JSON = orjson.loads(self._envelope.open(touched_by(order), sealed))
        except (Unreadable, orjson.JSONDecodeError):
            _log.error("erasure_unreadable", erasure=order)
            return None
        return state


def _touch_of(order: str, field: str) -> str:
    """The name that what was touched is sealed under: a value that is moved elsewhere doesn't open."""
    return f"{touched_by(order)}:{field}"
