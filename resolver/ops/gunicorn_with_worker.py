"""gunicorn's settings for `resolver serve` with RESOLVER_WORKER=embedded.

They are those of `resolver.ops.gunicorn_settings`, with hooks that run one worker from the master. If
gunicorn is started in another way, it reads `resolver.ops.gunicorn_settings` and starts no worker.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from resolver.ops import draining, gunicorn_settings
from resolver.ops.embedded_worker import EmbeddedWorker, worker_command
from resolver.ops.gunicorn_settings import *  # noqa: F403

_running: list[EmbeddedWorker] = []


def when_ready(server: Any) -> None:  # type: ignore[no-redef]  # in place of the imported one
    """Start the worker in the master, once it listens, and supervise it from the master's loop."""
    gunicorn_settings.when_ready(server)
    worker = EmbeddedWorker(worker_command(), server.log, _set_alarm)
    _running.append(worker)
    reap = server.handle_chld

    def supervise() -> None:
        if not draining.is_under_way():
            worker.supervise()

    def handle_child_exit() -> None:
        # Before gunicorn reaps all children, which would lose the worker's exit status.
        supervise()
        reap()

    # The master's loop calls `handle_<signal name>` for each queued signal.
    server.handle_chld = server.handle_cld = handle_child_exit
    server.handle_alrm = supervise
    _queue_alarms(server)
    worker.supervise()


def on_reload(_server: Any) -> None:
    """Replace the worker on SIGHUP, as gunicorn does the web processes, so that all read the same
    settings."""
    for worker in _running:
        worker.replace()


def on_exit(server: Any) -> None:  # type: ignore[no-redef]
    for worker in _running:
        worker.stop()
    gunicorn_settings.on_exit(server)


def _set_alarm(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _queue_alarms(server: Any) -> None:
    """Handle alarms: while draining, one means its end; otherwise, the end of a pause before a restart."""
    stop = signal.getsignal(signal.SIGALRM)
    queue: Callable[[int, FrameType | None], None] = server.signal

    def handle(number: int, frame: FrameType | None) -> None:
        if draining.is_under_way() and callable(stop):
            stop(number, frame)
        else:
            queue(number, frame)

    signal.signal(signal.SIGALRM, handle)
