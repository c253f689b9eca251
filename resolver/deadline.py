"""How much time a request has left. Made once at the surface, then handed down as a value."""

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

from resolver.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Deadline:
    """Monotonic, so that a host's clock being set never shortens or stretches a request."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        return self.at - time.monotonic()

    def reserve(self, seconds: float) -> Deadline:
        """An earlier one, so that some time is left for what comes after."""
        return Deadline(self.at - seconds)

    def at_most(self, seconds: float) -> Deadline:
        """This one, or so long from now when that is sooner."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    def enforced(self) -> TimeLimit:
        """Bound a block that waits on a socket of its own by ending that socket: see TimeLimit.

            with deadline.enforced() as limit:
                limit.ends(connection.shutdown)

        The time-outs of a socket begin anew with each system call, and don't add up to a total.
        """
        return TimeLimit(self.at)

    def require(self, seconds: float) -> None:
        """Better no answer now than one that comes too late."""
        if self.at - time.monotonic() < seconds:
            raise Unavailable()


CURRENT: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
"""Of the request that this thread is serving; None in commands, which take the time they need. For the vault
and the trail, whose every step would otherwise carry it: what calls Velt is handed its deadline."""


@contextmanager
def without_deadline() -> Iterator[None]:
    """For what must be written down however late it is: that Velt was told, or said no."""
    token = CURRENT.set(None)
    try:
        yield
    finally:
        CURRENT.reset(token)


class TimeLimit:
    """A block of code that is ended at a time (monotonic) by ending what it waits for.

    `ends` names that: a function which another thread calls, so it must neither block nor raise. It is never
    called after the block. A block that reached its time raises TimeoutError at its edge,
    whatever happened inside; the thread itself is never interrupted.
    """

    def __init__(self, at: float) -> None:
        self.at = at
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None
        self._has_passed = False
        self._is_over = False

    def ends(self, end: Callable[[], None]) -> None:
        """From now on, this instead of what was named before."""
        with self._lock:
            self._end = end
            if self._has_passed:
                end()

    def expire(self) -> None:
        """Called by the watchdog when the time has come."""
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
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget all calls: a child has none of its parent's threads, and any lock may be held there."""
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def call_at(self, at: float, function: Callable[[], None]) -> None:
        """Have the watchdog call a function at a time (monotonic). It must neither block nor raise.

        Raises RuntimeError when the watchdog's thread can't be started; the next caller tries again.
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
            self._next()()

    def _next(self) -> Callable[[], None]:
        with self._changed:
            while True:
                left = self._calls[0][0] - time.monotonic() if self._calls else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._calls)[2]
                self._changed.wait(left)


_watchdog = _Watchdog()
call_at = _watchdog.call_at
os.register_at_fork(after_in_child=_watchdog.reset_after_fork)
