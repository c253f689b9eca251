"""A thread of the operating system, also in a process that gevent has patched.

There `threading.Thread` is a greenlet, and a system call that blocks one greenlet blocks them all. gevent's
`ThreadPool(1)` isn't used: a call through it costs 30 to 43 µs of CPU instead of 19 to 23, and a call that it
refused, because its thread could not be started, it runs all the same when a later one could.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable

Function = Callable[[], None]


class NativeThread:
    """Runs `work` each time it is asked to, and `then` after it.

    `work` must neither raise nor touch locks, events or sockets: under gevent they belong to another thread.
    `then` may, but must not wait for anything: under gevent it runs in the event loop.

    The thread starts with the first call, since it wouldn't survive a fork, and ends with its process at the
    latest: nothing joins it, as what it does may never end.
    """

    def __init__(self, work: Function, then: Function) -> None:
        self._work, self._then = work, then
        self._thread: _Thread | _ThreadUnderGevent | None = None

    def run(self) -> None:
        """Run both once; call it again only after they have. Raise RuntimeError or MemoryError when no thread
        can be started: the next call tries again."""
        if self._thread is None:
            kind = _ThreadUnderGevent if _is_patched() else _Thread
            self._thread = kind(self._work, self._then)
        self._thread.run()

    def stop(self) -> None:
        """End the thread when its work is done, without waiting for that. The next call starts another."""
        if self._thread:
            self._thread.stop()
            self._thread = None


class _Thread:
    def __init__(self, work: Function, then: Function) -> None:
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()
        calls = (self._calls, work, then)
        threading.Thread(target=_serve, args=calls, name="audit-writer", daemon=True).start()

    def run(self) -> None:
        self._calls.put(True)

    def stop(self) -> None:
        self._calls.put(False)


class _ThreadUnderGevent:
    """Belongs to the event loop of the thread that made it."""

    def __init__(self, work: Function, then: Function) -> None:
        from gevent import get_hub, monkey  # noqa: PLC0415 - commands run without it

        self._then = then
        self._done = get_hub().loop.async_()
        self._calls = monkey.get_original("queue", "SimpleQueue")()
        start_new_thread = monkey.get_original("_thread", "start_new_thread")
        start_new_thread(_serve, (self._calls, work, self._done.send))

    def run(self) -> None:
        # Started for each call: a loop in which nothing is started is at its end.
        self._done.start(self._finish)
        self._calls.put(True)

    def stop(self) -> None:
        self._calls.put(False)

    def _finish(self) -> None:
        self._done.stop()
        self._then()


def _serve(calls: queue.SimpleQueue[bool], work: Function, then: Function) -> None:
    while calls.get():
        work()
        then()


def _is_patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
