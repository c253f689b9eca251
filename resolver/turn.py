"""Whose turn it is to serve: one thread of a process, for as long as nothing keeps it waiting.

Threads that are awake together in one interpreter take its lock from each other at every system call, and
such a switch costs more than the call. So one of them has the turn: it waits for requests and serves them,
one after the other, while the rest sleep. It passes the turn on before it waits for something far away, and
loses it when one request keeps it for long; then it finishes that request, and gets in line again.

    in line ──take──> has the turn ──begin──> serves ──end──> has the turn
                                                └──passes it on, or loses it──> serves ──end──> in line
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress
from queue import SimpleQueue

from resolver import aside

_LONG = 0.01
"""Several times what most requests take: two threads that are awake together slow each other down."""


class Turn:
    def __init__(self) -> None:
        self._free: SimpleQueue[bool] = SimpleQueue()
        self._free.put(True)
        self._lock = threading.Lock()
        self._begun = 0
        """The number of the latest request."""
        self._keeping = 0
        """That number while its thread has the turn, else 0."""
        self._nobody_looks = False
        # A pipe, since a handler of signals may write to it whatever else its thread is at.
        self._ear, self._bell = os.pipe()
        os.set_blocking(self._ear, False)
        os.set_blocking(self._bell, False)

    def take(self) -> bool:
        """Waits in line for it; False when there is nothing to serve any more."""
        return self._free.get()

    def begin(self) -> int:
        """A request, by whoever has the turn."""
        request = self._begun + 1
        # Before `_keeping`, from which on it may be lost, and another thread may count on.
        _this_thread.turn, _this_thread.request = self, request
        self._begun = request
        self._keeping = request
        if self._nobody_looks:
            self.wake()
        return request

    def end(self, request: int) -> bool:
        """Whether its thread still has the turn."""
        _this_thread.turn = None
        return self._left(request)

    def lose(self, request: int) -> None:
        """The next one's, if this request still keeps it."""
        if self._left(request):
            self._free.put(True)

    def look_after(self, seconds: float) -> None:
        """For so long, lets nobody keep it for one request for long. Sleeps while there is none, and is done
        when it is woken from that."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            seen = self._begun
            time.sleep(min(_LONG, left))
            if self._begun != seen:
                continue
            if self._keeping:
                self.lose(seen)
            else:
                self._sleep_until_one_begins(seen, until - time.monotonic())
                return

    def wake(self) -> None:
        """Who looks after it, and sleeps."""
        with suppress(BlockingIOError):  # has enough to wake up for
            os.write(self._bell, b"\0")

    def close(self, threads: int) -> None:
        """So many are in line, or will be."""
        for _ in range(threads):
            self._free.put(False)

    def _left(self, request: int) -> bool:
        with self._lock:
            if self._keeping != request:
                return False
            self._keeping = 0
            return True

    def _sleep_until_one_begins(self, seen: int, seconds: float) -> None:
        self._nobody_looks = True
        if self._begun == seen:  # else it began when it could not know yet that nobody looks
            listening = select.poll()
            listening.register(self._ear, select.POLLIN)
            listening.poll(max(0.0, seconds) * 1000)
        self._nobody_looks = False
        with suppress(BlockingIOError):
            os.read(self._ear, 4096)


class _ThisThread(threading.local):
    turn: Turn | None = None
    request = 0


_this_thread = _ThisThread()


def pass_on() -> None:
    """Before a wait that is worth another thread's waking; nothing happens where nobody takes turns."""
    aside.all_go_on()
    if _this_thread.turn is not None:
        _this_thread.turn.lose(_this_thread.request)
