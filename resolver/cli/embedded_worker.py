"""The worker beside the web processes: started again when it ends, with pauses that double."""

from __future__ import annotations

import subprocess
import sys
import time
from subprocess import SubprocessError

import structlog

from resolver.cli.children import give_way, start_child, stop_child

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
_LIVED_WELL_SECONDS = 60.0
_log = structlog.get_logger(__name__)


def worker_command() -> list[str]:
    return [sys.executable, "-m", "resolver", "worker"]


class RestartPauses:
    """How long to wait before each restart: doubling, and from the beginning after a long life."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE_SECONDS

    def after(self, lived_seconds: float) -> float:
        if lived_seconds >= _LIVED_WELL_SECONDS:
            self._next = FIRST_PAUSE_SECONDS
        pause = self._next
        self._next = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return pause


class EmbeddedWorker:
    def __init__(self) -> None:
        self._pauses = RestartPauses()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._due = 0.0

    def look_after(self) -> None:
        """Start the worker when it doesn't run and its pause is over. Call it again and again."""
        if self._process and (status := self._process.poll()) is not None:
            self._process = None
            self._wait("worker_ended", exit_status=status)
        if self._process is None and time.monotonic() >= self._due:
            self._start()

    def stop(self) -> None:
        if self._process:
            stop_child(self._process)

    def _start(self) -> None:
        self._started = time.monotonic()
        try:
            self._process = start_child(worker_command())
        except (OSError, SubprocessError) as error:
            # No process or memory is left for now: the web processes serve all the same.
            self._wait("worker_not_started", type=type(error).__name__)
        else:
            # Clients wait for replies; no client waits for the worker.
            give_way(self._process)

    def _wait(self, event: str, **facts: object) -> None:
        pause = self._pauses.after(time.monotonic() - self._started)
        self._due = time.monotonic() + pause
        _log.error(event, **facts, restart_in_seconds=pause)
