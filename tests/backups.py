"""A backup of Redis, and its restore."""

from __future__ import annotations

from redis import Redis

from tests.support import keys_of


def saved(redis: Redis) -> dict[bytes, tuple[bytes, int]]:
    """Back up the whole database."""
    return {name: (redis.dump(name) or b"", max(0, redis.pttl(name))) for name in keys_of(redis, "*")}


def restore(redis: Redis, backup: dict[bytes, tuple[bytes, int]]) -> None:
    redis.flushall()
    for name, (dump, left) in backup.items():
        redis.restore(name, left, dump)
