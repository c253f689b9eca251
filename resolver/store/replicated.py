"""Scripts whose effect must be safe on replicas before it counts (RESOLVER_REDIS_WAIT)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis

from resolver.errors import StoreUnavailable
from resolver.store.cluster import holder

# Less than a connection waits for an answer.
_REPLICATION_MS = 400


def run_replicated(
    redis: Redis, script: Callable[..., Any], keys: Sequence[str], args: Sequence[Any], replicas: int
) -> Any:
    """The script's result, once so many replicas have what it wrote; VaultUnavailable when fewer have it in
    time. WAIT counts what its own connection wrote, so both go over one."""
    if not replicas:
        return script(keys=keys, args=args)
    pipeline = holder(redis, keys[0]).pipeline(transaction=False)
    script(keys=keys, args=args, client=pipeline)
    pipeline.wait(replicas, _REPLICATION_MS)
    written, reached = pipeline.execute()
    if reached < replicas:
        # Written, and not safe: the caller is told that it may not be, and asks again.
        raise StoreUnavailable(f"redis: {reached} of {replicas} replicas have it")
    return written


_SCRIPT = (
    "return (redis.call('GET', KEYS[1]) or '') == ARGV[1] and redis.call('SET', KEYS[1], ARGV[2]) and 1 or 0"
)


def compare_and_set(
    redis: Redis, name: str, before: str | bytes, after: str | bytes, *, replicas: int = 0
) -> bool:
    """Replace the string, unless another process was quicker. An empty `before` means that none was there."""
    return bool(run_replicated(redis, redis.register_script(_SCRIPT), [name], [before, after], replicas))
