"""With a service that doesn't answer, and holds each caller for its whole timeout meanwhile.

After three failures in a row callers are turned away at once, but for one every half second, who finds out
whether it is back.
"""

from __future__ import annotations

import threading
import time
from typing import Final

FAILURES: Final = 3
PROBE_SECONDS: Final = 0.5


class Patience:
    def __init__(self) -> None:
        self._failures = 0
        self._next_probe = 0.0
        self._lock = threading.Lock()

    def is_out(self) -> bool:
        """For whoever calls in the next moment: a no to somebody is the half second's only one."""
        if self._failures < FAILURES:
            return False
        with self._lock:
            now = time.monotonic()
            if now < self._next_probe:
                return True
            self._next_probe = now + PROBE_SECONDS
        return False

    def answered(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
