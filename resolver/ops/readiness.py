"""Whether this process may get traffic: it has reached Redis at least once since it started.

A process looks for Redis by itself, right after its start. Otherwise a process that no health check had asked
before an outage would answer `starting` during it, although it served until then.
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
        """`redis_state` returns `ok` when Redis is reached and its database is ours, else what is wrong."""
        self._redis_state = redis_state
        self.has_reached_redis = False

    def look(self) -> str:
        """The state of Redis now; remembers when it is `ok`."""
        state = self._redis_state()
        if state == "ok":
            self.has_reached_redis = True
        return state

    def start(self) -> None:
        """Look for Redis, and go on in the background until it was reached once. Call it after fork: a thread
        doesn't survive one."""
        if self.look() == "ok":
            return
        # Without a thread, the first health check looks for it.
        with suppress(RuntimeError):
            threading.Thread(target=self._look_until_reached, name="readiness", daemon=True).start()

    def _look_until_reached(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self.has_reached_redis and self.look() != "ok":
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
