"""Checkpoints: the last known length of each chain of the audit trail.

They are kept in Redis, outside the reach of a person who can shorten the file, so that a missing end is
found.
"""

from __future__ import annotations

from typing import NamedTuple

from redis import Redis

from resolver.store.guard import Guard
from resolver.store.keyspace import CHECKPOINTS, decoded

_SECONDS = 400 * 86_400
"""More than a year, for yearly audits."""


class Checkpoint(NamedTuple):
    chain: str
    seq: int
    hash: str
    at: str


class Checkpoints:
    def __init__(self, redis: Redis, guard: Guard) -> None:
        self._redis, self._guard = redis, guard

    def keep(self, checkpoint: Checkpoint) -> None:
        chain, seq, digest, at = checkpoint
        with self._guard:
            self._redis.set(f"{CHECKPOINTS}{chain}", f"{seq} {digest} {at}", ex=_SECONDS)

    def all(self) -> list[Checkpoint]:
        with self._guard:
            names = decoded(self._redis.scan_iter(match=f"{CHECKPOINTS}*", count=1000))
            values = [self._redis.get(name) for name in names]
        return [
            _read(name, value) for name, value in zip(names, values, strict=True) if isinstance(value, bytes)
        ]


def _read(name: str, value: bytes) -> Checkpoint:
    seq, digest, at = value.decode().split(" ")
    return Checkpoint(name.removeprefix(CHECKPOINTS), int(seq), digest, at)
