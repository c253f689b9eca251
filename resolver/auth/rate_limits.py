"""Rate limits: calls of each person with a valid token, counted in Redis for all processes together, and
failed credentials of each address, counted in each process.

Each person has one budget for each organization (RESOLVER_RATE_LIMIT), since user "1" of one organization
isn't user "1" of another. It is the same for all tokens of the person: the SDK may get a new one for each
call.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from typing import Final

from redis import OutOfMemoryError, Redis, ResponseError

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
        """Count a call. Raises TooManyCalls over the limit.

        `organization` is one of the token's, or empty for calls that name none of these: naming other
        organizations gives no further budget. A full Redis takes no counter: calls are then not limited,
        so that reads go on.
        """
        key = self._keyspace.calls(user, organization)
        with self._guard:
            try:
                calls, left = self._script(keys=[key], args=[self._limit.seconds * 1000])
            except ResponseError as error:
                # Redis 6 wraps the error of a command in its script's.
                if isinstance(error, OutOfMemoryError) or "OOM" in str(error):
                    return
                raise
        if calls > self._limit.calls:
            raise TooManyCalls(math.ceil(left / 1000))


MAX_ADDRESSES: Final = 10_000


class Failures:
    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._windows: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._windows)

    def count(self, address: str) -> None:
        """Count a failed credential. Raises TooManyCalls over the limit."""
        who, now = _network(address), time.monotonic()
        with self._lock:
            ends, failures = self._windows.pop(who, (0.0, 0))
            if now >= ends:
                ends, failures = now + self._limit.seconds, 0
            while len(self._windows) >= MAX_ADDRESSES:
                del self._windows[next(iter(self._windows))]
            self._windows[who] = (ends, failures + 1)
        if failures >= self._limit.calls:
            raise TooManyCalls(math.ceil(ends - now))


def _network(address: str) -> str:
    """The address, or the /64 network of an IPv6 address: a single host may use all of its 2⁶⁴ addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))
