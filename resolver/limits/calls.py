"""Counts the calls of each person whose token holds: in Redis, so that all processes count together.

A budget belongs to a person and one organization, since user "1" of one isn't user "1" of another. A person
has one budget in an organization, whichever others their token names, and whichever of their tokens they use:
the SDK's headers function may get a fresh one for each call.
"""

from __future__ import annotations

import math

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

    def count(self, user: str, organization: str) -> None:
        """One more; TooManyCalls when that is over the limit. `organization` is one of the token's, or empty
        for every call that names none of these: naming others brings no further budget."""
        with self._guard:
            calls, left = self._script(
                keys=[self._keyspace.calls(user, organization)], args=[self._limit.seconds * 1000]
            )
        if calls > self._limit.calls:
            raise TooManyCalls(math.ceil(left / 1000))
