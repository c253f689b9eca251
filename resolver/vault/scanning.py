"""Every key of a kind, in no order, some hundred at a time: for operators' commands, never for a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import cast

from redis import Redis

from resolver.vault.cluster import primaries
from resolver.vault.guard import Guard
from resolver.vault.keyspace import decoded

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
