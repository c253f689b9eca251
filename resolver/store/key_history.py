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

    def signers(self) -> dict[tuple[str, str], str]:
        """Proofs, by the public key that has signed each one and the public key that it trusts. Any writer
        may have put others there."""
        with self._guard:
            found = _text(cast(dict[bytes, bytes], self._redis.hgetall(SIGNERS)))
        pairs = ((name.partition(" "), proof) for name, proof in found.items())
        return {(by, key): proof for (by, _, key), proof in pairs}

    def note_signers(self, proofs: dict[tuple[str, str], str]) -> None:
        fields = [part for (by, key), proof in proofs.items() for part in (f"{by} {key}", proof)]
        with self._guard:
            self._redis.hset(SIGNERS, items=fields)


def _text(found: dict[bytes, bytes]) -> dict[str, str]:
    """Decode what is text. Other bytes, which this service never writes, must not end a command."""
    return {
        name.decode(): value.decode() for name, value in found.items() if name.isascii() and value.isascii()
    }
