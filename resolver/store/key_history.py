"""What an auditor asks and no record tells: since when a master key is in use, and who signed before."""

from __future__ import annotations

from typing import cast

from redis import Redis

from resolver import clock
from resolver.store.guard import Guard
from resolver.store.keyspace import FORMER_SIGNERS, KEYS_SEEN


class History:
    def __init__(self, redis: Redis, guard: Guard) -> None:
        self._redis, self._guard = redis, guard

    def note_key(self, key_id: str) -> None:
        """That it seals now, the first time that somebody says so."""
        with self._guard:
            if not self._redis.hexists(KEYS_SEEN, key_id):
                self._redis.hsetnx(KEYS_SEEN, key_id, clock.now())

    def keys_since(self) -> dict[str, str]:
        with self._guard:
            return _text(cast(dict[bytes, bytes], self._redis.hgetall(KEYS_SEEN)))

    def former_signers(self) -> dict[str, str]:
        """Public keys, each with what its successor signed of it: else anybody may have put it there."""
        with self._guard:
            return _text(cast(dict[bytes, bytes], self._redis.hgetall(FORMER_SIGNERS)))


def _text(found: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in found.items()}
