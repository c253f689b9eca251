"""Scan all keys of a kind, in no order, some hundred at a time. Slow: for erasures, exports and
operators' commands, never for a request."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import TypeVar, cast

from redis import Redis

from resolver.store.cluster import primaries
from resolver.store.guard import Guard
from resolver.store.keyspace import decoded

BATCH = 500


def scan(redis: Redis, guard: Guard | None, pattern: str) -> Iterator[list[str]]:
    """Yield the names that match, in batches.

    A key that exists during the whole scan is yielded at least once; one that is added or deleted meanwhile
    may be. Only an offline command, while no other process is served, scans without a guard.
    """
    for server in _servers(redis, guard):
        cursor = 0
        while True:
            with guard or nullcontext():
                cursor, found = cast(tuple[int, list[bytes]], server.scan(cursor, match=pattern, count=BATCH))
            if names := decoded(found):
                yield names
            if cursor == 0:
                break


def _servers(redis: Redis, guard: Guard | None) -> list[Redis]:
    with guard or nullcontext():
        return primaries(redis)


_SLICE_SECONDS = 0.005
# Not zero: after sleep(0), gevent may resume the same greenlet before it has looked at any socket.
_PAUSE_SECONDS = 1e-6
_Item = TypeVar("_Item")


def in_time_slices(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield the items with a short pause every few milliseconds: under gevent, a loop that never waits blocks
    all other greenlets."""
    began = time.monotonic()
    for item in items:
        if time.monotonic() - began > _SLICE_SECONDS:
            time.sleep(_PAUSE_SECONDS)
            began = time.monotonic()
        yield item
