"""gunicorn's settings for `resolver serve` with RESOLVER_WORKER=embedded: those of
`resolver.ops.gunicorn_settings`, and hooks that run one worker from the master.

gunicorn that is started in another way reads `resolver.ops.gunicorn_settings` and starts no worker.
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
    """In the master, once it listens: start the worker, and look after it from the master's own loop."""
    gunicorn_settings.when_ready(server)
    worker = EmbeddedWorker(worker_command(), server.log, _set_alarm)
    _running.append(worker)
    reap = server.handle_chld

    def look_after() -> None:
        if not draining.is_under_way():
            worker.look_after()

    def handle_child_exit() -> None:
        # Before gunicorn reaps all children: the worker's exit status would be lost.
        look_after()
        reap()

    # The master's loop calls `handle_<name of the signal>` for each signal that it has queued.
    server.handle_chld = server.handle_cld = handle_child_exit
    server.handle_alrm = look_after
    _queue_alarms(server)
    worker.look_after()


def on_reload(_server: Any) -> None:
    """On SIGHUP, which replaces the web processes too: all of them then use the same files of settings."""
    for worker in _running:
        worker.replace()


def on_exit(server: Any) -> None:  # type: ignore[no-redef]
    for worker in _running:
        worker.stop()
    gunicorn_settings.on_exit(server)


def _set_alarm(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _queue_alarms(server: Any) -> None:
    """An alarm means the end of draining when that is under way, else the end of a pause before a restart."""
    stop = signal.getsignal(signal.SIGALRM)
    queue: Callable[[int, FrameType | None], None] = server.signal

    def handle(number: int, frame: FrameType | None) -> None:
        if draining.is_under_way() and callable(stop):
            stop(number, frame)
        else:
            queue(number, frame)

    signal.signal(signal.SIGALRM, handle)
