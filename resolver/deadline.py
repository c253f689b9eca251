"""The deadline of a request. The surface makes it once, and passes it down as a value."""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog

from resolver.errors import Unavailable

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Deadline:
    """`at` is monotonic, so that setting the host's clock changes no request's time."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        return self.at - time.monotonic()

    def reserve(self, seconds: float) -> Deadline:
        """An earlier deadline, which leaves so many seconds for later steps."""
        return Deadline(self.at - seconds)

    def at_most(self, seconds: float) -> Deadline:
        """This deadline, or one so many seconds from now if that is sooner."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    def enforced(self) -> TimeLimit:
        """Limit a block that waits for a socket, by ending that socket at the deadline: see TimeLimit.

            with deadline.enforced() as limit:
                limit.ends(connection.shutdown)

        A socket's own time-out starts again with each system call, so it doesn't limit the total.
        """
        return TimeLimit(self.at)

    def require(self, seconds: float) -> None:
        """Raise Unavailable if less time is left: fail now rather than answer too late."""
        if self.at - time.monotonic() < seconds:
            raise Unavailable()


CURRENT: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
"""Deadline of the request in this thread; None in commands, which have no time limit. Only the store and the
audit trail use it; calls to other services get their deadline as an argument."""


@contextmanager
def without_deadline() -> Iterator[None]:
    """Suspend the current deadline, for writes that must be tried even when it is over: Velt's answers."""
    token = CURRENT.set(None)
    try:
        yield
    finally:
        CURRENT.reset(token)


class TimeLimit:
    """Limit a block of code to a time (monotonic), by ending the resource that it waits for.

    `ends` sets the function that ends it. Another thread calls that function, so it must neither block nor
    raise; it is never called after the block. A block that reaches its time raises TimeoutError at its end,
    even if the code inside has caught the failure. The thread itself is never interrupted.
    """

    def __init__(self, at: float) -> None:
        self.at = at
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None
        self._has_passed = False
        self._is_over = False

    def ends(self, end: Callable[[], None]) -> None:
        """Set the function that ends the wait, in place of an earlier one."""
        with self._lock:
            self._end = end
            if self._has_passed:
                end()

    def expire(self) -> None:
        """End the wait; the watchdog calls this when the time is over."""
        with self._lock:
            if self._is_over:
                return
            self._has_passed = True
            if self._end:
                self._end()

    def __enter__(self) -> Self:
        call_at(self.at, self.expire)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_over = True
            self._end = None
        if self._has_passed and (error is None or isinstance(error, Exception)):
            raise TimeoutError("took too long") from error


class _Watchdog:
    def __init__(self) -> None:
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def call_at(self, at: float, function: Callable[[], None]) -> None:
        """Call a function at a time (monotonic), in the watchdog's thread. It must neither block nor raise.

        Raises RuntimeError when that thread can't be started; the next caller tries again.
        """
        entry = at, next(self._numbers), function
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                thread.start()
                self._thread = thread
            heapq.heappush(self._calls, entry)
            if self._calls[0] is entry:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            call = self._next()
            try:
                call()
            except Exception as error:  # noqa: BLE001 - without this thread nothing would be ended in time
                _log.error("watchdog_call_failed", type=type(error).__name__)

    def _next(self) -> Callable[[], None]:
        with self._changed:
            while True:
                left = self._calls[0][0] - time.monotonic() if self._calls else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._calls)[2]
                self._changed.wait(left)


_watchdog = _Watchdog()


def call_at(at: float, function: Callable[[], None]) -> None:
    """Call a function at a time (monotonic), in the watchdog's thread. It must not block.

    Raises RuntimeError when that thread can't be started; the next call tries again.
    """
    _watchdog.call_at(at, function)


def _reset_after_fork() -> None:
    """Replace the watchdog in a child process: the parent's threads don't run there, its locks may be held,
    and a greenlet of the parent that still waits must not meet the child's calls."""
    global _watchdog  # noqa: PLW0603 - there is one for each process
    _watchdog = _Watchdog()


os.register_at_fork(after_in_child=_reset_after_fork)
