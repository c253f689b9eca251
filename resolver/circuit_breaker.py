"""A circuit breaker: stop calling a service that fails, probe it, resume. One for each process and service.

closed      every call is allowed; failures in a row are counted, and `opens_after` of them open it
open        no call is allowed until the interval is over, nor before a Retry-After that the service gave
half-open   the interval is over: one call is allowed, the probe. Its failure doubles the interval (with
            jitter, so that processes don't probe in step); a success closes the breaker

No library has a lower limit by Retry-After, or counts concurrent failures once
(docs/decisions/0023-one-circuit-breaker.md).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final, Self

from resolver.ops import metrics

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 15.0
RECENT_SECONDS: Final = 1.0
_LONGEST_RETRY_AFTER: Final = 300.0


class CircuitBreaker:
    def __init__(
        self,
        service: str,
        *,
        opens_after: int = 1,
        longest_seconds: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = metrics.BREAKER.labels(service)
        self._opens_after = opens_after
        self._longest = longest_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self.failures = 0
        """Failures in a row, since the last success."""
        self._next_probe = 0.0
        self._not_before = 0.0
        self._probing = False
        self._succeeded = self._failed_call = float("-inf")
        self._cause: BaseException | None = None

    @classmethod
    def for_waiting_callers(cls, service: str, clock: Callable[[], float] = time.monotonic) -> Self:
        """Make a breaker for a service that requests wait for: it opens after three failures in a row, and
        probes twice a second."""
        return cls(service, opens_after=3, longest_seconds=FIRST_SECONDS, clock=clock)

    def wait_seconds(self) -> float:
        """Seconds until a call is allowed; 0 when one is. This doesn't take the probe: `allow` does."""
        earliest = max(self._not_before, self._next_probe if self._is_open() else 0.0)
        return max(0.0, earliest - self._clock())

    def succeeded_within(self, seconds: float) -> bool:
        """Whether a call succeeded so recently, even if others failed after it."""
        return self._clock() - self._succeeded <= seconds

    def has_just_succeeded(self) -> bool:
        """Whether a call succeeded within the last second, and none failed after it."""
        return not self.failures and self.succeeded_within(RECENT_SECONDS)

    def allow(self) -> bool:
        """Whether the caller may call now. When half-open, it is True only once in an interval: for the
        probe."""
        if not (self.failures or self._not_before):
            return True
        with self._lock:
            if self.wait_seconds() > 0:
                return False
            if self._is_open():
                self._next_probe = self._clock() + self._interval()
                self._probing = True
            return True

    def success(self) -> None:
        self._succeeded = self._clock()
        if not self.failures:
            return
        with self._lock:
            if self._is_open():
                self._open.set(0)
            self.failures = 0
            self._probing = False

    def note_failed_call(self) -> float:
        """Note a failure that may be due to the call itself, without counting it. Returns the seconds since
        the last such failure if no call has succeeded in between, else RECENT_SECONDS."""
        now = self._clock()
        follows_another = self._failed_call > self._succeeded
        since, self._failed_call = now - self._failed_call, now
        return since if follows_another else RECENT_SECONDS

    def failure(self, retry_after: float = 0.0, cause: BaseException | None = None) -> None:
        """Count a failed call. Failures with the same `cause` object count once."""
        with self._lock:
            if cause is not None and cause is self._cause:
                return
            self._cause = cause
            now = self._clock()
            self._not_before = max(self._not_before, now + min(retry_after, _LONGEST_RETRY_AFTER))
            # Concurrent failures count once: while it is open, only the probe's failure counts.
            if self._is_open() and not self._probing:
                return
            self.failures += 1
            self._probing = False
            if self._is_open():
                self._open.set(1)
                self._next_probe = now + random.uniform(0.5, 1) * self._interval()  # noqa: S311

    def _is_open(self) -> bool:
        return self.failures >= self._opens_after

    def _interval(self) -> float:
        doublings = min(self.failures - self._opens_after, 10)
        return float(min(self._longest, FIRST_SECONDS * 2**doublings))
