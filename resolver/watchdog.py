"""Ends what takes too long: one thread for all time limits of a process.

A limit is nearly always met, so that setting and lifting one must cost little: entries stay in the heap until
their time comes, and the thread is woken only for one that is earlier than all others.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


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
        _watchdog.watch(self)
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
        self._limits: list[tuple[float, int, TimeLimit]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, limit: TimeLimit) -> None:
        """Raises RuntimeError when the thread can't be started; the next caller tries again."""
        entry = limit.at, next(self._numbers), limit
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                thread.start()
                self._thread = thread
            heapq.heappush(self._limits, entry)
            if self._limits[0] is entry:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            self._next().expire()

    def _next(self) -> TimeLimit:
        with self._changed:
            while True:
                left = self._limits[0][0] - time.monotonic() if self._limits else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._limits)[2]
                self._changed.wait(left)


_watchdog = _Watchdog()


def _start_afresh() -> None:
    """A child process has no threads of its parent's."""
    global _watchdog  # noqa: PLW0603 - there is one for each process
    _watchdog = _Watchdog()


os.register_at_fork(after_in_child=_start_afresh)
