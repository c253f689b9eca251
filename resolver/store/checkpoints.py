"""How long each chain of the audit trail was when it was last looked at: kept where whoever shortens a file
can't reach, so that the missing end is missed."""

from __future__ import annotations

from typing import NamedTuple

from redis import Redis

from resolver.store.guard import Guard
from resolver.store.keyspace import ANCHORS, decoded

_SECONDS = 400 * 86_400
"""Longer than an audit's year."""


class Anchor(NamedTuple):
    chain: str
    seq: int
    hash: str
    at: str


class Anchors:
    def __init__(self, redis: Redis, guard: Guard) -> None:
        self._redis, self._guard = redis, guard

    def keep(self, anchor: Anchor) -> None:
        with self._guard:
            self._redis.set(
                f"{ANCHORS}{anchor.chain}", f"{anchor.seq} {anchor.hash} {anchor.at}", ex=_SECONDS
            )

    def all(self) -> list[Anchor]:
        with self._guard:
            names = decoded(self._redis.scan_iter(match=f"{ANCHORS}*", count=1000))
            values = [self._redis.get(name) for name in names]
        return [
            _read(name, value) for name, value in zip(names, values, strict=True) if isinstance(value, bytes)
        ]


def _read(name: str, value: bytes) -> Anchor:
    seq, digest, at = value.decode().split(" ")
    return Anchor(name.removeprefix(ANCHORS), int(seq), digest, at)
