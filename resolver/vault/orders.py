"""Erasures in Redis: those under way, sealed since they name people, and the certificates of those done,
which name nobody. What is in either is `privacy`'s to know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
import structlog
from redis import Redis

from resolver.errors import Unreadable
from resolver.vault.envelope import Envelope, key_id_of
from resolver.vault.guard import Guard
from resolver.vault.keyspace import CERTIFICATES, ORDERS, ORDERS_HELD, ORDERS_KNOWN, line_of, touched_by

JSON = dict[str, Any]
_log = structlog.get_logger(__name__)
_AT_ONCE = 1000


class Orders:
    def __init__(self, redis: Redis, guard: Guard, envelope: Envelope) -> None:
        self._redis, self._guard, self._envelope = redis, guard, envelope

    def file(self, order: str, state: JSON) -> None:
        """From here on it is known: a database that doesn't know it is an older one."""
        with self._guard:
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.hset(ORDERS, order, self._sealed(order, state))
            pipeline.sadd(ORDERS_KNOWN, order)
            pipeline.execute()

    def save(self, order: str, state: JSON) -> None:
        """Unless it was closed meanwhile."""
        with self._guard:
            if self._redis.hexists(ORDERS, order):
                self._redis.hset(ORDERS, order, self._sealed(order, state))

    def under_way(self) -> dict[str, JSON]:
        with self._guard:
            found = cast(dict[bytes, bytes], self._redis.hgetall(ORDERS))
        opened = ((name.decode(), self._opened(name.decode(), sealed)) for name, sealed in found.items())
        return {name: state for name, state in opened if state is not None}

    def read(self, order: str) -> JSON | None:
        with self._guard:
            sealed = cast(bytes | None, self._redis.hget(ORDERS, order))
        return self._opened(order, sealed) if sealed else None

    def close(self, order: str, certificate: bytes) -> None:
        with self._guard:
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.hset(CERTIFICATES, order, certificate)
            pipeline.sadd(ORDERS_KNOWN, order)
            pipeline.hdel(ORDERS, order)
            pipeline.delete(touched_by(order))
            pipeline.execute()

    def certificate(self, order: str) -> bytes | None:
        with self._guard:
            return cast(bytes | None, self._redis.hget(CERTIFICATES, order))

    def known(self, orders: Sequence[str]) -> set[str]:
        if not orders:
            return set()
        with self._guard:
            known = cast(list[int], self._redis.smismember(ORDERS_KNOWN, list(orders)))
        return {order for order, is_known in zip(orders, known, strict=True) if is_known}

    def certificates(self) -> dict[str, bytes]:
        with self._guard:
            found = cast(dict[bytes, bytes], self._redis.hgetall(CERTIFICATES))
        return {name.decode(): certificate for name, certificate in found.items()}

    def hold(self, who: str, seconds: float) -> bool:
        """The right to work on orders, one process at a time. Two would do no harm, but everything twice."""
        milliseconds = int(seconds * 1000)
        with self._guard:
            if self._redis.get(ORDERS_HELD) == who.encode():
                return bool(self._redis.pexpire(ORDERS_HELD, milliseconds))
            return bool(self._redis.set(ORDERS_HELD, who, nx=True, px=milliseconds))

    def let_go(self, who: str) -> None:
        with self._guard:
            if self._redis.get(ORDERS_HELD) == who.encode():
                self._redis.delete(ORDERS_HELD)

    def touch(self, order: str, fates: Mapping[str, str]) -> None:
        """Which records it is about to change, and how: so that whoever goes on after a crash counts none
        twice, and forgets none."""
        if fates:
            with self._guard:
                self._redis.hset(touched_by(order), items=[part for pair in fates.items() for part in pair])

    def touched(self, order: str) -> dict[str, str]:
        with self._guard:
            found = cast(dict[bytes, bytes], self._redis.hgetall(touched_by(order)))
        return {name.decode(): fate.decode() for name, fate in found.items()}

    def waiting(self, records: list[str]) -> list[str]:
        """Those of which Velt hasn't been told all."""
        left: list[str] = []
        for start in range(0, len(records), _AT_ONCE):
            some = records[start : start + _AT_ONCE]
            with self._guard:
                pipeline = self._redis.pipeline(transaction=False)
                for name in some:
                    pipeline.exists(line_of(name).commands)
                left += [name for name, is_there in zip(some, pipeline.execute(), strict=True) if is_there]
        return left

    def size(self) -> int:
        """About how many records there are, for a progress bar: other keys count too."""
        with self._guard:
            return int(self._redis.dbsize())

    def key_ids(self) -> Counter[str]:
        """Under which master keys orders are."""
        with self._guard:
            return Counter(key_id_of(sealed) for sealed in cast(list[bytes], self._redis.hvals(ORDERS)))

    def reseal(self) -> None:
        """Under the key that seals now. Whoever works on one writes it anew anyway."""
        for order, state in self.under_way().items():
            self.save(order, state)

    def _sealed(self, order: str, state: JSON) -> bytes:
        return self._envelope.seal(touched_by(order), orjson.dumps(state))

    def _opened(self, order: str, sealed: bytes) -> JSON | None:
        try:
            state: JSON = orjson.loads(self._envelope.open(touched_by(order), sealed))
        except (Unreadable, orjson.JSONDecodeError):
            _log.error("erasure_unreadable", erasure=order)
            return None
        return state
