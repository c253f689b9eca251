"""A circuit breaker: stop calling a service that fails, probe it, resume. One for each process and service.

closed      every call is allowed; failures in a row are counted, and `opens_after` of them open it
open        no call is allowed until the interval is over, nor before a Retry-After that the service gave
half-open   the interval is over: one call is allowed, the probe. Its failure doubles the interval (with
            jitter, so that processes don't probe in step); a success closes the breaker

Libraries were looked at: none has the Retry-After floor, or counts calls that were in flight together once
(docs/decisions/0023-one-circuit-breaker.md).
"""

from __future__ import annotations

import random
import threading
import time
from typing import Final, Self

from resolver.ops import metrics

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 15.0
PROVEN_SECONDS: Final = 1.0
_LONGEST_RETRY_AFTER: Final = 300.0


class CircuitBreaker:
    def __init__(
        self, service: str, *, opens_after: int = 1, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        self._open = metrics.BREAKER.labels(service)
        self._opens_after = opens_after
        self._longest = longest_seconds
        self._lock = threading.Lock()
        self.failures = 0
        """In a row, since the last success."""
        self._next_probe = 0.0
        self._not_before = 0.0
        self._probing = False
        self._succeeded = self._failed_call = float("-inf")
        self._cause: BaseException | None = None

    @classmethod
    def for_waiting_callers(cls, service: str) -> Self:
        """A breaker for a service that requests wait for: it opens after three failures in a row, since one
        may be chance, and probes twice a second."""
        return cls(service, opens_after=3, longest_seconds=FIRST_SECONDS)

    def wait_seconds(self) -> float:
        """Seconds until a call is allowed; 0 when one is. Looking takes no probe: `allow` does."""
        earliest = max(self._not_before, self._next_probe if self._is_open() else 0.0)
        return max(0.0, earliest - time.monotonic())

    def succeeded_within(self, seconds: float) -> bool:
        """Whether a call succeeded so recently, whatever came after it."""
        return time.monotonic() - self._succeeded <= seconds

    def is_proven(self) -> bool:
        """Whether it is closed, and a call succeeded just now."""
        return not self.failures and self.succeeded_within(PROVEN_SECONDS)

    def allow(self) -> bool:
        """Whether the caller may call in the next moment. Half-open, a yes is the interval's only one."""
        if not (self.failures or self._not_before):
            return True
        with self._lock:
            if self.wait_seconds() > 0:
                return False
            if self._is_open():
                self._next_probe = time.monotonic() + self._interval()
                self._probing = True
            return True

    def success(self) -> None:
        self._succeeded = time.monotonic()
        if not self.failures:
            return
        with self._lock:
            if self._is_open():
                self._open.set(0)
            self.failures = 0
            self._probing = False

    def failed_call(self) -> float:
        """Note a failure that may be the call's own, without counting it. Returns the seconds since the last
        such call when none has succeeded in between, else how long a success proves something."""
        now = time.monotonic()
        follows_another = self._failed_call > self._succeeded
        since, self._failed_call = now - self._failed_call, now
        return since if follows_another else PROVEN_SECONDS

    def failure(self, retry_after: float = 0.0, cause: BaseException | None = None) -> None:
        """Count a failed call. Calls that failed of one cause, the same object, count once."""
        with self._lock:
            if cause is not None and cause is self._cause:
                return
            self._cause = cause
            now = time.monotonic()
            self._not_before = max(self._not_before, now + min(retry_after, _LONGEST_RETRY_AFTER))
            # Of calls that were in flight together when it opened, one counts; after that the probe alone.
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
