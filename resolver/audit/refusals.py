"""How many refusals without a valid credential get a line: a stranger can cause any number of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

MOST_A_SECOND = 10


class Refusals:
    """Ten in any second; the others are counted, and their number goes on record."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._written: deque[float] = deque(maxlen=MOST_A_SECOND)
        self._unrecorded = 0

    def admit(self) -> int | None:
        """How many had no line since a number was last given out. None: this one has none, either."""
        with self._lock:
            if self._is_full():
                self._unrecorded += 1
                return None
            return self._take()

    def left(self, *, at_the_end: bool = False) -> int:
        """The number that is still to go on record, when there is room for a line that says so."""
        with self._lock:
            return self._take() if self._unrecorded and (at_the_end or not self._is_full()) else 0

    def release(self, number: int) -> None:
        """Its line could not be written."""
        with self._lock:
            self._unrecorded += number

    def are_recorded(self) -> bool:
        with self._lock:
            return not self._unrecorded

    def _take(self) -> int:
        self._written.append(self._now())
        number, self._unrecorded = self._unrecorded, 0
        return number

    def _is_full(self) -> bool:
        return len(self._written) == MOST_A_SECOND and self._now() - self._written[0] < 1.0
