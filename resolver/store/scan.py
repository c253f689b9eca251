"""Every key of a kind, in no order, some hundred at a time: for operators' commands, never for a request."""

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
    """What is there from beginning to end is in it at least once; what comes or goes meanwhile may be.
    Without a guard for whoever works while nobody else may."""
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
# Not zero: after that, gevent may go on with the same greenlet before it has looked at any socket.
_PAUSE_SECONDS = 1e-6
_Item = TypeVar("_Item")


def in_time_slices(items: Iterable[_Item]) -> Iterator[_Item]:
    """The same items, with the shortest pause every few milliseconds: under gevent, a loop that waits for
    nothing keeps all other greenlets from running."""
    began = time.monotonic()
    for item in items:
        if time.monotonic() - began > _SLICE_SECONDS:
            time.sleep(_PAUSE_SECONDS)
            began = time.monotonic()
        yield item
