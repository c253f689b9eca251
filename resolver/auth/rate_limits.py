"""Counts the calls of each person whose token holds: in Redis, so that all processes count together.

A budget belongs to a person and one organization, since user "1" of one isn't user "1" of another. A person
has one budget in an organization, whichever others their token names, and whichever of their tokens they use:
the SDK's headers function may get a fresh one for each call.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from typing import Final

from redis import Redis

from resolver.config import RateLimit
from resolver.errors import TooManyCalls
from resolver.store.guard import Guard, read_script
from resolver.store.keyspace import Keyspace


class Calls:
    def __init__(self, redis: Redis, guard: Guard, keyspace: Keyspace, limit: RateLimit) -> None:
        self._guard = guard
        self._keyspace = keyspace
        self._limit = limit
        self._script = redis.register_script(read_script("resolver.auth", "count"))

    def count(self, user: str, organization: str) -> None:
        """One more; TooManyCalls when that is over the limit. `organization` is one of the token's, or empty
        for every call that names none of these: naming others brings no further budget."""
        with self._guard:
            calls, left = self._script(
                keys=[self._keyspace.calls(user, organization)], args=[self._limit.seconds * 1000]
            )
        if calls > self._limit.calls:
            raise TooManyCalls(math.ceil(left / 1000))


MOST_ADDRESSES: Final = 10_000


class Failures:
    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._windows: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._windows)

    def count(self, address: str) -> None:
        """One more; TooManyCalls when that is over the limit."""
        who, now = _network(address), time.monotonic()
        with self._lock:
            ends, failures = self._windows.pop(who, (0.0, 0))
            if now >= ends:
                ends, failures = now + self._limit.seconds, 0
            while len(self._windows) >= MOST_ADDRESSES:
                del self._windows[next(iter(self._windows))]
            self._windows[who] = (ends, failures + 1)
        if failures >= self._limit.calls:
            raise TooManyCalls(math.ceil(ends - now))


def _network(address: str) -> str:
    """One customer's: a single host of IPv6 has 2⁶⁴ addresses to choose from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))
