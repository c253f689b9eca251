"""Whether Velt is worth asking. One for each process.

Closed, everybody may ask. A failure opens it: then one caller an interval may, the probe, and the interval
doubles with each probe that fails (with jitter, so that processes don't knock in step). The first success
closes it. Velt's own Retry-After stands above all that: nobody asks before, whatever succeeds meanwhile.

Closed isn't proven: after a while without an answer Velt may have gone, and nobody here has noticed.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Final

from resolver.metrics import meters

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 15.0
_PROVEN_SECONDS: Final = 1.0
_LONGEST_RETRY_AFTER: Final = 300.0


class Breaker:
    def __init__(self, service: str) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._failures = 0
        self._next_probe = 0.0
        self._not_before = 0.0
        self._probing = False
        self._proven_until = 0.0

    def wait_seconds(self) -> float:
        """Until somebody may ask; 0 when now. Looking takes nothing: `may_ask` does."""
        earliest = max(self._not_before, self._next_probe if self._failures else 0.0)
        return max(0.0, earliest - time.monotonic())

    def is_proven(self) -> bool:
        """Somebody was answered just now."""
        return time.monotonic() < self._proven_until

    def may_ask(self) -> bool:
        """For whoever asks in the next moment: when it is open, a yes is the interval's only one."""
        with self._lock:
            if self.wait_seconds() > 0:
                return False
            if self._failures:
                self._next_probe = time.monotonic() + self._interval()
                self._probing = True
            return True

    def succeeded(self) -> None:
        with self._lock:
            if self._failures:
                meters.BREAKER.labels(self._service).set(0)
            self._failures = 0
            self._probing = False
            self._proven_until = time.monotonic() + _PROVEN_SECONDS

    def failed(self, retry_after: float = 0.0) -> None:
        with self._lock:
            if not self._failures:
                meters.BREAKER.labels(self._service).set(1)
            now = time.monotonic()
            self._proven_until = now
            self._not_before = max(self._not_before, now + min(retry_after, _LONGEST_RETRY_AFTER))
            # Of many that were under way when it opened, the first counts; after that the probe alone.
            if not self._failures or self._probing:
                self._failures += 1
                self._probing = False
                self._next_probe = now + random.uniform(0.5, 1) * self._interval()  # noqa: S311

    def _interval(self) -> float:
        return float(min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(self._failures - 1, 10)))
