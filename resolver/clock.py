"""Times as text: ISO 8601, in UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def now() -> str:
    return second(int(time.time()))


def millisecond_now() -> str:
    return millisecond(milliseconds())


def milliseconds() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def milliseconds_of(moment: str) -> int:
    """Parse a text of these functions into milliseconds since the epoch. Raises ValueError."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def millisecond(since_epoch: int) -> str:
    seconds, milliseconds = divmod(since_epoch, 1000)
    return f"{second(seconds)[:-1]}.{milliseconds:03d}Z"


@lru_cache(maxsize=2)  # every request logs times: compute each second's text once
def second(since_epoch: int) -> str:
    return datetime.fromtimestamp(since_epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
