"""Counts the calls of each person whose token holds: in Redis, so that all processes count together."""

from __future__ import annotations

import math
from collections.abc import Iterable

from redis import Redis

from resolver.errors import TooManyCalls
from resolver.settings import RateLimit
from resolver.vault.guard import Guard, read_script
from resolver.vault.keyspace import Keyspace


class Calls:
    def __init__(self, redis: Redis, guard: Guard, keyspace: Keyspace, limit: RateLimit) -> None:
        self._guard = guard
        self._keyspace = keyspace
        self._limit = limit
        self._script = redis.register_script(read_script("resolver.limits", "count"))

    def count(self, user: str, organizations: Iterable[str]) -> None:
        """One more; TooManyCalls when that is over the limit. By person, not by token: whoever mints a fresh
        token for each call, as the SDK's headers function may, is still one. And by their organizations: user
        "1" of one isn't user "1" of another."""
        with self._guard:
            calls, left = self._script(
                keys=[self._keyspace.calls(user, organizations)], args=[self._limit.seconds * 1000]
            )
        if calls > self._limit.calls:
            raise TooManyCalls(math.ceil(left / 1000))
