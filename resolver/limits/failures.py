"""Counts calls whose credential doesn't hold, by address. In this process alone: before a credential holds
nothing is asked of Redis, and an address that fails everywhere fails here soon enough.

Only the answer to a failure changes (429 instead of 401): whoever shares an address with an attacker, behind
one office's router or a proxy, and has a token that holds, is served.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from typing import Final

from resolver.errors import TooManyCalls
from resolver.settings import RateLimit

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
