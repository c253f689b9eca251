"""History of keys for auditors: since when each master key seals, and the public keys of signers."""

from __future__ import annotations

from typing import cast

from redis import Redis

from resolver import clock
from resolver.store.guard import Guard
from resolver.store.keyspace import KEYS_SEEN, SIGNERS


class KeyHistory:
    def __init__(self, redis: Redis, guard: Guard) -> None:
        self._redis, self._guard = redis, guard

    def note_key(self, key_id: str) -> None:
        """Note when a master key began to seal; later calls change nothing."""
        with self._guard:
            if not self._redis.hexists(KEYS_SEEN, key_id):
                self._redis.hsetnx(KEYS_SEEN, key_id, clock.now())

    def keys_since(self) -> dict[str, str]:
        with self._guard:
            return _text(cast(dict[bytes, bytes], self._redis.hgetall(KEYS_SEEN)))

    def signers(self) -> dict[str, str]:
        """Public keys, each with a signature of it by a key of its time. Without a valid signature, a key may
        have been put there by any writer."""
        with self._guard:
            return _text(cast(dict[bytes, bytes], self._redis.hgetall(SIGNERS)))

    def note_signers(self, proofs: dict[str, str]) -> None:
        with self._guard:
            self._redis.hset(SIGNERS, items=[part for pair in proofs.items() for part in pair])


def _text(found: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in found.items()}
