"""Group commit: a thread of its own writes the entries of concurrent requests together.

A write may block as long as the disk does. A request waits until its entry is written or its time is over. In
the latter case, an entry that isn't begun is withdrawn. One that is being written can't be withdrawn: if its
line gets into the trail after all, a `failed` entry follows.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog

from resolver.audit.chain import Link
from resolver.audit.chain_writer import ChainEntry, ChainWriter
from resolver.deadline import call_at
from resolver.errors import AuditUnavailable

_MAX_BATCH: Final = 64
_CHECK_SECONDS: Final = 0.025
"""Requests are refused up to this late. A timer for each would cost 4 to 5 µs of CPU under gevent."""
_log = structlog.get_logger(__name__)


class GroupCommit:
    def __init__(self, chain: ChainWriter) -> None:
        self._chain = chain
        # Under gevent, `_finish` runs in the event loop, which can't wait for a lock: nothing that may switch
        # greenlets, such as starting a thread of `threading`, is done while holding it.
        self._lock = threading.Lock()
        # The writing thread takes no lock: it uses only atomic operations on these.
        self._queue: deque[ChainEntry] = deque()
        self._in_flight: Sequence[ChainEntry] = ()
        self._retractions: Sequence[ChainEntry] = ()
        self._is_writing = False
        self._thread: NativeThread | None = None
        """Started with the first entry, since threads don't survive a fork."""
        self._next_check = 0.0
        """When (monotonic) overdue entries are looked for; in the past when that isn't arranged."""

    @property
    def is_idle(self) -> bool:
        return not (self._is_writing or self._queue or self._retractions)

    def append(self, entry: ChainEntry) -> Link:
        """Wait until an entry is written; return its link. Raises AuditUnavailable when it isn't, or too
        late."""
        try:
            self._queue.append(entry)
            with self._lock:
                if not self._is_writing:
                    self._start()
            is_watched = self._next_check > time.monotonic() or self._watch()
            entry.done.wait(None if is_watched else max(0.0, entry.until - time.monotonic()))
        finally:
            if not entry.done.is_set():
                self._refuse(entry)
        if entry.error or entry.link is None:
            raise AuditUnavailable(entry.error or "audit: not begun")
        return entry.link

    def close(self) -> None:
        """End the threads. The sink stays open while a write in it blocks."""
        with self._lock:
            if self._thread:
                self._thread.stop()
                self._thread = None
            if not self._is_writing:
                self._chain.close()
            if self._retractions:
                _log.error("audit_failure_not_recorded", number=len(self._retractions))

    def _start(self) -> None:
        """Have the thread write. Call it with the lock held."""
        self._is_writing = True
        try:
            if self._thread is None:
                self._thread = start_native_thread(self._write, self._finish)
            self._thread.run()
        except (RuntimeError, MemoryError):
            self._is_writing = False
            # One by one, since other threads may append meanwhile.
            with suppress(IndexError):
                while True:
                    entry = self._queue.popleft()
                    entry.error = "audit: no thread"
                    entry.done.set()

    def _write(self) -> None:
        """Write queued entries; runs in the thread that may block."""
        entries = list(self._retractions)
        most = len(entries) + _MAX_BATCH
        with suppress(IndexError):
            while len(entries) < most:
                entries.append(self._queue.popleft())
        self._in_flight = entries
        try:
            self._chain.write(entries)
        except Exception as error:  # noqa: BLE001 - one failure must not end the thread
            for entry in entries:
                entry.error = entry.error or f"audit: {type(error).__name__}"

    def _finish(self) -> None:
        with self._lock:
            # First of all: whatever fails after this, the next entry starts the thread again.
            self._is_writing = False
            written, self._in_flight = self._in_flight, ()
            retracted = [retraction for entry in written if (retraction := entry.retraction())]
            for entry in written:
                entry.done.set()
            left = [entry for entry in self._retractions if entry.link is None]
            self._retractions = [*left, *retracted]
            if self._queue or retracted:
                self._start()

    def _watch(self) -> bool:
        """Have overdue entries looked for. False when no thread can be started for that. Call it without the
        lock, since it may start one."""
        at = time.monotonic() + _CHECK_SECONDS
        try:
            call_at(at, self._check)
        except (RuntimeError, MemoryError):
            return False
        self._next_check = at
        return True

    def _check(self) -> None:
        """Refuse entries whose time is over. The watchdog calls this repeatedly while requests wait."""
        now = time.monotonic()
        waiting = [e for e in (*self._in_flight, *self._queue.copy()) if not e.done.is_set()]
        for entry in waiting:
            if entry.until <= now:
                self._refuse(entry)
        # Of two checks that were arranged at once, the later one goes on.
        if (waiting or self._is_writing) and self._next_check <= now:
            self._watch()

    def _refuse(self, entry: ChainEntry) -> None:
        with self._lock:
            if entry.done.is_set():
                return
            try:
                self._queue.remove(entry)
                entry.error = "audit: busy"
            except ValueError:
                entry.error = "audit: TimeoutError"
            entry.done.set()


Function = Callable[[], None]


class NativeThread(Protocol):
    """A thread of the operating system that runs two functions at each request."""

    def run(self) -> None:
        """Run both functions once. Call it again only after they have run."""

    def stop(self) -> None:
        """End the thread after its work, without waiting: the work may block forever."""


def start_native_thread(work: Function, then: Function) -> NativeThread:
    """Start a thread that runs `work` and then `then` at each `run()`.

    `work` must neither raise nor use locks, events or sockets: under gevent they belong to another thread.
    `then` may use them, but must not wait: under gevent it runs in the event loop.

    Under gevent, `threading.Thread` is a greenlet, and a system call that blocks one greenlet blocks them
    all. gevent's `ThreadPool(1)` isn't used: a call through it costs 30 to 43 µs of CPU instead of 19 to 23,
    and when its thread can't be started, it raises, but runs that call later all the same.

    Raises RuntimeError or MemoryError when no thread can be started.
    """
    return _ThreadUnderGevent(work, then) if _is_patched() else _Thread(work, then)


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
        # Started for each call, since an event loop with an idle but started watcher would never end.
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
