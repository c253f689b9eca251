"""Readiness: whether this process has reached Redis at least once since its start.

A process checks Redis itself, right after its start. If only health checks did, a process that none had
called before an outage would answer `starting` during it, although it had served.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 4.0


class Readiness:
    def __init__(self, redis_state: Callable[[], str]) -> None:
        """`redis_state` returns `ok` if Redis answers and its database is ours, else the problem."""
        self._redis_state = redis_state
        self.has_reached_redis = False

    def check(self) -> str:
        """Return the current state of Redis, and remember if it was `ok`."""
        state = self._redis_state()
        if state == "ok":
            self.has_reached_redis = True
        return state

    def start(self) -> None:
        """Check Redis, and repeat in the background until it was reached once. Call it after fork: threads
        don't survive a fork."""
        if self.check() == "ok":
            return
        # If no thread can be started, the first health check does it.
        with suppress(RuntimeError):
            threading.Thread(target=self._check_until_reached, name="readiness", daemon=True).start()

    def _check_until_reached(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self.has_reached_redis and self.check() != "ok":
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
