"""A cache that is bounded in size and time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Entry(NamedTuple):
    value: object
    until: float
    expires: float


class TTLCache(Generic[Key, Value]):
    """At most `most` entries, the oldest evicted first, for at most `seconds` and not past their own
    expiry."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds = most, seconds
        self._clock = clock
        self._entries: dict[Key, _Entry] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        entry = self._entries.get(key)
        # Two clocks: the wall clock may be set, but expiries are in its time.
        if entry is None or self._clock() >= entry.until or time.time() >= entry.expires:
            return None
        return entry.value  # type: ignore[return-value]

    def put(self, key: Key, value: Value, expires: float) -> None:
        """`expires`: epoch seconds."""
        with self._lock:
            self._entries.pop(key, None)
            while len(self._entries) >= self._most:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = _Entry(value, self._clock() + self._seconds, expires)
