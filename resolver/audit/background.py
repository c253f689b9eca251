"""A thread that runs a task some time after it was requested, and retries while it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

_STOP_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class Background:
    """The thread starts with the first request, since threads don't survive a fork."""

    def __init__(self, task: Callable[[], bool], pause: float, longest_pause: float) -> None:
        """`task` returns whether it succeeded. It runs `pause` seconds after a request; after failures the
        pause doubles up to `longest_pause`."""
        self._task, self._pause, self._longest_pause = task, pause, longest_pause
        self._lock = threading.Lock()
        self.wanted, self._stopped = threading.Event(), threading.Event()
        """`wanted`: set from a request until the task begins."""
        self._thread: threading.Thread | None = None

    def request(self) -> bool:
        """Run the task after the pause. False when no thread can be started now."""
        if self.wanted.is_set():
            return True
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                stopped = threading.Event()
                thread = threading.Thread(target=self._run, args=(stopped,), name="audit", daemon=True)
                try:
                    thread.start()
                except (RuntimeError, MemoryError):
                    return False
                self._thread, self._stopped = thread, stopped
            self.wanted.set()
        return True

    def stop(self) -> None:
        """End the thread after its current attempt; the next request starts another thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopped.set()
            self.wanted.set()
        if thread:
            thread.join(_STOP_SECONDS)
        self.wanted.clear()

    def _run(self, stopped: threading.Event) -> None:
        while True:
            self.wanted.wait()
            if stopped.wait(self._pause):
                return
            # Before the task, so that a request while it runs has it run again.
            self.wanted.clear()
            pause = self._pause
            while not self._succeeds():
                if stopped.wait(pause):
                    return
                pause = min(2 * pause, self._longest_pause)

    def _succeeds(self) -> bool:
        try:
            return self._task()
        except Exception as error:  # noqa: BLE001 - a failed task must not end the thread
            _log.error("audit_background_failed", type=type(error).__name__)
            return False
