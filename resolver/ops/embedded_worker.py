"""The embedded worker: one `resolver worker` as a child of gunicorn's master.

The master forks its web processes. So this module imports only the standard library and starts no thread: a
fork may copy a lock that a thread holds, which is never released in the child.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STOP_SECONDS = 8.0
"""How long a worker may take to finish its work before it is killed."""
_LIVED_WELL_SECONDS = 60.0


def worker_command() -> list[str]:
    return [sys.executable, "-m", "resolver", "worker"]


class RestartPauses:
    """The pause before each restart. It doubles, and starts again after the worker ran for a minute."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE_SECONDS

    def after(self, lived_seconds: float) -> float:
        if lived_seconds >= _LIVED_WELL_SECONDS:
            self._next = FIRST_PAUSE_SECONDS
        pause = self._next
        self._next = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return pause


class EmbeddedWorker:
    """Keeps one worker process running. Its methods don't raise: the web goes on without a worker."""

    def __init__(self, command: list[str], log: logging.Logger, schedule: Callable[[float], object]) -> None:
        """`schedule` must arrange a call of `supervise` after this many seconds."""
        self._command = command
        self._log = log
        self._schedule = schedule
        self._pauses = RestartPauses()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_replaced = False
        self._started = self._due = 0.0

    def supervise(self) -> None:
        """Log a worker's end, and start a worker if none runs and the pause is over. Call it whenever a child
        process has ended."""
        if self._process and (status := self._process.poll()) is not None:
            self._process = None
            if self._is_replaced:
                self._is_replaced, self._due = False, 0.0
            else:
                self._pause(f"worker_ended: exit_status={status}")
        if self._process is None and time.monotonic() >= self._due:
            self._start()
        if self._process is None:
            self._schedule(max(self._due - time.monotonic(), 0.001))

    def replace(self) -> None:
        """Have the worker finish its work and end; `supervise` then starts another without a pause."""
        if self._process:
            self._is_replaced = True
            self._process.terminate()

    def stop(self) -> None:
        """Have the worker finish its work and end; kill it if it takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
            return
        self._log.error("worker_killed: it did not end within %.0f seconds", STOP_SECONDS)
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        self._started = time.monotonic()
        try:
            # In a session of its own: Ctrl-C reaches only the master, which stops the worker at its end.
            self._process = subprocess.Popen(  # noqa: S603 - a command of our own making
                [*self._command, "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError, MemoryError) as error:
            failure = type(error).__name__
        else:
            return
        self._pause(f"worker_not_started: {failure}")

    def _pause(self, event: str) -> None:
        pause = self._pauses.after(time.monotonic() - self._started)
        self._due = time.monotonic() + pause
        self._log.error("%s restart_in_seconds=%s", event, pause)
