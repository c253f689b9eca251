"""A string in Redis that is replaced only if it is still what was read."""

from __future__ import annotations

from redis import Redis

from resolver.vault.replication import run_replicated

_SCRIPT = (
    "return (redis.call('GET', KEYS[1]) or '') == ARGV[1] and redis.call('SET', KEYS[1], ARGV[2]) and 1 or 0"
)


def compare_and_set(
    redis: Redis, name: str, before: str | bytes, after: str | bytes, *, replicas: int = 0
) -> bool:
    """Replace the string, unless another process was quicker. An empty `before` means that none was there."""
    return bool(run_replicated(redis, redis.register_script(_SCRIPT), [name], [before, after], replicas))
