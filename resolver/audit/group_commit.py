"""Entries of requests that come at the same moment are written together, by a thread of their own.

A write may block for as long as a disk likes. Requests wait for their entry until it is written or their time
is over. An entry that was not begun is then taken back. One that is being written can't be: should it come
into the trail after all, it is followed by one that says `failed`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from resolver.audit.background import Background
from resolver.audit.chain import Link
from resolver.audit.chain_writer import ChainWriter, Entry
from resolver.audit.native_thread import NativeThread
from resolver.errors import AuditUnavailable

_MOST_TOGETHER: Final = 64
_LOOK_SECONDS: Final = 0.025
"""How late a request may be refused. A timer for each would cost 4 to 5 µs of CPU under gevent."""
_log = structlog.get_logger(__name__)


class GroupCommit:
    def __init__(self, chain: ChainWriter) -> None:
        self._chain = chain
        self._lock = threading.Lock()
        # The thread that writes takes no lock: what it shares with others are single steps on these.
        self._queue: deque[Entry] = deque()
        self._in_flight: Sequence[Entry] = ()
        self._retractions: Sequence[Entry] = ()
        self._is_writing = False
        self._thread = NativeThread(self._write, self._finish)
        self._watch = Background(self._refuse_overdue, _LOOK_SECONDS, _LOOK_SECONDS)

    @property
    def is_idle(self) -> bool:
        return not (self._is_writing or self._queue or self._retractions)

    def append(self, entry: Entry) -> Link:
        """Wait until it is written and return where. AuditUnavailable when it can't be, or not in time."""
        try:
            self._queue.append(entry)
            with self._lock:
                if not self._is_writing:
                    self._start()
            is_watched = self._watch.request()
            entry.done.wait(None if is_watched else max(0.0, entry.until - time.monotonic()))
        finally:
            if not entry.done.is_set():
                self._refuse(entry)
        if entry.error or entry.link is None:
            raise AuditUnavailable(entry.error or "audit: not begun")
        return entry.link

    def close(self) -> None:
        """End the threads. The sink stays open while a write is stuck in it."""
        self._watch.stop()
        with self._lock:
            self._thread.stop()
            if not self._is_writing:
                self._chain.close()
            if self._retractions:
                _log.error("audit_failure_not_recorded", number=len(self._retractions))

    def _start(self) -> None:
        """With the lock held."""
        self._is_writing = True
        try:
            self._thread.run()
        except (RuntimeError, MemoryError):
            self._is_writing = False
            # One by one: other threads go on appending.
            with suppress(IndexError):
                while True:
                    entry = self._queue.popleft()
                    entry.error = "audit: no thread"
                    entry.done.set()

    def _write(self) -> None:
        """In the thread that may block."""
        entries = list(self._retractions)
        most = len(entries) + _MOST_TOGETHER
        with suppress(IndexError):
            while len(entries) < most:
                entries.append(self._queue.popleft())
        self._in_flight = entries
        try:
            self._chain.write(entries)
        except Exception as error:  # noqa: BLE001 - without this thread nothing could be put on record any more
            for entry in entries:
                entry.error = entry.error or f"audit: {type(error).__name__}"

    def _finish(self) -> None:
        with self._lock:
            retracted = [retraction for entry in self._in_flight if (retraction := entry.retraction())]
            for entry in self._in_flight:
                entry.done.set()
            self._in_flight = ()
            left = [entry for entry in self._retractions if entry.link is None]
            self._retractions = [*left, *retracted]
            self._is_writing = False
            if self._queue or retracted:
                self._start()

    def _refuse_overdue(self) -> bool:
        """Whether no request waits any more."""
        now = time.monotonic()
        waiting = [e for e in (*self._in_flight, *self._queue.copy()) if not e.done.is_set()]
        for entry in waiting:
            if entry.until <= now:
                self._refuse(entry)
        return not (waiting or self._is_writing)

    def _refuse(self, entry: Entry) -> None:
        with self._lock:
            if entry.done.is_set():
                return
            try:
                self._queue.remove(entry)
                entry.error = "audit: busy"
            except ValueError:
                entry.error = "audit: TimeoutError"
            entry.done.set()
